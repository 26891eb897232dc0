//! The gateway as a process of its own, on a free port and in an empty folder.

use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const READY_WITHIN: Duration = Duration::from_secs(20);
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Each failure reaches its client as it is: nothing is retried here, and no deployment rests for what another client asked
/// of it.
const CONFIG: &str = "[providers.sim]\n[models.echo]\ndeployments = [{ model = \"sim/echo\" }]\n\
                      [router]\nnum_retries = 0\nfailures = 1000000\n";

pub(super) struct Gateway {
    process: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Gateway {
    /// Starts with the simulated provider, and waits until it says that it is ready.
    pub(super) fn start(binary: &Path) -> Result<Self> {
        let address = free_address()?;
        let folder = tempfile::tempdir().context("a folder for the gateway")?;
        let log = File::create(folder.path().join("log"))?;
        fs::write(folder.path().join("mainstay.toml"), CONFIG)?;
        let process = Command::new(binary)
            .args(["serve", "--config", "mainstay.toml", "--listen", &address.to_string()])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} did not start", binary.display()))?;
        let mut gateway = Self { process, address, folder };
        gateway.wait_until_ready()?;
        Ok(gateway)
    }

    pub(super) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Asks it to end, as an init system does, and gives its log. It must leave by itself and with success.
    pub(super) fn stop(mut self) -> Result<String> {
        let kill = format!("kill -TERM {}", self.process.id());
        let told = Command::new("sh").args(["-c", &kill]).status().context("sh did not start")?;
        ensure!(told.success(), "{kill}: {told}");
        let deadline = Instant::now() + GONE_WITHIN;
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait()? {
                ensure!(status.success(), "the gateway ended with {status} after SIGTERM\n{}", self.log());
                return Ok(self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the gateway still runs {} s after SIGTERM\n{}", GONE_WITHIN.as_secs(), self.log())
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait()? {
                bail!("the gateway ended with {status} before it was ready\n{}", self.log());
            }
            if is_ready(self.address).unwrap_or(false) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the gateway is not ready after {} s\n{}", READY_WITHIN.as_secs(), self.log())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Whatever happens, no process is left behind.
impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn is_ready(address: SocketAddr) -> Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}

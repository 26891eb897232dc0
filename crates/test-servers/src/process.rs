//! A process and where it listens.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;

/// A server that dies with the test, and that can be frozen.
pub struct Server {
    process: Child,
    command: Command,
    /// Where it listens.
    pub port: u16,
    _folder: TempDir,
}

impl Server {
    /// Starts it and returns when it listens; `None` where there is no such program. The folder goes with it.
    pub async fn start(mut command: Command, port: u16, folder: TempDir) -> Option<Self> {
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let server = Self { process, command, port, _folder: folder };
        until_open(port).await;
        Some(server)
    }

    /// It is killed, and comes back with what it had on its disk.
    pub async fn restart(&mut self, away: Duration) {
        self.kill();
        tokio::time::sleep(away).await;
        self.start_again().await;
    }

    /// After it was killed: with what it had on its disk.
    pub async fn start_again(&mut self) {
        self.process = self.command.spawn().expect("the server starts");
        until_open(self.port).await;
    }

    /// It is there and does nothing.
    pub fn freeze(&self) {
        self.signal("-STOP");
        // A signal takes a moment to arrive.
        let stat = format!("/proc/{}/stat", self.process.id());
        for _ in 0..10_000 {
            let stat = std::fs::read_to_string(&stat).unwrap_or_default();
            if stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')) {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// It goes on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// It is gone, and nobody answers at its port.
    pub fn kill(&mut self) {
        self.signal("-CONT");
        let children = self.children();
        let _ = self.process.kill();
        let _ = self.process.wait();
        // PostgreSQL's see that their parent is gone and end; while they are there, no other can begin.
        for child in children {
            for _ in 0..500 {
                if !Path::new("/proc").join(&child).exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// To it and to the processes that it started.
    fn signal(&self, signal: &str) {
        for pid in [self.process.id().to_string()].into_iter().chain(self.children()) {
            let _ = Command::new("kill").args([signal, &pid]).stderr(Stdio::null()).status();
        }
    }

    /// The processes that it started.
    fn children(&self) -> Vec<String> {
        let pid = self.process.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        children.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port at which nobody listens.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn until_open(port: u16) {
    for _ in 0..400 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("nobody listens at {port}");
}

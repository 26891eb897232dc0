//! A Redis.

use std::process::Command;

use tempfile::TempDir;

use crate::process::{Server, free_port};

/// A Redis without a disk.
pub async fn redis() -> Option<Server> {
    redis_at(free_port(), &[]).await
}

/// A Redis at this port, with more settings (`--name`, `value`).
pub async fn redis_at(port: u16, settings: &[&str]) -> Option<Server> {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new("redis-server");
    command.args(["--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]);
    command.args(["--port", &port.to_string()]).arg("--dir").arg(folder.path()).args(settings);
    let server = Server::start(command, port, folder).await;
    if server.is_none() {
        println!("skipped: redis-server is not on the PATH (apt-get install redis-server)");
    }
    server
}

/// What `redis-cli` says.
pub fn redis_cli(port: u16, arguments: &[&str]) -> String {
    let said = Command::new("redis-cli").args(["-p", &port.to_string()]).args(arguments).output().unwrap();
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}

/// The address of the Redis at this port.
pub fn redis_url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}/0")
}

impl Server {
    /// Its address, of a Redis.
    pub fn redis_url(&self) -> String {
        redis_url(self.port)
    }
}

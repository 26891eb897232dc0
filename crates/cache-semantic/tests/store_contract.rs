//! One contract, every store, on the real thing.
#![cfg(feature = "test-kit")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a helper of tests is a test")]

#[cfg(all(feature = "postgres", feature = "redis"))]
use mainstay_cache_semantic::store::{MemoryConfig, MemoryStore, contract};

#[tokio::test(flavor = "multi_thread")]
async fn memory_looking_at_every_vector() {
    contract::suite().run(async || MemoryStore::default()).await.assert_kept();
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_looking_at_sketches() {
    let config = MemoryConfig::default().exact_up_to(0);
    contract::suite().run(async || MemoryStore::new(config.clone()).unwrap()).await.assert_kept();
}

#[cfg(feature = "hnsw")]
#[tokio::test(flavor = "multi_thread")]
async fn memory_looking_through_a_graph() {
    let config = MemoryConfig::default().exact_up_to(0).graph_above(1);
    contract::suite().run(async || MemoryStore::new(config.clone()).unwrap()).await.assert_kept();
}

#[cfg(feature = "log")]
#[tokio::test(flavor = "multi_thread")]
async fn log() {
    use mainstay_cache_semantic::store::{LogConfig, LogStore};
    let folder = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    let suite = contract::suite();
    let report = suite.run(async || {
        number.set(number.get() + 1);
        let path = folder.path().join(format!("{}.log", number.get()));
        LogStore::open(LogConfig::new(path, "e"), MemoryStore::default()).unwrap()
    });
    report.await.assert_kept();
}

#[cfg(all(feature = "postgres", feature = "redis"))]
#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    use mainstay_cache_semantic::store::{PgIndex, PostgresConfig, PostgresStore};
    use std::time::Duration;
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    for index in [PgIndex::Exact, PgIndex::Hnsw] {
        let number = std::cell::Cell::new(0);
        let suite = contract::suite();
        let report = suite.run(async || {
            number.set(number.get() + 1);
            let table = format!("t_{}_{}", format!("{index:?}").to_lowercase(), number.get());
            // What is promised here is what it does, not how fast it is on a busy machine.
            let config = PostgresConfig::new(server.postgres_url(), "e", 8).table(table).index(index);
            PostgresStore::connect(config.timeout(Duration::from_secs(20)).connections(4)).await.unwrap()
        });
        report.await.assert_kept();
    }
}

#[cfg(all(feature = "postgres", feature = "redis"))]
#[tokio::test(flavor = "multi_thread")]
async fn redis() {
    use mainstay_cache_semantic::store::{RedisConfig, RedisStore};
    use std::time::Duration;
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let number = std::cell::Cell::new(0);
    let suite = contract::suite();
    let report = suite.run(async || {
        number.set(number.get() + 1);
        let config = RedisConfig::new(server.redis_url(), "e").prefix(format!("p{}", number.get()));
        RedisStore::start(config.timeout(Duration::from_secs(20)), MemoryStore::default()).unwrap()
    });
    report.await.assert_kept();
}

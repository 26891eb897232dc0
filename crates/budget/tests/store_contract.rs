//! The contract of stores, on the shared ones: real servers.
#![cfg(all(feature = "postgres", feature = "redis", feature = "test-kit"))]

use std::sync::atomic::{AtomicU32, Ordering};

use mainstay_budget::contract;
use mainstay_budget::postgres::{PostgresConfig, PostgresStore};
use mainstay_budget::redis::{RedisConfig, RedisStore};

static NUMBER: AtomicU32 = AtomicU32::new(0);

// S6.1, M1 to M6
#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_the_contract() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let make = async || {
        let tag = format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        RedisStore::new(RedisConfig::new(server.redis_url()).tag(tag)).expect("the settings are right")
    };
    contract::store().run(make).await.assert_kept();
}

// S6.1, M1 to M6
#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let make = async || {
        let tables = format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let config = PostgresConfig::new(server.postgres_url()).tables(tables).connections(4);
        PostgresStore::new(config).expect("the settings are right")
    };
    contract::store().run(make).await.assert_kept();
}

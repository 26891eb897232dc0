//! Keys in a real Redis. Without `redis-server` on this machine these tests say so and pass.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![cfg(feature = "redis")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{Lab, settings};
use mainstay_test_servers::{Server, free_port, redis, redis_at, redis_cli};
use mainstay_virtual_keys::{
    Actor, KeySecret, KeyStore as _, RedisConfig, RedisStore, Refusal, StoreError, contract,
};
use tokio::time::Instant;

fn config(server: &Server) -> RedisConfig {
    RedisConfig::new(server.redis_url())
}

fn store(server: &Server) -> RedisStore {
    RedisStore::new(config(server)).unwrap()
}

async fn lab(server: &Server) -> Lab {
    Lab::over(Arc::new(store(server))).await
}

/// How long it takes until that is so.
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
    let Some(server) = redis().await else { return };
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let make = async || {
        let prefix = format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        RedisStore::new(config(&server).prefix(prefix)).unwrap()
    };
    contract::store().run(make).await.assert_kept();
}

#[tokio::test]
async fn a_key_that_one_process_disables_stops_in_the_others_within_a_second() {
    let Some(server) = redis().await else { return };
    let (one, other) = (lab(&server).await, lab(&server).await);
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
}

// Security test 1
#[tokio::test]
async fn a_dump_of_the_server_holds_no_key() {
    let Some(server) = redis().await else { return };
    let lab = lab(&server).await;
    let (key, secret) = lab.key(settings("a")).await;
    let dump = redis_cli(server.port, &["HGETALL", "{mainstay:keys}:records"]);
    assert!(dump.contains(key.id.as_str()) && !dump.contains(&secret.expose()[6..16]), "{dump}");
    assert_eq!(redis_cli(server.port, &["DBSIZE"]), "2");
}

// S2, S3: nobody who shows a key waits for the server.
#[tokio::test]
async fn a_server_that_is_frozen_or_gone_costs_no_call_anything() {
    let Some(server) = redis().await else { return };
    let lab = lab(&server).await;
    let (key, secret) = lab.key(settings("a")).await;
    server.freeze();
    until(|| lab.ring.is_stale()).await;
    let begun = Instant::now();
    for _ in 0..1000 {
        assert!(lab.check(&secret).is_ok());
        assert_eq!(lab.check(&KeySecret::generate().unwrap()).unwrap_err(), Refusal::Unknown);
    }
    // Who waited would wait 500 ms each time.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    server.thaw();
    until(|| !lab.ring.is_stale()).await;
    let port = server.port;
    drop(server);
    until(|| lab.ring.is_stale()).await;
    // Started anew it is empty; nobody is locked out by that, and it is not taken for well.
    let Some(server) = redis_at(port, &[]).await else { return };
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(lab.check(&secret).is_ok() && lab.ring.is_stale());
    // What is done to it after that is.
    store(&server).write(contract::key("b")).await.unwrap();
    until(|| !lab.ring.is_stale()).await;
    assert_eq!(lab.check(&secret).unwrap_err(), Refusal::Unknown);
    let disabled = lab.manager.disable(&Actor::Operator, &key.id).await;
    assert!(disabled.is_err());
}

#[tokio::test]
async fn a_server_that_was_never_there_is_an_error_and_no_address_is_shown() {
    let port = free_port();
    let config = RedisConfig::new(format!("redis://:hunter2@127.0.0.1:{port}"));
    let store = RedisStore::new(config.clone()).unwrap();
    let error = store.read(None).await.unwrap_err();
    assert!(matches!(error, StoreError::Failed(_)));
    assert!(!format!("{config:?} {store:?} {error}").contains("hunter2"));
}

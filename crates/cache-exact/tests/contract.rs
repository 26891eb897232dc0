//! What every layer and every store keeps.
#![allow(clippy::unwrap_used)]

mod common;

use mainstay_cache_exact::{ExactCacheBuilder, ExactCacheLayer, MemoryStore, StandardPolicy, contract};
use mainstay_provider_core::test_kit::{check_readiness, contract as providers};
use tower::Layer;

/// Everything is cached, so that the cache has to do with each call.
fn eager() -> ExactCacheBuilder {
    ExactCacheLayer::builder()
        .policy(StandardPolicy::new().any_temperature().tools().several_answers().time_sensitive())
}

#[tokio::test(start_paused = true)]
async fn it_keeps_towers_readiness_promise() {
    check_readiness(ExactCacheLayer::builder().build().unwrap()).await.unwrap();
    check_readiness(eager().build().unwrap()).await.unwrap();
    let second = eager().second_level(MemoryStore::new(1 << 20)).build().unwrap();
    check_readiness(second).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_is_a_provider() {
    for make in [ExactCacheLayer::builder, eager] {
        let check = providers::provider(async |upstream| make().build().unwrap().layer(upstream.scripted()));
        check.await.assert_kept();
    }
    let second = || eager().second_level(MemoryStore::new(1 << 20)).single_flight(false).build().unwrap();
    providers::provider(async |upstream| second().layer(upstream.scripted())).await.assert_kept();
}

#[tokio::test(start_paused = true)]
async fn the_memory_is_a_store() {
    contract::store().run(async || MemoryStore::new(64 << 20)).await.assert_kept();
}

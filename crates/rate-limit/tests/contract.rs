//! What every layer keeps.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{limiter, seconds};
use mainstay_provider_core::test_kit::{check_readiness, check_readiness_of, contract};
use mainstay_rate_limit::{BulkheadLayer, Dimension, RateLimitLayer};
use tower::{Layer, ServiceBuilder};

fn everything() -> RateLimitLayer {
    let builder = Dimension::ALL.into_iter().fold(limiter(), |builder, of| builder.limit(of, 100_000));
    builder.build().unwrap()
}

fn narrow() -> BulkheadLayer {
    BulkheadLayer::builder().max_parallel(1).max_queue(10).max_wait(seconds(5.0)).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_keeps_towers_readiness_promise() {
    check_readiness(RateLimitLayer::default()).await.unwrap();
    check_readiness(everything()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_keeps_it_too_while_calls_wait_and_are_refused() {
    for max_wait in [0.0, 1.0, 30.0] {
        let make = |inner| {
            let layer = limiter().requests_per_minute(2).max_wait(seconds(max_wait)).build().unwrap();
            layer.layer(inner)
        };
        check_readiness_of(make).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_bulkhead_keeps_towers_readiness_promise() {
    check_readiness(BulkheadLayer::default()).await.unwrap();
    check_readiness_of(|inner| narrow().layer(inner)).await.unwrap();
    check_readiness_of(|inner| {
        BulkheadLayer::builder().max_parallel(1).max_queue(0).build().unwrap().layer(inner)
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn both_together_keep_it() {
    let stack = |inner| ServiceBuilder::new().layer(narrow()).layer(everything()).service(inner);
    check_readiness_of(stack).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn they_are_providers() {
    let make = async |upstream: contract::Upstream| everything().layer(upstream.scripted());
    contract::provider(make).await.assert_kept();
    let make = async |upstream: contract::Upstream| narrow().layer(upstream.scripted());
    contract::provider(make).await.assert_kept();
}

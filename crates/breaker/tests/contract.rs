//! What every layer keeps.

use std::time::Duration;

use mainstay_breaker::{BreakerConfig, BreakerLayer, FailureRate, KeyedBreakerLayer, Slow};
use mainstay_provider_core::test_kit::{check_readiness, check_readiness_of, contract};
use tower::Layer;

fn everything() -> BreakerLayer {
    let slow = Slow::first_token(Duration::from_secs(3)).or(Slow::gap(Duration::from_secs(2)));
    BreakerLayer::builder()
        .failures(2)
        .failure_rate(FailureRate::new(0.5))
        .slow(slow)
        .build()
        .expect("the settings are right")
}

#[tokio::test(start_paused = true)]
async fn it_keeps_towers_readiness_promise() {
    check_readiness_of(|inner| BreakerLayer::default().layer(inner)).await.unwrap();
    check_readiness_of(|inner| everything().layer(inner)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_keeps_it_too_while_it_refuses_now_and_then() {
    let make = |inner| {
        let layer = everything();
        let handle = layer.handle();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(3)).await;
                handle.force_open();
                tokio::time::sleep(Duration::from_millis(3)).await;
                handle.release();
            }
        });
        layer.layer(inner)
    };
    check_readiness_of(make).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn with_keys_it_keeps_towers_readiness_promise() {
    let keyed = KeyedBreakerLayer::new(BreakerConfig::default(), |call| call.model().into());
    check_readiness(keyed).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_is_a_provider() {
    let make = async |upstream: contract::Upstream| everything().layer(upstream.scripted());
    contract::provider(make).await.assert_kept();
}

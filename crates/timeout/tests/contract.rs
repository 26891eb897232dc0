//! What every layer keeps.

use mainstay_provider_core::test_kit::{check_readiness, contract};
use mainstay_timeout::TimeoutLayer;
use tower::Layer;

#[tokio::test(start_paused = true)]
async fn it_keeps_towers_readiness_promise() {
    check_readiness(TimeoutLayer::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_is_a_provider() {
    contract::provider(async |upstream| TimeoutLayer::default().layer(upstream.scripted()))
        .await
        .assert_kept();
}

//! What every layer keeps.

use mainstay_provider_core::test_kit::{check_readiness, contract};
use mainstay_rescue::{HoldBack, RescueConfig, RescueLayer};
use tower::Layer;

#[allow(clippy::unwrap_used)]
fn layers() -> [RescueLayer; 4] {
    let held = || HoldBack::new().chunks(2);
    [
        RescueLayer::default(),
        RescueLayer::standard(),
        RescueConfig::builder().hold_back(held()).build().unwrap(),
        RescueConfig::standard().hold_back(held()).build().unwrap(),
    ]
}

#[tokio::test(start_paused = true)]
async fn it_keeps_towers_readiness_promise() {
    for layer in layers() {
        check_readiness(layer).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_a_provider() {
    for layer in layers() {
        contract::provider(async |upstream| layer.layer(upstream.scripted())).await.assert_kept();
    }
}

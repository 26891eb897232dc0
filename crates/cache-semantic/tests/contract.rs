//! What every layer keeps.

mod common;

use mainstay_cache_semantic::Bound;
use mainstay_provider_core::test_kit::{check_readiness, contract};
use tower::Layer;

#[tokio::test(start_paused = true)]
async fn it_keeps_towers_readiness_promise() {
    check_readiness(common::builder().build().unwrap()).await.unwrap();
    check_readiness(common::builder().bound(Bound::new(0.01)).build().unwrap()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_is_a_provider() {
    contract::provider(async |upstream| common::builder().build().unwrap().layer(upstream.scripted()))
        .await
        .assert_kept();
}

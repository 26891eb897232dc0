//! What every layer keeps.

use mainstay_provider_core::test_kit::{Scripted, check_readiness_of, contract};
use mainstay_router::{Deployment, Hedging, Model, Router};

fn one(inner: Scripted) -> Router {
    Router::builder()
        .model(Model::new("m").deployment(Deployment::new("sim/m", inner)))
        .build()
        .expect("the settings are right")
}

fn three(inner: Scripted) -> Router {
    let model = Model::new("m")
        .deployment(Deployment::new("a", inner.clone()).model("m"))
        .deployment(Deployment::new("b", inner.clone()).model("m"))
        .deployment(Deployment::new("c", inner).model("m").order(2))
        .hedging(Hedging::new());
    Router::builder().model(model).build().expect("the settings are right")
}

#[tokio::test(start_paused = true)]
async fn it_keeps_towers_readiness_promise() {
    check_readiness_of(one).await.unwrap();
    check_readiness_of(three).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_is_a_provider() {
    contract::provider(async |upstream| one(upstream.scripted())).await.assert_kept();
    contract::provider(async |upstream| three(upstream.scripted())).await.assert_kept();
}

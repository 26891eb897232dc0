//! Tower's readiness promise, and refusals that do not wait.

mod common;

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};

use common::{Act, RECOVERY, deployment, pass, seconds, streaming};
use mainstay_breaker::BreakerLayer;
use mainstay_provider_core::{ErrorKind, Provider};
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, ServiceBuilder};

// S3.2: at once, though the deployment's only place is taken by a call that hangs
#[tokio::test(start_paused = true)]
async fn a_refusal_does_not_wait_for_a_place_at_the_deployment() {
    let (act, calls) = (Arc::new(Mutex::new(Act::Hang)), Arc::new(AtomicU32::new(0)));
    let layer = BreakerLayer::default();
    let stack = ServiceBuilder::new()
        .layer(layer.clone())
        .layer(ConcurrencyLimitLayer::new(1))
        .service(deployment(act.clone(), calls));
    let mut handle = stack.clone();
    std::future::poll_fn(|task| tower::Service::poll_ready(&mut handle, task)).await.unwrap();
    let hanging = tower::Service::call(&mut handle, streaming());
    layer.handle().force_open();
    let refused = tokio::time::timeout(seconds(1), stack.ask(streaming())).await.unwrap();
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    drop(hanging);
}

// It was polled while the breaker refused, and called when it did not any more.
#[tokio::test(start_paused = true)]
async fn a_handle_polled_while_refusing_asks_for_its_place_before_it_calls() {
    let (act, calls) = (Arc::new(Mutex::new(Act::Fail(ErrorKind::Network))), Arc::new(AtomicU32::new(0)));
    let layer = BreakerLayer::builder().failures(1).build().unwrap();
    let limited = ConcurrencyLimitLayer::new(1).layer(deployment(act.clone(), calls));
    let mut breaker = layer.layer(limited);
    breaker.ask(streaming()).await.unwrap_err();
    std::future::poll_fn(|task| tower::Service::poll_ready(&mut breaker, task)).await.unwrap();
    pass(RECOVERY).await;
    *act.lock().unwrap() = Act::Answer;
    tower::Service::call(&mut breaker, streaming()).await.unwrap();
    breaker.ask(streaming()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_clone_of_a_ready_handle_is_not_ready() {
    let act = Arc::new(Mutex::new(Act::Answer));
    let limited = ConcurrencyLimitLayer::new(1).layer(deployment(act, Arc::default()));
    let mut first = BreakerLayer::default().layer(limited);
    std::future::poll_fn(|task| tower::Service::poll_ready(&mut first, task)).await.unwrap();
    let mut clone = first.clone();
    let waits = tower::Service::call(&mut clone, streaming());
    tower::Service::call(&mut first, streaming()).await.unwrap();
    waits.await.unwrap();
}

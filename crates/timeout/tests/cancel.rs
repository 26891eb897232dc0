//! What is dropped, is dropped all the way; what is polled, is called.

mod common;

use std::time::Duration;

use common::{Step, Work, answers_after, streaming, streams, whole, with_defaults};
use mainstay_provider_core::{Outcome, Provider};
use mainstay_timeout::TimeoutLayer;
use tokio::sync::oneshot;
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, ServiceBuilder};

// D3
#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_its_answer_ends_the_providers_work() {
    let work = Work::default();
    let provider = with_defaults(answers_after(Duration::from_secs(30), &work));
    let early = tokio::time::timeout(Duration::from_secs(1), provider.ask(whole())).await;
    assert!(early.is_err());
    assert_eq!(work.open(), 0);
}

// D3
#[tokio::test(start_paused = true)]
async fn a_stream_dropped_on_the_way_ends_the_providers_work_and_is_told_as_dropped() {
    let work = Work::default();
    let reply =
        with_defaults(streams(vec![Step::Text("a"), Step::Hang], &work)).ask(streaming()).await.unwrap();
    let (tell, told) = oneshot::channel();
    let mut chunks = reply.on_end(move |end| tell.send(end.clone()).unwrap()).into_stream();
    chunks.next().await.unwrap().unwrap();
    assert_eq!(work.open(), 1);
    drop(chunks);
    assert_eq!(work.open(), 0);
    assert!(matches!(told.await.unwrap().outcome, Outcome::Dropped));
}

// The permit of a service beneath is held by the handle that was polled, and freed by an expiry.
#[tokio::test(start_paused = true)]
async fn an_expiry_gives_back_what_the_service_beneath_holds() {
    let work = Work::default();
    let stack = ServiceBuilder::new()
        .layer(TimeoutLayer::default())
        .layer(ConcurrencyLimitLayer::new(1))
        .service(answers_after(Duration::from_secs(100), &work));
    for _ in 0..3 {
        stack.ask(whole()).await.unwrap_err();
        assert_eq!(work.open(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clone_starts_unready_and_the_polled_handle_is_the_one_that_is_called() {
    let limited =
        ConcurrencyLimitLayer::new(1).layer(answers_after(Duration::from_secs(1), &Work::default()));
    let mut first = TimeoutLayer::default().layer(limited);
    let mut second = first.clone();
    std::future::poll_fn(|task| tower::Service::poll_ready(&mut first, task)).await.unwrap();
    let waits = tokio::time::timeout(
        Duration::from_secs(5),
        std::future::poll_fn(|task| {
            tower::Service::<mainstay_provider_core::Call>::poll_ready(&mut second, task)
        }),
    );
    assert!(waits.await.is_err(), "the only place is the first handle's");
    tower::Service::call(&mut first, whole()).await.unwrap();
}

//! A drop at every place where a call can stand.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{Setup, limiter, pass, seconds, streaming, tokens, used};
use mainstay_provider_core::Provider;
use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_rate_limit::Dimension;
use tower::Service;

fn spent(setup: &Setup) -> (u64, u64, u64) {
    let stats = setup.handle.stats();
    (setup.spent(Dimension::Requests), setup.spent(Dimension::Tokens), stats.in_flight)
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_it_waits_leaves_the_queue_and_the_next_moves_up() {
    let setup = Setup::new(limiter().requests_per_minute(1).max_wait(seconds(70.0)));
    setup.pass().await;
    let first = setup.begin(tokens(100)).await;
    assert_eq!(setup.refused().await, seconds(122.0), "the next but one");
    drop(first);
    let second = setup.begin(tokens(100)).await;
    second.await.unwrap();
    let stats = setup.handle.stats();
    assert_eq!((stats.left, stats.waiting, stats.admitted), (1, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn the_one_behind_goes_when_the_one_before_it_is_dropped() {
    let setup = Setup::new(limiter().tokens_per_minute(1_000).max_wait(seconds(100.0)));
    setup.call(tokens(800)).await.unwrap();
    let large = setup.begin(tokens(700)).await;
    let small = tokio::spawn(setup.begin(tokens(10)).await);
    tokio::task::yield_now().await;
    drop(large);
    let came = tokio::time::Instant::now();
    small.await.unwrap().unwrap();
    assert_eq!(came.elapsed(), seconds(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_unpolled_was_never_sent() {
    let setup = Setup::new(limiter().requests_per_minute(1));
    let mut handle = setup.limited.clone();
    std::future::poll_fn(|task| handle.poll_ready(task)).await.unwrap();
    drop(handle.call(tokens(100)));
    assert_eq!(spent(&setup), (0, 0, 0));
    setup.pass().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_under_way_has_used_what_was_reserved() {
    let setup = Setup::over(limiter(), Scripted::repeating(Step::hang()));
    let call = setup.begin(tokens(100)).await;
    assert_eq!(spent(&setup), (1, 150, 1));
    drop(call);
    assert_eq!(spent(&setup), (1, 150, 0));
    assert_eq!(setup.upstream.counts().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_reply_dropped_unread_and_one_dropped_in_the_middle_settle_once() {
    let setup = Setup::over(limiter(), Scripted::repeating(used(20, 2)));
    drop(setup.limited.ask(streaming(tokens(100))).await.unwrap());
    assert_eq!(spent(&setup), (1, 150, 0));
    let mut chunks = setup.limited.ask(streaming(tokens(100))).await.unwrap().into_stream();
    chunks.next().await.unwrap().unwrap();
    drop(chunks);
    assert_eq!(spent(&setup), (2, 300, 0));
    assert_eq!(setup.upstream.counts().open_streams, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_when_its_turn_has_come_gives_its_turn_to_the_next() {
    let setup = Setup::new(limiter().requests_per_minute(1).max_wait(seconds(200.0)));
    setup.pass().await;
    let first = setup.begin(tokens(100)).await;
    let second = setup.begin(tokens(100)).await;
    // Its time has come, and nobody polls it.
    pass(61.0).await;
    let came = tokio::time::Instant::now();
    drop(first);
    second.await.unwrap();
    assert_eq!(came.elapsed(), seconds(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_within_keeps_no_place() {
    #[derive(Clone)]
    struct Panics;
    impl Service<mainstay_provider_core::Call> for Panics {
        type Response = mainstay_provider_core::Reply;
        type Error = mainstay_provider_core::Error;
        type Future = mainstay_provider_core::BoxFuture<Result<Self::Response, Self::Error>>;

        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: mainstay_provider_core::Call) -> Self::Future {
            Box::pin(async { panic!("on purpose") })
        }
    }
    let layer = limiter().requests_per_minute(5).build().unwrap();
    let limited = tower::Layer::layer(&layer, Panics);
    let call = tokio::spawn(async move { limited.ask(tokens(1)).await.map(drop) });
    assert!(call.await.unwrap_err().is_panic());
    assert_eq!(layer.handle().stats().in_flight, 0);
}

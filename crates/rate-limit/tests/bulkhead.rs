//! One slow deployment cannot use up its caller (S8.3).
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::sync::Arc;

use common::{pass, seconds, streaming, tokens};
use mainstay_provider_core::test_kit::{Gate, Piece, Scripted, Step};
use mainstay_provider_core::{BoxFuture, Call, Error, ErrorKind, Provider, Reply, ReportHeadroom};
use mainstay_rate_limit::{Bulkhead, BulkheadBuilder, BulkheadHandle, BulkheadLayer};
use tokio::time::Instant;
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, Service};

fn over(builder: BulkheadBuilder, upstream: &Scripted) -> (Bulkhead<Scripted>, BulkheadHandle) {
    let layer = builder.deployment("eu-1").build().unwrap();
    (layer.layer(upstream.clone()), layer.handle())
}

fn places(max_parallel: usize, max_queue: usize) -> BulkheadBuilder {
    BulkheadLayer::builder().max_parallel(max_parallel).max_queue(max_queue)
}

fn call() -> Call {
    tokens(1)
}

/// Asks, polled once.
async fn begin<S>(service: &S) -> BoxFuture<Result<Reply, Error>>
where
    S: Service<Call, Response = Reply, Error = Error, Future = BoxFuture<Result<Reply, Error>>> + Clone,
{
    let mut handle = service.clone();
    std::future::poll_fn(|task| handle.poll_ready(task)).await.unwrap();
    let mut reply = handle.call(call());
    let polled = std::future::poll_fn(|task| std::task::Poll::Ready(reply.as_mut().poll(task).is_ready()));
    assert!(!polled.await, "it waits");
    reply
}

// S8.3: a hundred calls of a caller; the deployment that hangs holds four of them, the other answers the rest.
#[tokio::test(start_paused = true)]
async fn a_deployment_that_hangs_holds_no_more_calls_than_it_has_places() {
    let (hangs, works) = (Scripted::repeating(Step::hang()), Scripted::repeating(Step::text("yes")));
    let (slow, handle) = over(places(4, 2), &hangs);
    let (quick, _) = over(places(4, 100), &works);
    let mut tasks = Vec::new();
    for number in 0..100 {
        let provider = if number % 2 == 0 { slow.clone() } else { quick.clone() };
        tasks.push(tokio::spawn(async move { provider.ask(call()).await.map(drop) }));
    }
    pass(1.1).await;
    let still_running = tasks.iter().filter(|task| !task.is_finished()).count();
    assert_eq!(still_running, 4);
    assert_eq!(hangs.counts().most_in_flight, 4);
    assert_eq!(works.counts().calls, 50);
    let stats = handle.stats();
    assert_eq!((stats.in_flight, stats.waiting, stats.admitted, stats.refused), (4, 0, 4, 46));
    assert_eq!(handle.headroom(Instant::now()), 0.0);
    tasks.iter().for_each(|task| task.abort());
    pass(0.1).await;
    assert_eq!((handle.stats().in_flight, hangs.counts().in_flight), (0, 0));
    assert_eq!(handle.headroom(Instant::now()), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_comes_at_once_when_the_queue_is_full_and_in_time_when_it_is_not() {
    let (bulkhead, handle) = over(places(1, 1), &Scripted::repeating(Step::hang()));
    let _running = begin(&bulkhead).await;
    let waiting = begin(&bulkhead).await;
    let came = Instant::now();
    let refused = bulkhead.ask(call()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.deployment()), (ErrorKind::LimitReached, Some("eu-1")));
    assert!(refused.retry_after().is_some());
    assert_eq!(came.elapsed(), seconds(0.0));
    assert_eq!(waiting.await.unwrap_err().kind(), ErrorKind::LimitReached);
    assert_eq!(came.elapsed(), seconds(1.0));
    assert_eq!(handle.stats().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_beyond_the_deadline_of_the_call() {
    let (bulkhead, _) = over(places(1, 9), &Scripted::repeating(Step::hang()));
    let _running = begin(&bulkhead).await;
    let came = Instant::now();
    let mut hurried = call();
    hurried.context_mut().deadline = Some(came + seconds(0.3));
    assert_eq!(bulkhead.ask(hurried.clone()).await.unwrap_err().kind(), ErrorKind::LimitReached);
    assert_eq!(came.elapsed(), seconds(0.3));
    assert_eq!(bulkhead.ask(hurried).await.unwrap_err().kind(), ErrorKind::LimitReached);
    assert_eq!(came.elapsed(), seconds(0.3), "it is past: at once");
}

#[tokio::test(start_paused = true)]
async fn a_stream_holds_its_place_to_its_end() {
    let (bulkhead, handle) = over(places(1, 9), &Scripted::repeating(Step::text("one two three")));
    let mut chunks = bulkhead.ask(streaming(call())).await.unwrap().into_stream();
    assert_eq!(handle.stats().in_flight, 1);
    let waiting = begin(&bulkhead).await;
    while chunks.next().await.is_some() {}
    assert_eq!(handle.stats().in_flight, 1, "it has gone to the one that waited");
    waiting.await.unwrap();
    assert_eq!(handle.stats().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn every_way_in_which_a_call_ends_gives_its_place_back() {
    let stream = |last| Step::stream([Piece::Role, Piece::text("a"), last]);
    let steps = [
        Step::fail_with(ErrorKind::Overloaded),
        stream(Piece::Cut),
        stream(Piece::fail_with(ErrorKind::ServerError)),
        stream(Piece::stop()),
    ];
    let (bulkhead, handle) = over(places(1, 0), &Scripted::new(steps));
    for _ in 0..4 {
        if let Ok(reply) = bulkhead.ask(streaming(call())).await {
            let _end = reply.collect().await;
        }
        assert_eq!(handle.stats().in_flight, 0);
    }
    assert_eq!(handle.stats().admitted, 4);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_anywhere_gives_its_place_or_its_spot_back() {
    let upstream = Scripted::repeating(Step::text("one two three"));
    let (bulkhead, handle) = over(places(1, 1), &upstream);
    let free = |what: &str| {
        let stats = handle.stats();
        assert_eq!((stats.in_flight, stats.waiting), (0, 0), "{what}");
    };
    let mut unpolled = bulkhead.clone();
    std::future::poll_fn(|task| unpolled.poll_ready(task)).await.unwrap();
    drop(unpolled.call(call()));
    free("unpolled");
    let gate = Gate::new();
    upstream.push(Step::text("late").behind(&gate));
    let running = begin(&bulkhead).await;
    drop(begin(&bulkhead).await);
    assert_eq!(handle.stats().waiting, 0);
    drop(running);
    free("under way");
    drop(bulkhead.ask(streaming(call())).await.unwrap());
    free("unread");
    let mut chunks = bulkhead.ask(streaming(call())).await.unwrap().into_stream();
    chunks.next().await;
    drop(chunks);
    free("half read");
}

#[tokio::test(start_paused = true)]
async fn calls_go_in_the_order_in_which_they_came() {
    let upstream = Scripted::repeating(Step::text("yes").after(seconds(1.0)));
    let (bulkhead, _) = over(places(1, 9).max_wait(seconds(60.0)), &upstream);
    let order: Arc<std::sync::Mutex<Vec<u32>>> = Arc::default();
    let mut tasks = Vec::new();
    for number in 0..5 {
        let (bulkhead, order) = (bulkhead.clone(), order.clone());
        tasks.push(tokio::spawn(async move {
            bulkhead.ask(call()).await.unwrap();
            order.lock().unwrap().push(number);
        }));
        tokio::task::yield_now().await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
}

// The deployment's own places are all taken by calls that hang: nobody waits for it in poll_ready.
#[tokio::test(start_paused = true)]
async fn it_is_ready_when_the_deployment_is_not() {
    let upstream = Scripted::repeating(Step::hang());
    let layer = places(3, 1).build().unwrap();
    let bulkhead = layer.layer(ConcurrencyLimitLayer::new(1).layer(upstream.clone()).boxed());
    let _calls = (begin(&bulkhead).await, begin(&bulkhead).await, begin(&bulkhead).await);
    assert_eq!(upstream.counts().calls, 1);
    let waits = begin(&bulkhead).await;
    let refused = tokio::time::timeout(seconds(0.1), bulkhead.ask(call())).await.unwrap();
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::LimitReached);
    assert_eq!(waits.await.unwrap_err().kind(), ErrorKind::LimitReached);
}

#[tokio::test(start_paused = true)]
async fn the_wait_that_a_refusal_names_is_that_of_a_place() {
    let upstream = Scripted::repeating(Step::text("yes").after(seconds(8.0)));
    let (bulkhead, _) = over(places(4, 0), &upstream);
    let calls = || async { futures_util::future::join_all((0..4).map(|_| bulkhead.ask(call()))).await };
    calls().await;
    let (mut running, refused) = (Vec::new(), &bulkhead);
    for _ in 0..4 {
        running.push(begin(&bulkhead).await);
    }
    let wait = refused.ask(call()).await.unwrap_err().retry_after().unwrap();
    assert_eq!(wait, seconds(2.0), "one of four places that are held for eight seconds");
}

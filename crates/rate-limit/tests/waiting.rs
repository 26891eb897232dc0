//! Waiting for a place: in turn, for a bounded time, in a bounded queue.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::sync::{Arc, Mutex};

use common::{Setup, limiter, pass, seconds, streaming, tokens, used};
use mainstay_provider_core::test_kit::Scripted;
use mainstay_provider_core::{ErrorKind, Provider};
use mainstay_rate_limit::Dimension;
use tokio::time::Instant;

fn one_a_minute() -> common::Setup {
    Setup::new(limiter().requests_per_minute(1).max_wait(seconds(120.0)))
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_its_place_and_no_longer() {
    let setup = one_a_minute();
    setup.pass().await;
    let came = Instant::now();
    setup.pass().await;
    assert_eq!(came.elapsed(), seconds(61.0));
    let stats = setup.handle.stats();
    assert_eq!((stats.admitted, stats.waited, stats.refused), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_would_wait_too_long_is_refused_at_once_and_told_the_exact_time() {
    let setup = Setup::new(limiter().requests_per_minute(1));
    setup.pass().await;
    pass(0.3).await;
    let came = Instant::now();
    let wait = setup.refused().await;
    assert_eq!(came.elapsed(), seconds(0.0));
    assert_eq!(wait, seconds(60.7));
    pass(wait.as_secs_f64() - 1.01).await;
    setup.refused().await;
    pass(0.02).await;
    setup.pass().await;
    assert_eq!(came.elapsed(), wait, "within the second that a call may wait");
}

#[tokio::test(start_paused = true)]
async fn calls_go_in_the_order_in_which_they_came() {
    let setup = Setup::new(limiter().tokens_per_minute(1_000).max_wait(seconds(300.0)));
    setup.call(tokens(900)).await.unwrap();
    let setup = Arc::new(setup);
    let order: Arc<Mutex<Vec<u64>>> = Arc::default();
    let mut tasks = Vec::new();
    // The second would fit at once; it does not overtake.
    for input in [800, 10, 900, 20] {
        let (setup, order) = (setup.clone(), order.clone());
        tasks.push(tokio::spawn(async move {
            setup.call(tokens(input)).await.unwrap();
            order.lock().unwrap().push(input);
        }));
        tokio::task::yield_now().await;
    }
    assert_eq!(setup.handle.stats().waiting, 4);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [800, 10, 900, 20]);
}

// A small call would fit, and has to stand behind the large one all the same.
#[tokio::test(start_paused = true)]
async fn there_is_no_headroom_while_somebody_waits() {
    let setup = Setup::new(limiter().tokens_per_minute(10_000).max_wait(seconds(100.0)));
    for _ in 0..20 {
        setup.pass().await;
    }
    assert!(setup.headroom() > 0.6);
    let large = setup.begin(tokens(9_000)).await;
    assert_eq!(setup.headroom(), 0.0);
    drop(large);
    assert!(setup.headroom() > 0.6);
}

#[tokio::test(start_paused = true)]
async fn the_wait_of_a_call_counts_those_before_it() {
    let setup = Setup::new(limiter().requests_per_minute(2).max_wait(seconds(70.0)));
    setup.pass().await;
    pass(10.0).await;
    setup.pass().await;
    let _first = setup.begin(tokens(100)).await;
    let _second = setup.begin(tokens(100)).await;
    assert_eq!(setup.refused().await, seconds(112.0), "the third comes a window after the first");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_beyond_the_deadline_of_the_call() {
    let setup = one_a_minute();
    setup.pass().await;
    let mut call = tokens(100);
    call.context_mut().deadline = Some(Instant::now() + seconds(60.9));
    let came = Instant::now();
    assert_eq!(setup.refusal(call.clone()).await, seconds(61.0));
    assert_eq!(came.elapsed(), seconds(0.0), "it is not begun");
    call.context_mut().deadline = Some(Instant::now() + seconds(61.1));
    setup.call(call).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded() {
    let setup = Setup::new(limiter().requests_per_minute(1).max_wait(seconds(1_000.0)).max_queue(2));
    setup.pass().await;
    let first = setup.begin(tokens(100)).await;
    let _second = setup.begin(tokens(100)).await;
    let came = Instant::now();
    setup.refused().await;
    drop(first);
    let _third = setup.begin(tokens(100)).await;
    setup.refused().await;
    assert_eq!(came.elapsed(), seconds(0.0), "at once");
}

#[tokio::test(start_paused = true)]
async fn no_wait_means_no_wait() {
    let setup = Setup::new(limiter().requests_per_minute(1).max_wait(seconds(0.0)));
    setup.pass().await;
    pass(60.999).await;
    assert_eq!(setup.refused().await, seconds(0.001));
}

// What a stream did not use is for those who wait, at once.
#[tokio::test(start_paused = true)]
async fn what_is_given_back_goes_to_the_first_of_the_queue() {
    let builder = limiter().tokens_per_minute(1_000).max_wait(seconds(100.0));
    let setup = Arc::new(Setup::over(builder, Scripted::repeating(used(10, 1))));
    let reply = setup.limited.ask(streaming(tokens(900))).await.unwrap();
    let waiting = {
        let setup = setup.clone();
        tokio::spawn(async move { setup.call(tokens(500)).await })
    };
    tokio::task::yield_now().await;
    assert_eq!(setup.handle.stats().waiting, 1);
    let before = Instant::now();
    reply.collect().await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(before.elapsed(), seconds(0.0));
    assert_eq!(setup.spent(Dimension::Tokens), 22);
}

// A place that was in sight may go: the provider asks for a pause.
#[tokio::test(start_paused = true)]
async fn a_call_that_waits_is_refused_when_its_place_moves_out_of_reach() {
    let setup = Setup::over(
        limiter().requests_per_minute(2).max_wait(seconds(70.0)),
        Scripted::by(|call| match call.is_stream() {
            true => mainstay_provider_core::test_kit::Step::fail(
                common::throttled().with_retry_after(seconds(200.0)),
            )
            .after(seconds(5.0)),
            false => mainstay_provider_core::test_kit::Step::text("yes"),
        }),
    );
    setup.pass().await;
    let throttled = setup.begin(streaming(tokens(100))).await;
    let waits = setup.begin(tokens(100)).await;
    let came = Instant::now();
    let (throttled, refused) = tokio::join!(throttled, waits);
    assert_eq!(throttled.unwrap_err().kind(), ErrorKind::RateLimited);
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::LimitReached);
    assert!(refused.retry_after().unwrap() >= seconds(200.0));
    assert_eq!(came.elapsed(), seconds(5.0));
}

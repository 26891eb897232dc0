//! The failure rate of a sliding window.

mod common;

use common::{Act, Setup, Step, pass, seconds};
use futures_util::future::join_all;
use mainstay_breaker::{BreakerBuilder, BreakerLayer, FailureRate, State};
use mainstay_provider_core::ErrorKind;

fn half_of_ten() -> BreakerBuilder {
    BreakerLayer::builder().failures(None).failure_rate(FailureRate::new(0.5).min_requests(10))
}

// B9
#[tokio::test(start_paused = true)]
async fn it_opens_when_half_of_the_window_failed_though_never_in_a_row() {
    let setup = Setup::new(half_of_ten());
    for _ in 0..4 {
        setup.call(Act::Answer).await.unwrap();
        setup.fail(1).await;
    }
    setup.call(Act::Answer).await.unwrap();
    assert_eq!(setup.handle.state(), State::Closed, "nine calls are too few to say");
    setup.fail(1).await;
    assert!(matches!(setup.handle.state(), State::Open { .. }));
    assert_eq!(setup.take_events()[0].attributes[2], ("reason", "failure_rate".into()));
}

// B9
#[tokio::test(start_paused = true)]
async fn old_failures_are_forgotten_by_themselves() {
    let setup = Setup::new(half_of_ten());
    setup.fail(9).await;
    pass(seconds(120)).await;
    assert_eq!(setup.handle.stats().window_failed, 0);
    setup.fail(9).await;
    assert_eq!(setup.handle.state(), State::Closed);
}

// B9
#[tokio::test(start_paused = true)]
async fn a_call_is_counted_when_it_is_sent() {
    let setup = Setup::new(half_of_ten());
    let steps = vec![Step::Wait(seconds(5)), Step::Text, Step::Hang];
    let running = setup.send(Act::Stream(steps)).await;
    let stats = setup.handle.stats();
    assert_eq!((stats.window_sent, stats.in_flight, stats.admitted), (1, 1, 1));
    let reply = running.await.unwrap();
    assert_eq!(setup.handle.stats().in_flight, 1, "a stream is under way until its end");
    drop(reply);
    let stats = setup.handle.stats();
    assert_eq!((stats.window_sent, stats.in_flight), (0, 0), "its end said nothing");
}

// B9: the window is longer than the longest call, and a failure is one of the calls that it was sent with
#[tokio::test(start_paused = true)]
async fn the_failure_of_a_long_call_is_counted() {
    let setup = Setup::new(half_of_ten());
    let mut calls = Vec::new();
    for _ in 0..10 {
        calls.push(setup.send(Act::FailAfter(seconds(60), ErrorKind::Network)).await);
    }
    for ended in join_all(calls).await {
        ended.unwrap_err();
    }
    assert!(matches!(setup.handle.state(), State::Open { .. }));
}

// B9
#[tokio::test(start_paused = true)]
async fn after_a_recovery_the_window_is_empty() {
    let setup = Setup::new(half_of_ten());
    setup.fail(10).await;
    pass(seconds(60)).await;
    setup.call(Act::Answer).await.unwrap();
    setup.fail(9).await;
    assert_eq!(setup.handle.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn both_modes_may_be_on_at_once() {
    let rate = FailureRate::new(0.5).min_requests(4);
    let both = || BreakerLayer::builder().failures(3).failure_rate(rate);
    let in_a_row = Setup::new(both());
    in_a_row.fail(3).await;
    assert!(matches!(in_a_row.handle.state(), State::Open { .. }));
    let by_rate = Setup::new(both());
    for _ in 0..2 {
        by_rate.call(Act::Answer).await.unwrap();
        by_rate.fail(1).await;
    }
    assert!(matches!(by_rate.handle.state(), State::Open { .. }));
}

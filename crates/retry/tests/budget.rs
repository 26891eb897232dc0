//! All calls together: an outage does not make them many.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use common::{Setup, answers, attribute, error, fails, seconds, whole};
use futures_util::future::join_all;
use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_provider_core::{Allowance, Error, ErrorKind, Event, Events, Next, Provider};
use mainstay_retry::{RetryBudget, RetryBuilder, RetryLayer};
use tokio::time::Instant;
use tower::Layer;

/// Requests at a steady rate to a provider that fails all of them: when each was made, and when a retry was granted.
struct Outage {
    requests: Vec<Instant>,
    grants: Vec<Instant>,
    attempts: usize,
}

impl Outage {
    async fn run(builder: RetryBuilder, per_second: u32, requests: u32, failure: Error) -> Self {
        let grants: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let sink = grants.clone();
        let events = Events::to(move |event: Event| {
            if event.name == "retry.waiting" {
                sink.lock().unwrap().push(Instant::now());
            }
        });
        let upstream = Scripted::repeating(Step::fail(failure).after(Duration::from_millis(120)));
        let retry = builder.events(events).seed(1).build().unwrap().layer(upstream.clone());
        let mut at = Vec::new();
        let mut calls = Vec::new();
        for _ in 0..requests {
            at.push(Instant::now());
            let retry = retry.clone();
            calls.push(tokio::spawn(async move { retry.ask(whole()).await.map(drop) }));
            tokio::time::sleep(seconds(1) / per_second).await;
        }
        assert!(join_all(calls).await.into_iter().all(|call| call.unwrap().is_err()));
        let grants = grants.lock().unwrap().clone();
        Self { requests: at, grants, attempts: upstream.counts().calls }
    }

    /// How many retries were granted while the requests from the first to before the last were made.
    fn granted(&self, first: usize, last: usize) -> usize {
        let before = |at: &Instant| self.grants.partition_point(|grant| grant < at);
        before(&self.requests[last]) - before(&self.requests[first])
    }
}

// T1: at most 1.10 over any 100 or more requests, and one start burst of 10, at whatever rate
#[tokio::test(start_paused = true)]
async fn an_outage_is_met_with_a_tenth_more_attempts_at_any_rate() {
    for (per_second, requests) in [(1, 400), (10, 1_000), (100, 1_500), (1_000, 3_000)] {
        let failure = error(ErrorKind::Overloaded);
        let outage = Outage::run(RetryBuilder::standard(), per_second, requests, failure).await;
        let retries = outage.attempts - requests as usize;
        assert_eq!(retries, outage.grants.len());
        assert!(retries as u32 <= requests / 10 + 10, "{retries} retries at {per_second} rps");
        assert!(retries as u32 >= requests / 11, "the budget is used: {retries} at {per_second} rps");
        let end = outage.requests.len();
        let burst_is_spent = outage.requests.partition_point(|request| *request <= outage.grants[9]);
        for first in (0..end - 100).step_by(7) {
            for last in (first + 100..end).step_by(31) {
                // The start burst comes once: after it only what is paid in goes out, to the next whole token.
                let burst = if first < burst_is_spent { 10 } else { 1 };
                let (granted, requests) = (outage.granted(first, last), last - first);
                assert!(
                    granted * 10 <= requests + burst * 10,
                    "{granted} retries in {requests} requests from {first} at {per_second} rps"
                );
            }
        }
    }
}

// T1: what a healthy time saves up is no more than the start burst
#[tokio::test(start_paused = true)]
async fn an_outage_after_a_healthy_time_meets_the_same_burst() {
    let setup = Setup::standard(vec![answers(); 10_000]);
    for _ in 0..10_000 {
        setup.ask().await.unwrap();
    }
    for _ in 0..100 {
        setup.upstream.push(fails(ErrorKind::Network));
        setup.upstream.push(fails(ErrorKind::Network));
        setup.upstream.push(fails(ErrorKind::Network));
    }
    for _ in 0..100 {
        setup.ask().await.unwrap_err();
    }
    let retries = setup.calls() - 10_000 - 100;
    assert!((18..=20).contains(&retries), "{retries}");
}

// T1: other deployments of the same model draw on it too, fallbacks of the operator's choice do not
#[tokio::test(start_paused = true)]
async fn peers_draw_on_the_budget_and_fallbacks_do_not() {
    let ask = async |next: Next| {
        let upstream = Scripted::by(move |call| {
            // A router with one more place to go to.
            let begun = call.context().attempts.begin();
            let next = if begun.number == 1 { next } else { Next::Nowhere };
            Step::fail(error(ErrorKind::Overloaded).with_next(next))
        });
        let retry = RetryLayer::standard().layer(upstream.clone());
        for _ in 0..200 {
            retry.ask(whole()).await.unwrap_err();
        }
        upstream.counts().calls
    };
    let peers = ask(Next::Peer).await;
    assert!((220..=230).contains(&peers), "{peers}");
    assert_eq!(ask(Next::Fallback).await, 400);
}

#[tokio::test(start_paused = true)]
async fn who_finds_it_empty_fails_at_once_and_says_so() {
    let budget = RetryBudget::new(0.001, 1).unwrap();
    assert!(budget.withdraw());
    let builder = RetryBuilder::standard().budget(budget.clone());
    let setup = Setup::new(builder, [fails(ErrorKind::Overloaded), answers()]);
    let (result, took) = setup.call(whole()).await;
    assert_eq!((result.unwrap_err().kind(), took), (ErrorKind::Overloaded, seconds(0)));
    let events = setup.take_events();
    assert_eq!((events[0].name, attribute(&events[0], "by")), ("retry.exhausted", "budget"));
}

// A token is for an attempt, not for the thought of one
#[tokio::test(start_paused = true)]
async fn only_attempts_that_are_made_take_a_token() {
    let long = Step::fail(error(ErrorKind::RateLimited).with_retry_after(seconds(99)));
    let layer = RetryLayer::standard();
    let upstream = Scripted::new([long, fails(ErrorKind::InvalidRequest), fails(ErrorKind::Authentication)]);
    let retry = layer.layer(upstream);
    for _ in 0..3 {
        retry.ask(whole()).await.unwrap_err();
    }
    assert_eq!(layer.budget().unwrap().left(), 10);
}

#[tokio::test(start_paused = true)]
async fn layers_can_share_a_budget_and_a_hedge_can_draw_on_it() {
    let budget = RetryBudget::default();
    let hedge: Arc<dyn Allowance> = Arc::new(budget.clone());
    assert_eq!((0..4).filter(|_| hedge.withdraw()).count(), 4);
    let layers: Vec<RetryLayer> =
        (0..2).map(|_| RetryBuilder::standard().budget(budget.clone()).build().unwrap()).collect();
    for layer in &layers {
        let steps = vec![fails(ErrorKind::Network); 3];
        layer.layer(Scripted::new(steps)).ask(whole()).await.unwrap_err();
    }
    assert_eq!(budget.left(), 10 - 4 - 2 * 2);
}

// T2, on real threads: K callers that race for M tokens
#[test]
fn of_many_threads_exactly_as_many_get_a_token_as_there_are() {
    for (threads, tokens) in [(8, 1), (8, 10), (16, 1_000)] {
        let budget = RetryBudget::new(0.1, tokens).unwrap();
        let start = Arc::new(Barrier::new(threads));
        let racing: Vec<_> = (0..threads)
            .map(|_| {
                let (budget, start) = (budget.clone(), start.clone());
                std::thread::spawn(move || {
                    start.wait();
                    (0..tokens).filter(|_| budget.withdraw()).count()
                })
            })
            .collect();
        let got: usize = racing.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(got, tokens as usize);
        assert_eq!(budget.left(), 0);
    }
}

// T1: a rescue's call is no request of a caller
#[tokio::test(start_paused = true)]
async fn a_call_for_which_somebody_was_asked_already_pays_nothing_in() {
    let budget = RetryBudget::new(1.0, 2).unwrap();
    assert!(budget.withdraw() && budget.withdraw());
    let upstream = Scripted::repeating(Step::text("here"));
    let retry = RetryLayer::builder().budget(budget.clone()).build().unwrap().layer(upstream);
    let again = whole();
    again.context().attempts.begin();
    retry.ask(again).await.unwrap();
    assert_eq!(budget.left(), 0);
    retry.ask(whole()).await.unwrap();
    assert_eq!(budget.left(), 1);
}

// T2: and with deposits among them none is lost
#[test]
fn of_many_threads_that_pay_in_and_take_out_the_sum_is_right() {
    let budget = RetryBudget::new(0.5, 1_000_000).unwrap();
    // Room for all that is paid in.
    while budget.left() > 100_000 {
        assert!(budget.withdraw());
    }
    let racing: Vec<_> = (0..8)
        .map(|_| {
            let budget = budget.clone();
            std::thread::spawn(move || {
                (0..10_000)
                    .filter(|_| {
                        budget.deposit();
                        budget.withdraw()
                    })
                    .count()
            })
        })
        .collect();
    let got: usize = racing.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(budget.left() as usize, 100_000 + 80_000 / 2 - got);
}

//! A deployment that was down is tried by somebody, and nobody pays for it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Told, answering, ask, call, model, ms, name, router, seconds};
use mainstay_breaker::{BreakerLayer, State};
use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_provider_core::{Availability, Error, ErrorKind, Next, Provider};
use mainstay_router::Deployment;
use tower::Layer;

/// A deployment behind a breaker of its own that opens at the second failure, and whether it is healthy.
fn guarded(name: &str) -> (Deployment, BreakerLayer, Scripted, Arc<AtomicBool>) {
    let breaker = BreakerLayer::builder().deployment(name).failures(2).build().unwrap();
    let healthy = Arc::new(AtomicBool::new(true));
    let (is_healthy, text) = (healthy.clone(), format!("from {name}"));
    let upstream = Scripted::by(move |_| match is_healthy.load(Ordering::SeqCst) {
        true => Step::text(text.clone()).after(ms(50)),
        false => Step::fail_with(ErrorKind::ServerError),
    });
    let deployment = Deployment::new(name, breaker.layer(upstream.clone())).availability(breaker.handle());
    (deployment, breaker, upstream, healthy)
}

// S3.2, S3.3
#[tokio::test(start_paused = true)]
async fn while_a_breaker_is_open_the_other_answers_and_afterwards_exactly_one_call_tries() {
    let (a, breaker, upstream, healthy) = guarded("a");
    let (b, _) = answering("b");
    let router = router([model("main", [a, b.order(2)])]);
    healthy.store(false, Ordering::SeqCst);
    for _ in 0..2 {
        let call = call();
        assert_eq!(ask(&router, &call).await, Err((ErrorKind::ServerError, Some(Next::Peer))));
        assert_eq!(ask(&router, &call).await.unwrap(), "b");
    }
    assert!(matches!(breaker.handle().state(), State::Open { .. }));
    for _ in 0..20 {
        assert_eq!(ask(&router, &call()).await.unwrap(), "b");
    }
    assert_eq!(upstream.counts().calls, 2);

    tokio::time::advance(seconds(60)).await;
    healthy.store(true, Ordering::SeqCst);
    let mut tries = Vec::new();
    for _ in 0..20 {
        let router = router.clone();
        tries.push(tokio::spawn(async move { name(&router.ask(call()).await.unwrap()) }));
    }
    let mut answered = Vec::new();
    for one in tries {
        answered.push(one.await.unwrap());
    }
    assert_eq!(answered.iter().filter(|name| *name == "a").count(), 1, "{answered:?}");
    assert_eq!(breaker.handle().state(), State::Closed);
    assert_eq!(ask(&router, &call()).await.unwrap(), "a");
}

// B11: two callers look at the same moment; one place is there.
#[tokio::test(start_paused = true)]
async fn who_comes_too_late_for_the_trial_goes_to_a_peer_at_no_charge() {
    let told = Told::ready();
    told.set(Availability::HalfOpen);
    let refuses = Error::new(ErrorKind::Unavailable, "somebody else tries").with_retry_after(seconds(1));
    let a = told.of(Deployment::new("a", Scripted::repeating(Step::fail(refuses))));
    let router = router([model("main", [a, answering("b").0])]);
    let call = call();
    let reply = router.ask(call.clone()).await.unwrap();
    assert_eq!((name(&reply).as_str(), reply.head.attempts), ("b", 1));
    assert_eq!(call.context().attempts.len(), 1);
    let refused = call.context().attempts.errors();
    assert_eq!((refused.len(), refused[0].kind()), (1, ErrorKind::Unavailable));
    let stats = router.stats();
    let of = |name: &str| stats.iter().find(|one| one.deployment == name).unwrap();
    assert_eq!((of("a").sent, of("a").refused, of("a").failed), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_half_open_deployment_gets_one_call_a_second() {
    let told = Told::ready();
    told.set(Availability::HalfOpen);
    let (a, upstream) = answering("a");
    let router = router([model("main", [told.of(a), answering("b").0])]);
    for _ in 0..50 {
        common::who(&router, call()).await;
        tokio::time::advance(ms(100)).await;
    }
    assert_eq!(upstream.counts().calls, 5);
}

// B11
#[tokio::test(start_paused = true)]
async fn when_only_half_open_ones_are_left_every_call_tries() {
    let told = Told::ready();
    told.set(Availability::HalfOpen);
    let (a, upstream) = answering("a");
    let router = router([model("main", [told.of(a)])]);
    for _ in 0..5 {
        common::who(&router, call()).await;
    }
    assert_eq!(upstream.counts().calls, 5);
}

// B11
#[tokio::test(start_paused = true)]
async fn when_all_are_down_the_error_says_until_when() {
    let (one, other) = (Told::ready(), Told::ready());
    one.down_for(seconds(30));
    other.down_for(seconds(12));
    let router = router([model("main", [one.of(answering("a").0), other.of(answering("b").0)])]);
    let call = call();
    let error = router.ask(call.clone()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Unavailable, Some(seconds(12))));
    assert_eq!(error.next(), Some(Next::Same { fallback: false }));
    assert!(call.context().attempts.is_empty());
    tokio::time::advance(seconds(12)).await;
    assert_eq!(ask(&router, &call).await.unwrap(), "b");
}

// S3.2
#[tokio::test(start_paused = true)]
async fn when_all_are_down_the_fallback_answers_at_once() {
    let told = Told::ready();
    told.down_for(seconds(30));
    let models = [
        model("main", [told.of(answering("a").0)]).fallbacks(["backup"]),
        model("backup", [answering("b").0]),
    ];
    let reply = router(models).ask(call()).await.unwrap();
    assert_eq!((name(&reply).as_str(), reply.head.attempts), ("b", 1));
}

// An outage of a minute, a call every four seconds, each followed as a retry layer would.
#[tokio::test(start_paused = true)]
async fn through_an_outage_all_are_served_and_the_primary_is_used_again_soon() {
    let (a, _, upstream, healthy) = guarded("a");
    let models = [model("main", [a]).fallbacks(["backup"]), model("backup", [answering("b").0])];
    let router = router(models);
    healthy.store(false, Ordering::SeqCst);
    let begin = tokio::time::Instant::now();
    let mut first_again = None;
    for _ in 0..25 {
        if begin.elapsed() >= seconds(60) {
            healthy.store(true, Ordering::SeqCst);
        }
        let mut call = call();
        let answer = match ask(&router, &call).await {
            Err((_, Some(Next::Fallback))) => ask(&router, &call).await,
            Err(_) => {
                call.context_mut().needs.fresh = true;
                ask(&router, &call).await
            }
            answer => answer,
        };
        if answer.unwrap() == "a" {
            first_again.get_or_insert(begin.elapsed());
        }
        tokio::time::sleep(seconds(4)).await;
    }
    assert!(first_again.unwrap() < seconds(90), "{first_again:?}");
    let in_the_outage = upstream.counts().calls - usize::try_from(25 - 16).unwrap();
    assert!(in_the_outage <= 3, "{in_the_outage}");
}

#[tokio::test(start_paused = true)]
async fn trials_and_fallbacks_are_told() {
    let (half, down) = (Told::ready(), Told::ready());
    half.set(Availability::HalfOpen);
    down.down_for(seconds(60));
    let log = common::Log::default();
    let models = [
        model("main", [half.of(answering("a").0), answering("b").0]),
        model("gone", [down.of(answering("c").0)]).fallbacks(["main"]),
    ];
    let router = common::BuildOf::build_of(common::seeded().events(log.events()), models);
    for _ in 0..3 {
        common::who(&router, call()).await;
    }
    assert_eq!(log.names(), ["router.trial"]);
    common::who(&router, mainstay_provider_core::Call::ask("gone", "hello")).await;
    assert_eq!(log.names(), ["router.fallback"]);
}

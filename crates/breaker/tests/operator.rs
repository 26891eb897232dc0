//! What an operator and a router see and do.

mod common;

use common::{Act, RECOVERY, Setup, pass, rate_limited, seconds, streaming};
use mainstay_breaker::{BreakerLayer, State};
use mainstay_provider_core::{Availability, ErrorKind, Provider, ReportAvailability};
use tokio::time::Instant;

// Issue 3: forced open and closed
#[tokio::test(start_paused = true)]
async fn forced_open_it_refuses_a_healthy_deployment_until_it_is_released() {
    let setup = Setup::default();
    setup.handle.force_open();
    assert_eq!(setup.handle.state(), State::ForcedOpen);
    pass(seconds(100_000)).await;
    let refusal = setup.ask(Act::Answer).await.unwrap_err();
    assert_eq!((refusal.kind(), refusal.retry_after()), (ErrorKind::Unavailable, None));
    assert_eq!(setup.calls(), 0);
    setup.handle.release();
    setup.call(Act::Answer).await.unwrap();
    let events = setup.take_events();
    let told =
        |name| events.iter().filter_map(move |event| event.attributes.iter().find(|(key, _)| *key == name));
    assert_eq!(
        events.iter().map(|event| event.name).collect::<Vec<_>>(),
        ["breaker.forced_open", "breaker.released"]
    );
    assert_eq!(told("generation").map(|(_, value)| &**value).collect::<Vec<_>>(), ["1", "2"]);
}

// Issue 3: forced open and closed
#[tokio::test(start_paused = true)]
async fn forced_closed_it_lets_everything_through_until_it_is_released() {
    let setup = Setup::default();
    setup.trip().await;
    setup.handle.force_closed();
    setup.handle.force_closed();
    setup.fail(100).await;
    setup.call(rate_limited(seconds(9))).await.unwrap_err();
    setup.call(Act::Fail(ErrorKind::Authentication)).await.unwrap_err();
    setup.call(Act::Answer).await.unwrap();
    assert_eq!(setup.handle.state(), State::ForcedClosed);
    setup.handle.release();
    assert_eq!(setup.handle.state(), State::Closed);
    setup.handle.release();
    setup.fail(5).await;
    let opened = "breaker.opened";
    assert_eq!(setup.events(), [opened, "breaker.forced_closed", "breaker.released", opened]);
}

#[tokio::test(start_paused = true)]
async fn a_call_from_before_a_forcing_says_nothing_after_it() {
    let setup = Setup::new(BreakerLayer::builder().failures(1));
    let call = setup.send(Act::FailAfter(seconds(1), ErrorKind::Network)).await;
    setup.handle.force_closed();
    setup.handle.release();
    call.await.unwrap_err();
    assert_eq!(setup.handle.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_reset_ends_everything_that_was_held_against_the_deployment() {
    let setup = Setup::default();
    setup.trip().await;
    setup.handle.reset();
    assert_eq!(setup.handle.state(), State::Closed);
    setup.call(rate_limited(seconds(100))).await.unwrap_err();
    setup.handle.reset();
    assert_eq!(setup.handle.state(), State::Closed);
    setup.call(Act::Fail(ErrorKind::QuotaExhausted)).await.unwrap_err();
    setup.handle.reset();
    setup.fail(4).await;
    setup.handle.reset();
    setup.fail(4).await;
    assert_eq!(setup.handle.state(), State::Closed);
}

// Issue 3: readable by a router
#[tokio::test(start_paused = true)]
async fn a_router_reads_whether_calls_are_taken_and_changes_nothing_by_it() {
    let setup = Setup::default();
    let availability = || setup.handle.availability(Instant::now());
    assert_eq!(availability(), Availability::Ready);

    setup.trip().await;
    let until = Some(Instant::now() + RECOVERY);
    assert_eq!(availability(), Availability::Unavailable { until });
    pass(RECOVERY).await;
    let generation = setup.handle.stats().generation;
    assert_eq!(availability(), Availability::HalfOpen);
    assert_eq!(setup.handle.stats().generation, generation);

    let probe = setup.send(Act::AnswerAfter(seconds(1))).await;
    let lease = Some(Instant::now() + seconds(60));
    assert_eq!(availability(), Availability::Unavailable { until: lease });
    probe.await.unwrap();
    assert_eq!(availability(), Availability::Ready);

    setup.call(rate_limited(seconds(30))).await.unwrap_err();
    let State::Cooling { until } = setup.handle.state() else { panic!("it cools") };
    assert_eq!(availability(), Availability::Unavailable { until: Some(until) });
    pass(until - Instant::now()).await;
    assert_eq!(availability(), Availability::Ready);

    setup.handle.force_open();
    assert_eq!(availability(), Availability::Unavailable { until: None });
}

// Issue 3: metrics
#[tokio::test(start_paused = true)]
async fn each_admitted_call_is_counted_once_by_its_end() {
    let setup = Setup::default();
    setup.call(Act::Answer).await.unwrap();
    setup.fail(2).await;
    setup.call(Act::Fail(ErrorKind::InvalidRequest)).await.unwrap_err();
    setup.call(rate_limited(None)).await.unwrap_err();
    setup.set(Act::Hang);
    tokio::time::timeout(seconds(1), setup.breaker.ask(streaming())).await.unwrap_err();
    setup.call(Act::Fail(ErrorKind::Authentication)).await.unwrap_err();
    setup.call(Act::Answer).await.unwrap_err();
    let stats = setup.handle.stats();
    assert_eq!((stats.succeeded, stats.failed, stats.not_counted, stats.rate_limited), (1, 2, 1, 1));
    assert_eq!((stats.unseen, stats.account_errors, stats.refused), (1, 1, 1));
    let ended = stats.succeeded + stats.failed + stats.slow + stats.rate_limited;
    let ended = ended + stats.account_errors + stats.not_counted + stats.unseen;
    assert_eq!(stats.admitted, ended + stats.in_flight);
    assert_eq!(stats.state.as_str(), "parked");
}

// B10: a decision hangs on the monotonic time that it is given, and on nothing else
#[tokio::test(start_paused = true)]
#[allow(clippy::disallowed_methods, reason = "the wall clock must move while tokio's stands still")]
async fn the_wall_clock_changes_nothing() {
    let setup = Setup::new(BreakerLayer::builder().recovery(std::time::Duration::from_millis(20)));
    setup.trip().await;
    std::thread::sleep(std::time::Duration::from_millis(60));
    assert!(setup.is_refusing().await, "wall time passed, and no other");
    pass(std::time::Duration::from_millis(20)).await;
    assert!(!setup.is_refusing().await, "time passed, and no wall time");
}

// B12
#[tokio::test(start_paused = true)]
async fn a_refusal_makes_no_event() {
    let setup = Setup::default();
    setup.trip().await;
    setup.take_events();
    for _ in 0..10_000 {
        setup.call(Act::Answer).await.unwrap_err();
    }
    assert!(setup.events().is_empty());
    assert!(setup.handle.stats().refused >= 10_000);
}

//! It opens after failures in a row, refuses, tries again, and closes.

mod common;

use common::{Act, RECOVERY, Setup, pass, seconds};
use mainstay_breaker::{BreakerLayer, State};
use mainstay_provider_core::{ErrorKind, Remedy};
use tokio::time::Instant;

// S3.1
#[tokio::test(start_paused = true)]
async fn five_failures_in_a_row_open_it_for_sixty_seconds() {
    let setup = Setup::default();
    setup.fail(4).await;
    assert_eq!(setup.handle.state(), State::Closed);
    setup.fail(1).await;
    assert_eq!(setup.handle.state(), State::Open { until: Instant::now() + RECOVERY });
    pass(seconds(59)).await;
    assert!(setup.is_refusing().await);
    pass(seconds(1)).await;
    assert_eq!(setup.handle.state(), State::HalfOpen);
    setup.call(Act::Answer).await.unwrap();
    assert_eq!(setup.handle.state(), State::Closed);
    assert_eq!(setup.calls(), 6);
}

// S3.1
#[tokio::test(start_paused = true)]
async fn a_success_between_begins_the_row_anew() {
    let setup = Setup::default();
    for _ in 0..10 {
        setup.fail(4).await;
        setup.call(Act::Answer).await.unwrap();
    }
    assert_eq!(setup.handle.state(), State::Closed);
}

// S3.2
#[tokio::test(start_paused = true)]
async fn a_refusal_does_not_touch_the_deployment_and_sends_the_call_elsewhere() {
    let setup = Setup::default();
    setup.trip().await;
    let (calls, refused) = (setup.calls(), setup.handle.stats().refused);
    pass(seconds(15)).await;
    let error = setup.ask(Act::Answer).await.unwrap_err();
    assert_eq!(setup.calls(), calls);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.remedy(), Remedy::FailOver);
    assert_eq!(error.retry_after(), Some(seconds(45)));
    assert_eq!(error.deployment(), Some("eu-1"));
    assert_eq!(setup.handle.stats().refused, refused + 1);
}

// S3.1
#[tokio::test(start_paused = true)]
async fn a_failed_probe_opens_it_again() {
    let setup = Setup::default();
    setup.trip().await;
    pass(RECOVERY).await;
    setup.fail(1).await;
    assert_eq!(setup.handle.state(), State::Open { until: Instant::now() + RECOVERY });
    assert!(setup.is_refusing().await);
    pass(RECOVERY).await;
    setup.call(Act::Answer).await.unwrap();
    assert_eq!(setup.handle.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_recovery_time_may_double_with_each_failed_probe_and_shrinks_after_a_recovery() {
    let setup = Setup::new(BreakerLayer::builder().max_recovery(seconds(200)));
    for expected in [60, 120, 200, 200] {
        setup.trip().await;
        let State::Open { until } = setup.handle.state() else { panic!("it is open") };
        assert_eq!(until - Instant::now(), seconds(expected));
        pass(seconds(expected)).await;
        setup.fail(1).await;
    }
    pass(seconds(200)).await;
    setup.call(Act::Answer).await.unwrap();
    setup.trip().await;
    assert_eq!(setup.handle.state(), State::Open { until: Instant::now() + RECOVERY });
}

// Issue 3: state and transitions observable
#[tokio::test(start_paused = true)]
async fn each_change_of_state_is_one_event() {
    let setup = Setup::default();
    setup.fail(5).await;
    pass(RECOVERY).await;
    setup.fail(1).await;
    pass(RECOVERY).await;
    setup.call(Act::Answer).await.unwrap();
    let events = setup.take_events();
    let names: Vec<_> = events.iter().map(|event| event.name).collect();
    let half_open = "breaker.half_open";
    assert_eq!(names, ["breaker.opened", half_open, "breaker.opened", half_open, "breaker.closed"]);
    let reasons: Vec<_> =
        [0, 2].iter().map(|&at| events[at].attributes.iter().find(|(name, _)| *name == "reason")).collect();
    assert_eq!(reasons[0].unwrap().1, "failures_in_a_row");
    assert_eq!(reasons[1].unwrap().1, "probe_failed");
    assert!(events.iter().all(|event| event.attributes.contains(&("deployment", "eu-1".into()))));
}

// S3.3
#[tokio::test(start_paused = true)]
async fn traffic_moves_to_the_other_provider_until_a_probe_succeeds() {
    let (first, second) = (Setup::default(), Setup::default());
    let mut served = Vec::new();
    for call in 0..40 {
        let healthy = call >= 20;
        let act = if healthy { Act::Answer } else { Act::Fail(ErrorKind::Overloaded) };
        let by_first = first.call(act).await.is_ok();
        if !by_first {
            second.call(Act::Answer).await.unwrap();
        }
        served.push(by_first);
        pass(seconds(4)).await;
    }
    // Five failures, 60 s of rest, one failed probe, 60 s of rest: then the first serves again.
    assert_eq!(first.calls(), 5 + 1 + served.iter().filter(|by_first| **by_first).count() as u32);
    assert!(served[..31].iter().all(|by_first| !by_first));
    assert!(served[35..].iter().all(|by_first| *by_first));
}

//! Which errors count, and which say nothing of the deployment.

mod common;

use common::{Act, RECOVERY, Setup, Step, pass, rate_limited, seconds, streaming};
use mainstay_breaker::{
    BehindRateLimit, Blame, BreakerLayer, BreakerPolicy, FailureRate, StandardPolicy, State,
};
use mainstay_provider_core::{Error, ErrorKind, Provider, Timer};

// B5
#[tokio::test(start_paused = true)]
async fn failures_of_the_deployment_count() {
    use ErrorKind::*;
    let kinds = [
        Network,
        Overloaded,
        ServerError,
        MalformedResponse,
        Timeout(Timer::Connect),
        Timeout(Timer::FirstToken),
        Timeout(Timer::Total),
        Timeout(Timer::Upstream),
    ];
    for kind in kinds {
        let setup = Setup::default();
        for _ in 0..5 {
            setup.call(Act::Fail(kind)).await.unwrap_err();
        }
        assert!(matches!(setup.handle.state(), State::Open { .. }), "{kind}");
    }
}

// B5
#[tokio::test(start_paused = true)]
async fn streams_that_break_after_their_first_token_count() {
    let breaks = [
        Step::Fail(ErrorKind::Overloaded),
        Step::Fail(ErrorKind::Timeout(Timer::Idle)),
        Step::Fail(ErrorKind::Network),
        Step::Cut,
    ];
    for broken in breaks {
        let setup = Setup::default();
        for _ in 0..5 {
            setup.call(Act::Stream(vec![Step::Text, broken])).await.unwrap_err();
        }
        assert!(matches!(setup.handle.state(), State::Open { .. }), "{broken:?}");
    }
}

// B5
#[tokio::test(start_paused = true)]
async fn ten_thousand_bad_requests_do_not_open_it() {
    use ErrorKind::*;
    let setup = Setup::new(BreakerLayer::builder().failure_rate(FailureRate::new(0.1)));
    let kinds = [
        InvalidRequest,
        ModelNotFound,
        ContentFiltered,
        ContextLengthExceeded,
        MalformedToolCall,
        LimitReached,
        Unavailable,
    ];
    for kind in kinds.into_iter().cycle().take(10_000) {
        setup.call(Act::Fail(kind)).await.unwrap_err();
    }
    assert_eq!(setup.handle.state(), State::Closed);
    let stats = setup.handle.stats();
    assert_eq!((stats.not_counted, stats.window_sent, stats.failures_in_a_row), (10_000, 0, 0));
}

// B5
#[tokio::test(start_paused = true)]
async fn callers_who_leave_do_not_open_it() {
    let setup = Setup::new(BreakerLayer::builder().failure_rate(FailureRate::new(0.1).min_requests(1)));
    setup.set(Act::Stream(vec![Step::Text, Step::Hang]));
    for _ in 0..100 {
        drop(setup.breaker.ask(streaming()).await.unwrap());
    }
    setup.set(Act::Hang);
    for _ in 0..100 {
        tokio::time::timeout(seconds(1), setup.breaker.ask(streaming())).await.unwrap_err();
    }
    assert_eq!(setup.handle.state(), State::Closed);
    assert_eq!(setup.handle.stats().unseen, 200);
}

// B5: "per-attempt timeout" counts, a caller's hurry does not
#[tokio::test(start_paused = true)]
async fn a_deadline_that_left_the_deployment_no_time_is_not_held_against_it() {
    let expired = ErrorKind::Timeout(Timer::Total);
    for (deadline, counts) in [(seconds(1), false), (seconds(15), true)] {
        let setup = Setup::default();
        for _ in 0..5 {
            let mut call = streaming();
            call.context_mut().deadline = Some(tokio::time::Instant::now() + deadline);
            setup.set(Act::FailAfter(deadline, expired));
            assert_eq!(setup.breaker.ask(call).await.unwrap_err().kind(), expired);
        }
        assert_eq!(setup.handle.state() != State::Closed, counts, "{deadline:?}");
    }
}

// B6
#[tokio::test(start_paused = true)]
async fn an_account_error_parks_it_until_it_is_put_right() {
    for kind in [ErrorKind::Authentication, ErrorKind::PermissionDenied, ErrorKind::QuotaExhausted] {
        let setup = Setup::new(BreakerLayer::builder().failure_rate(FailureRate::new(0.1).min_requests(1)));
        assert_eq!(
            setup.call(Act::Fail(kind)).await,
            Err(kind),
            "the caller hears the deployment's own error"
        );
        assert_eq!(setup.handle.state(), State::Parked { until: None });
        assert_eq!(setup.handle.stats().window_failed, 0);
        let calls = setup.calls();
        pass(seconds(100_000)).await;
        let refusal = setup.ask(Act::Answer).await.unwrap_err();
        assert_eq!((refusal.kind(), refusal.retry_after()), (ErrorKind::Unavailable, None));
        assert_eq!(setup.calls(), calls);
        let event = &setup.take_events()[0];
        assert_eq!(event.name, "breaker.parked");
        assert_eq!(event.severity, mainstay_provider_core::Severity::Alert);
        assert!(event.attributes.contains(&("reason", kind.as_str().into())));
        setup.handle.unpark();
        setup.call(Act::Answer).await.unwrap();
        assert_eq!(setup.handle.state(), State::Closed);
        assert_eq!(setup.events(), ["breaker.unparked"]);
    }
}

// B6: `enforced_spend_limit_reached` with the time of its reset
#[tokio::test(start_paused = true)]
async fn an_account_error_that_names_its_end_parks_until_then_and_is_tried_by_a_probe() {
    let setup = Setup::default();
    let spent = Error::new(ErrorKind::QuotaExhausted, "limit").with_retry_after(seconds(3_600));
    setup.call(Act::Error(spent)).await.unwrap_err();
    pass(seconds(3_599)).await;
    assert!(setup.is_refusing().await);
    pass(seconds(1)).await;
    assert_eq!(setup.handle.state(), State::HalfOpen);
    setup.call(Act::Answer).await.unwrap();
    assert_eq!(setup.handle.state(), State::Closed);
}

// B6
#[tokio::test(start_paused = true)]
async fn a_parked_deployment_may_be_looked_at_again_from_time_to_time() {
    let setup = Setup::new(BreakerLayer::builder().park_recheck(seconds(600)));
    for _ in 0..3 {
        setup.call(Act::Fail(ErrorKind::QuotaExhausted)).await.unwrap_err();
        assert!(setup.is_refusing().await);
        pass(seconds(600)).await;
    }
    setup.call(Act::Answer).await.unwrap();
    assert_eq!(setup.handle.state(), State::Closed);
    assert_eq!(setup.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_parked_deployment_whose_probe_fails_begins_with_the_plain_recovery_time() {
    let setup = Setup::new(BreakerLayer::builder().park_recheck(seconds(600)).max_recovery(seconds(240)));
    setup.call(Act::Fail(ErrorKind::QuotaExhausted)).await.unwrap_err();
    pass(seconds(600)).await;
    setup.fail(1).await;
    assert_eq!(setup.handle.state(), State::Open { until: tokio::time::Instant::now() + RECOVERY });
}

// B6: a probe finds the key revoked
#[tokio::test(start_paused = true)]
async fn a_probe_with_an_account_error_parks_it() {
    let setup = Setup::default();
    setup.trip().await;
    pass(RECOVERY).await;
    setup.call(Act::Fail(ErrorKind::Authentication)).await.unwrap_err();
    assert_eq!(setup.handle.state(), State::Parked { until: None });
}

// B7
#[tokio::test(start_paused = true)]
async fn a_429_with_a_hint_cools_the_deployment_that_long_and_counts_nowhere() {
    let rate = FailureRate::new(0.1).min_requests(1);
    let setup = Setup::new(BreakerLayer::builder().failures(1).failure_rate(rate));
    setup.call(rate_limited(seconds(20))).await.unwrap_err();
    let State::Cooling { until } = setup.handle.state() else { panic!("{:?}", setup.handle.state()) };
    let wait = until - tokio::time::Instant::now();
    assert!((seconds(20)..=seconds(22)).contains(&wait), "{wait:?}");
    assert_eq!(setup.ask(Act::Answer).await.unwrap_err().retry_after(), Some(wait));
    pass(wait).await;
    setup.call(Act::Answer).await.unwrap();
    assert_eq!(setup.handle.stats().opened, 0);
    assert_eq!(setup.events(), ["breaker.cooling"]);
}

// B7
#[tokio::test(start_paused = true)]
async fn a_second_hint_never_makes_the_pause_shorter() {
    let setup = Setup::default();
    let mut calls = Vec::new();
    for hint in [60, 5, 90, 30] {
        calls.push(setup.send(rate_limited(seconds(hint))).await);
    }
    let mut longest = tokio::time::Instant::now();
    for call in calls {
        call.await.unwrap_err();
        let State::Cooling { until } = setup.handle.state() else { panic!("it cools") };
        assert!(until >= longest);
        longest = until;
    }
    assert!(longest - tokio::time::Instant::now() >= seconds(90));
    assert_eq!(setup.events(), ["breaker.cooling"], "a longer pause is no new event");
}

// B7
#[tokio::test(start_paused = true)]
async fn a_hint_is_capped_and_spread() {
    for hint in [10, 200, 290, 300, 86_400] {
        let mut waits = Vec::new();
        for seed in 0..50 {
            let setup = Setup::seeded(seed);
            setup.call(rate_limited(seconds(hint))).await.unwrap_err();
            let State::Cooling { until } = setup.handle.state() else { panic!("it cools") };
            let wait = until - tokio::time::Instant::now();
            assert!(wait <= seconds(300) && wait >= seconds(hint.min(270)), "{hint}: {wait:?}");
            waits.push(wait);
        }
        waits.sort_unstable();
        waits.dedup();
        assert!(waits.len() > 10, "{hint}: they do not come back together");
    }
}

// B7
#[tokio::test(start_paused = true)]
async fn a_429_without_a_hint_counts_in_the_window_and_never_in_a_row() {
    let setup = Setup::default();
    for _ in 0..100 {
        setup.call(rate_limited(None)).await.unwrap_err();
    }
    assert_eq!(setup.handle.state(), State::Closed);
    let rate = FailureRate::new(0.5).min_requests(10);
    let setup = Setup::new(BreakerLayer::builder().failure_rate(rate));
    for _ in 0..9 {
        setup.call(rate_limited(None)).await.unwrap_err();
    }
    assert_eq!(setup.handle.state(), State::Closed);
    setup.call(rate_limited(None)).await.unwrap_err();
    assert!(matches!(setup.handle.state(), State::Open { .. }));
}

// B7
#[tokio::test(start_paused = true)]
async fn a_429_between_failures_does_not_break_their_row() {
    let setup = Setup::default();
    setup.fail(4).await;
    setup.call(rate_limited(seconds(1))).await.unwrap_err();
    pass(seconds(2)).await;
    setup.fail(1).await;
    assert!(matches!(setup.handle.state(), State::Open { .. }));
}

// B7
#[tokio::test(start_paused = true)]
async fn a_probe_that_is_told_to_wait_gives_its_place_back_and_one_that_is_not_has_failed() {
    let setup = Setup::default();
    setup.trip().await;
    pass(RECOVERY).await;
    setup.call(rate_limited(seconds(10))).await.unwrap_err();
    assert!(setup.is_refusing().await);
    pass(seconds(11)).await;
    assert_eq!(setup.handle.state(), State::HalfOpen);
    setup.call(rate_limited(None)).await.unwrap_err();
    assert!(matches!(setup.handle.state(), State::Open { .. }));
}

// B7: "retry-after: 0" is no pause
#[tokio::test(start_paused = true)]
async fn a_hint_of_zero_is_no_hint() {
    let setup = Setup::default();
    setup.call(rate_limited(seconds(0))).await.unwrap_err();
    assert_eq!(setup.handle.state(), State::Closed);
    assert!(setup.events().is_empty());
}

// B12: "swallowed errors cannot be recorded as success"
#[tokio::test(start_paused = true)]
async fn an_error_that_nobody_is_blamed_for_is_no_success() {
    let setup = Setup::default();
    setup.fail(4).await;
    setup.call(Act::Fail(ErrorKind::InvalidRequest)).await.unwrap_err();
    setup.fail(1).await;
    assert!(matches!(setup.handle.state(), State::Open { .. }));
    pass(RECOVERY).await;
    setup.call(Act::Fail(ErrorKind::InvalidRequest)).await.unwrap_err();
    assert_eq!(setup.handle.state(), State::HalfOpen, "it did not close the breaker either");
}

#[tokio::test(start_paused = true)]
async fn who_is_to_blame_can_be_said_otherwise() {
    let strict = |error: &Error| match error.kind() {
        ErrorKind::ContentFiltered => Blame::Deployment,
        _ => StandardPolicy.blame(error),
    };
    let setup = Setup::new(BreakerLayer::builder().policy(strict));
    for _ in 0..5 {
        setup.call(Act::Fail(ErrorKind::ContentFiltered)).await.unwrap_err();
    }
    assert!(matches!(setup.handle.state(), State::Open { .. }));
}

// B7, where a rate limiter stands in front.
#[tokio::test(start_paused = true)]
async fn behind_a_rate_limiter_a_429_with_a_hint_is_the_limiters() {
    let setup = Setup::new(BreakerLayer::builder().policy(BehindRateLimit));
    let hint = || Error::new(ErrorKind::RateLimited, "slow down").with_retry_after(seconds(7));
    setup.call(Act::Error(hint())).await.unwrap_err();
    assert_eq!(setup.handle.state(), State::Closed);
    setup.fail(5).await;
    assert!(matches!(setup.handle.state(), State::Open { .. }), "everything else counts");
}

//! What the provider asks for is a floor, up to a cap.

mod common;

use std::time::Duration;

use common::{Setup, answers, error, rate_limited, seconds, whole};
use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_provider_core::{ErrorKind, Provider};
use mainstay_retry::{Jitter, RetryBuilder, RetryLayer};
use tokio::time::Instant;
use tower::Layer;

// S2.1, fault bench: 429 with `Retry-After: 2` once
#[tokio::test(start_paused = true)]
async fn nobody_comes_sooner_than_the_provider_asks() {
    for builder in [RetryLayer::builder(), RetryBuilder::standard()] {
        let setup = Setup::new(builder, [rate_limited(seconds(7)), answers()]);
        let (result, took) = setup.call(whole()).await;
        assert_eq!(result.unwrap(), "done");
        assert!(seconds(7) <= took && took <= Duration::from_millis(7_510), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_shorter_than_the_back_off_does_not_shorten_it() {
    for wait in [Duration::ZERO, Duration::from_millis(20)] {
        let setup = Setup::bare([rate_limited(wait), answers()]);
        let (_, took) = setup.call(whole()).await;
        assert!(took >= seconds(1), "{took:?}");
    }
}

// S2.3: twenty callers that were told the same
#[tokio::test(start_paused = true)]
async fn those_who_were_told_the_same_come_a_little_apart() {
    for jitter in [Jitter::Proportional, Jitter::Full, Jitter::Decorrelated] {
        let layer = RetryLayer::builder().jitter(jitter).seed(3).build().unwrap();
        let mut came: Vec<Duration> = Vec::new();
        for _ in 0..20 {
            let begin = Instant::now();
            layer.layer(Scripted::new([rate_limited(seconds(5)), answers()])).ask(whole()).await.unwrap();
            came.push(begin.elapsed());
        }
        came.sort();
        assert!(came[0] >= seconds(5), "{jitter:?}");
        assert!(
            came[19] - came[0] > Duration::from_millis(250),
            "{jitter:?}: {:?} to {:?}",
            came[0],
            came[19]
        );
    }
}

// T4
#[tokio::test(start_paused = true)]
async fn a_provider_that_asks_for_more_than_the_cap_is_not_waited_for() {
    let setup = Setup::standard([rate_limited(seconds(31)), answers()]);
    let (result, took) = setup.call(whole()).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::RateLimited, Some(seconds(31))));
    assert_eq!((took, setup.calls()), (seconds(0), 1));
    assert_eq!(setup.events(), ["retry.exhausted"]);
}

#[tokio::test(start_paused = true)]
async fn the_cap_can_be_raised() {
    let builder = RetryLayer::builder().max_retry_after(seconds(60));
    let setup = Setup::new(builder, [rate_limited(seconds(31)), answers()]);
    let (result, took) = setup.call(whole()).await;
    assert!(result.is_ok() && took >= seconds(31));
}

// A breaker that says when it lets a probe through
#[tokio::test(start_paused = true)]
async fn a_deployment_that_says_when_it_is_back_is_waited_for_and_one_that_does_not_is_not() {
    let down = |wait: Option<Duration>| match wait {
        Some(wait) => Step::fail(error(ErrorKind::Unavailable).with_retry_after(wait)),
        None => Step::fail(error(ErrorKind::Unavailable)),
    };
    let setup = Setup::bare([down(Some(seconds(4))), answers()]);
    assert!(setup.call(whole()).await.1 >= seconds(4));
    let setup = Setup::bare([down(None), answers()]);
    assert_eq!(setup.call(whole()).await.0.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(setup.calls(), 1);
}

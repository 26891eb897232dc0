//! Each kind of failure gets what helps, and nothing else.

mod common;

use common::{Setup, answers, attribute, error, fails, seconds, whole};
use mainstay_provider_core::test_kit::Step;
use mainstay_provider_core::{ErrorKind, Severity, Timer};
use mainstay_retry::{Action, RetryLayer, RetryPolicy as _, StandardPolicy};

// S2.1
#[tokio::test(start_paused = true)]
async fn what_may_pass_is_asked_again() {
    for kind in [
        ErrorKind::Network,
        ErrorKind::RateLimited,
        ErrorKind::Overloaded,
        ErrorKind::ServerError,
        ErrorKind::Timeout(Timer::Connect),
        ErrorKind::Timeout(Timer::FirstToken),
        ErrorKind::Timeout(Timer::Upstream),
        ErrorKind::MalformedResponse,
    ] {
        let setup = Setup::standard([fails(kind), answers()]);
        let (result, _) = setup.call(whole()).await;
        assert_eq!(result.unwrap(), "done", "{kind}");
        assert_eq!(setup.events(), ["retry.waiting"], "{kind}");
    }
}

// S2.1
#[tokio::test(start_paused = true)]
async fn what_would_fail_again_is_not_sent_again() {
    for kind in [
        ErrorKind::ContentFiltered,
        ErrorKind::InvalidRequest,
        ErrorKind::ModelNotFound,
        ErrorKind::LimitReached,
        ErrorKind::Configuration,
        ErrorKind::Internal,
    ] {
        let setup = Setup::standard([fails(kind), answers()]);
        let (result, took) = setup.call(whole()).await;
        assert_eq!(result.unwrap_err().kind(), kind);
        assert_eq!((setup.calls(), took), (1, seconds(0)), "{kind}");
        assert!(setup.events().is_empty(), "{kind}");
    }
}

// S2.1: never retried, and an alert
#[tokio::test(start_paused = true)]
async fn a_refused_key_is_never_tried_again_and_somebody_hears_of_it() {
    for kind in [ErrorKind::Authentication, ErrorKind::PermissionDenied, ErrorKind::QuotaExhausted] {
        let setup = Setup::standard([fails(kind), answers()]);
        assert_eq!(setup.call(whole()).await.0.unwrap_err().kind(), kind);
        assert_eq!(setup.calls(), 1);
        let events = setup.take_events();
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].name, events[0].severity), ("retry.authentication", Severity::Alert));
        assert_eq!(attribute(&events[0], "reason"), kind.as_str());
        assert_eq!(attribute(&events[0], "provider"), "scripted");
    }
}

#[tokio::test(start_paused = true)]
async fn the_providers_own_word_on_retrying_counts() {
    let no = Step::fail(error(ErrorKind::ServerError).with_retryable(false));
    let setup = Setup::standard([no, answers()]);
    assert_eq!(setup.call(whole()).await.0.unwrap_err().kind(), ErrorKind::ServerError);
    let yes = Step::fail(error(ErrorKind::InvalidRequest).with_retryable(true));
    let setup = Setup::standard([yes, answers()]);
    assert_eq!(setup.call(whole()).await.0.unwrap(), "done");
}

// S1.6
#[tokio::test(start_paused = true)]
async fn when_all_attempts_fail_the_error_lists_each() {
    let setup = Setup::standard([
        fails(ErrorKind::RateLimited),
        fails(ErrorKind::ServerError),
        fails(ErrorKind::Network),
    ]);
    let error = setup.call(whole()).await.0.unwrap_err();
    let kinds: Vec<_> = error.attempts().iter().map(|error| error.kind()).collect();
    assert_eq!(error.kind(), ErrorKind::Network);
    assert_eq!(kinds, [ErrorKind::RateLimited, ErrorKind::ServerError, ErrorKind::Network]);
    let events = setup.take_events();
    let last = events.last().unwrap();
    assert_eq!((last.name, last.severity), ("retry.exhausted", Severity::Warning));
    assert_eq!((attribute(last, "by"), attribute(last, "attempts")), ("attempts", "3"));
}

#[tokio::test(start_paused = true)]
async fn who_uses_it_says_what_is_retried() {
    let policy = |error: &mainstay_provider_core::Error| match error.kind() {
        ErrorKind::ServerError => Action::GiveUp,
        ErrorKind::ContentFiltered => Action::BackOff { fallback: false },
        _ => StandardPolicy.action(error),
    };
    let setup = Setup::new(RetryLayer::builder().policy(policy), [fails(ErrorKind::ServerError)]);
    assert_eq!(setup.call(whole()).await.0.unwrap_err().kind(), ErrorKind::ServerError);
    let setup =
        Setup::new(RetryLayer::builder().policy(policy), [fails(ErrorKind::ContentFiltered), answers()]);
    assert_eq!(setup.call(whole()).await.0.unwrap(), "done");
}

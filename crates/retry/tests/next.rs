//! What a router says on where the call could go next overrules the kind of the error.

mod common;

use common::{Setup, answers, error, seconds, whole};
use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_provider_core::{ErrorKind, Next};
use mainstay_retry::RetryBuilder;

fn fails_with(kind: ErrorKind, next: Next) -> Step {
    Step::fail(error(kind).with_next(next))
}

#[tokio::test(start_paused = true)]
async fn a_peer_and_a_fallback_are_asked_at_once() {
    for next in [Next::Peer, Next::Fallback] {
        let setup = Setup::standard([fails_with(ErrorKind::RateLimited, next), answers()]);
        let (result, took) = setup.call(whole()).await;
        assert_eq!((result.unwrap().as_str(), took), ("done", seconds(0)));
        assert!(setup.events().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_when_nobody_is_left() {
    let setup = Setup::standard([fails_with(ErrorKind::RateLimited, Next::Nowhere), answers()]);
    assert_eq!(setup.call(whole()).await.0.unwrap_err().kind(), ErrorKind::RateLimited);
    assert_eq!(setup.calls(), 1);
}

// Fault bench: 429 without a header for ever: the same one at most three times within 3 s, then the fallback
#[tokio::test(start_paused = true)]
async fn when_the_attempts_on_the_same_end_the_fallback_is_asked() {
    let same = || fails_with(ErrorKind::RateLimited, Next::Same { fallback: true });
    let setup = Setup::standard([same(), same(), same(), answers()]);
    let (result, took) = setup.call(whole()).await;
    assert_eq!(result.unwrap(), "done");
    assert!(took < seconds(4), "{took:?}");
    let fresh: Vec<bool> = setup.upstream.calls().iter().map(|call| call.context().needs.fresh).collect();
    assert_eq!(fresh, [false, false, false, true]);
}

// And fallbacks of the fallback
#[tokio::test(start_paused = true)]
async fn fallbacks_are_asked_one_after_the_other_and_the_same_one_never_again() {
    let same = || fails_with(ErrorKind::ServerError, Next::Same { fallback: true });
    let fallback = || fails_with(ErrorKind::Network, Next::Fallback);
    let setup = Setup::standard([same(), same(), same(), fallback(), fallback(), same(), answers()]);
    let error = setup.call(whole()).await.0.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerError);
    assert_eq!(setup.calls(), 6);
}

// S1.6: a router that would go on has not listed them yet, but it has noted them
#[tokio::test(start_paused = true)]
async fn when_the_attempts_end_before_the_router_does_the_error_lists_what_the_router_noted() {
    let upstream = Scripted::by(|call| {
        let error = error(ErrorKind::ServerError).with_next(Next::Same { fallback: false });
        let attempts = &call.context().attempts;
        attempts.end(attempts.begin(), "eu-1", Some(&error));
        Step::fail(error)
    });
    let setup = Setup::over(RetryBuilder::standard(), upstream);
    let error = setup.call(whole()).await.0.unwrap_err();
    assert_eq!((setup.calls(), error.attempts().len()), (3, 3));
}

// The list of a router is longer and better
#[tokio::test(start_paused = true)]
async fn the_routers_list_of_errors_stays() {
    let listed = vec![error(ErrorKind::Network), error(ErrorKind::Overloaded), error(ErrorKind::Network)];
    let last = error(ErrorKind::Network).with_next(Next::Nowhere).with_attempts(listed);
    let setup = Setup::standard([fails_with(ErrorKind::Network, Next::Peer), Step::fail(last)]);
    assert_eq!(setup.call(whole()).await.0.unwrap_err().attempts().len(), 3);
}

//! Where a call that failed could go next, and that it goes there.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{
    FIRST_TOKEN, Told, answering, ask, call, doing, error, failing, model, router, seconds, streaming,
};
use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_provider_core::{Availability, Call, Error, ErrorKind, Next, Provider};
use mainstay_router::{Deployment, Router};

const PEER: Option<Next> = Some(Next::Peer);
const FALLBACK: Option<Next> = Some(Next::Fallback);
const NOWHERE: Option<Next> = Some(Next::Nowhere);
const SAME: Option<Next> = Some(Next::Same { fallback: false });
const SAME_OR_FALLBACK: Option<Next> = Some(Next::Same { fallback: true });

fn fresh(call: &Call) -> Call {
    let mut call = call.clone();
    call.context_mut().needs.fresh = true;
    call
}

/// `main` with deployments that fail so, in tiers, and `backup` with one that answers.
fn with_backup(failures: &[Error]) -> Router {
    let main = failures.iter().enumerate().map(|(at, error)| {
        let (deployment, _) = doing(&format!("main-{at}"), Step::fail(error.clone()));
        deployment.order(u32::try_from(at).unwrap())
    });
    router([model("main", main).fallbacks(["backup"]), model("backup", [answering("backup-0").0])])
}

#[tokio::test]
async fn a_failure_goes_to_a_peer_first_and_at_once() {
    for kind in [ErrorKind::RateLimited, ErrorKind::ServerError, FIRST_TOKEN, ErrorKind::Authentication] {
        let router = with_backup(&[error(kind), error(kind)]);
        assert_eq!(ask(&router, &call()).await, Err((kind, PEER)), "{kind}");
    }
}

#[tokio::test]
async fn what_waiting_helps_is_asked_again_and_what_it_does_not_help_is_not() {
    for (kind, expected) in [
        (ErrorKind::RateLimited, SAME_OR_FALLBACK),
        (ErrorKind::ServerError, SAME_OR_FALLBACK),
        (ErrorKind::Network, SAME_OR_FALLBACK),
        (ErrorKind::Overloaded, SAME_OR_FALLBACK),
        (ErrorKind::MalformedToolCall, SAME_OR_FALLBACK),
        (ErrorKind::LimitReached, SAME_OR_FALLBACK),
        (FIRST_TOKEN, FALLBACK),
        (ErrorKind::MalformedResponse, FALLBACK),
        (ErrorKind::ModelNotFound, FALLBACK),
        (ErrorKind::Unavailable, FALLBACK),
        (ErrorKind::Authentication, FALLBACK),
        (ErrorKind::QuotaExhausted, FALLBACK),
        (ErrorKind::Configuration, FALLBACK),
        (ErrorKind::InvalidRequest, NOWHERE),
        (ErrorKind::Internal, NOWHERE),
        (ErrorKind::ContentFiltered, NOWHERE),
        (ErrorKind::ContextLengthExceeded, None),
    ] {
        let router = with_backup(&[error(kind)]);
        assert_eq!(ask(&router, &call()).await, Err((kind, expected)), "{kind}");
    }
}

#[tokio::test]
async fn without_a_fallback_what_waiting_does_not_help_goes_nowhere() {
    for (kind, expected) in [
        (ErrorKind::ServerError, SAME),
        (FIRST_TOKEN, NOWHERE),
        (ErrorKind::Unavailable, NOWHERE),
        (ErrorKind::PermissionDenied, NOWHERE),
    ] {
        let router = router([model("main", [failing("a", kind).0])]);
        assert_eq!(ask(&router, &call()).await, Err((kind, expected)), "{kind}");
    }
}

#[tokio::test]
async fn told_to_wait_the_same_deployment_is_asked_again_and_told_to_go_fresh_the_fallback() {
    let router = with_backup(&[error(ErrorKind::ServerError)]);
    let call = call();
    for _ in 0..3 {
        assert_eq!(ask(&router, &call).await, Err((ErrorKind::ServerError, SAME_OR_FALLBACK)));
    }
    assert_eq!(ask(&router, &fresh(&call)).await.unwrap(), "backup-0");
}

#[tokio::test]
async fn fresh_never_comes_back_to_one_that_failed() {
    let main = model("main", [failing("a", ErrorKind::ServerError).0]).fallbacks(["backup"]);
    let backup = model("backup", [failing("b", ErrorKind::ServerError).0]);
    let router = router([main, backup]);
    let call = call();
    assert_eq!(ask(&router, &call).await, Err((ErrorKind::ServerError, SAME_OR_FALLBACK)));
    let fresh = fresh(&call);
    assert_eq!(ask(&router, &fresh).await, Err((ErrorKind::ServerError, NOWHERE)));
    let last = router.ask(fresh).await.unwrap_err();
    assert_eq!((last.next(), last.attempts().len()), (NOWHERE, 2));
}

#[tokio::test]
async fn a_first_token_that_does_not_come_excludes_its_deployment_for_the_call() {
    let (a, silent) = failing("a", FIRST_TOKEN);
    let (b, _) = failing("b", ErrorKind::ServerError);
    let router = router([model("main", [a, b.order(2)])]);
    let call = call();
    assert_eq!(ask(&router, &call).await, Err((FIRST_TOKEN, PEER)));
    for _ in 0..3 {
        assert_eq!(ask(&router, &call).await, Err((ErrorKind::ServerError, SAME)));
    }
    assert_eq!(silent.counts().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_deployment_that_cools_while_another_could_serve_is_wrong() {
    let told = Told::ready();
    let (down, until) = (told.clone(), seconds(2));
    let a = Scripted::by(move |_| {
        down.down_for(until);
        Step::fail(error(ErrorKind::RateLimited).with_retry_after(until))
    });
    let a = told.of(Deployment::new("a", a));
    let models = [
        model("main", [a.clone()]).fallbacks(["backup"]),
        model("alone", [a]),
        model("backup", [answering("b").0]),
    ];
    let router = router(models);
    let call = call();
    assert_eq!(ask(&router, &call).await, Err((ErrorKind::RateLimited, FALLBACK)));
    assert_eq!(ask(&router, &call).await.unwrap(), "b");

    // Alone, it is waited for as long as it cools.
    tokio::time::advance(seconds(3)).await;
    let mut alone = Call::ask("alone", "hello");
    let error = router.ask(alone.clone()).await.unwrap_err();
    assert_eq!((error.next(), error.retry_after()), (SAME, Some(seconds(2))));
    alone.request_mut();
}

#[tokio::test(start_paused = true)]
async fn the_wait_is_raised_to_when_the_deployment_takes_calls_again() {
    let told = Told::ready();
    let down = told.clone();
    let a = Scripted::by(move |_| {
        down.down_for(seconds(60));
        Step::fail_with(ErrorKind::ServerError)
    });
    let router = router([model("main", [told.of(Deployment::new("a", a))])]);
    let error = router.ask(call()).await.unwrap_err();
    assert_eq!((error.next(), error.retry_after()), (SAME, Some(seconds(60))));
}

#[tokio::test(start_paused = true)]
async fn one_that_asks_for_a_pause_does_not_hold_up_another_that_may_be_asked_again() {
    let (a, _) = failing("a", ErrorKind::ServerError);
    let pause = error(ErrorKind::RateLimited).with_retry_after(seconds(30));
    let (b, _) = doing("b", Step::fail(pause));
    let router = router([model("main", [a, b.order(2)])]);
    let call = call();
    assert_eq!(ask(&router, &call).await, Err((ErrorKind::ServerError, PEER)));
    let error = router.ask(call).await.unwrap_err();
    assert_eq!((error.next(), error.retry_after()), (SAME, Some(seconds(0))));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_only_cools_is_waited_for_when_there_is_nobody_else() {
    let told = Told::ready();
    told.down_for(seconds(4));
    let (b, _) = answering("b");
    let router = router([model("main", [failing("a", FIRST_TOKEN).0, told.of(b)])]);
    let call = call();
    let error = router.ask(call.clone()).await.unwrap_err();
    assert_eq!((error.next(), error.retry_after()), (SAME, Some(seconds(4))));
    tokio::time::advance(seconds(4)).await;
    assert_eq!(ask(&router, &call).await.unwrap(), "b");
}

// Our own limit refused the call: it was never sent.
#[tokio::test]
async fn a_full_rate_limiter_costs_no_attempt_while_a_peer_has_room() {
    let full = error(ErrorKind::LimitReached).with_retry_after(seconds(3));
    let (a, _) = doing("a", Step::fail(full));
    let router = router([model("main", [a.clone(), answering("b").0.order(2)]), model("alone", [a])]);
    let call = call();
    let reply = router.ask(call.clone()).await.unwrap();
    assert_eq!((common::name(&reply).as_str(), reply.head.attempts), ("b", 1));
    assert_eq!(call.context().attempts.len(), 1);

    let error = router.ask(Call::ask("alone", "hello")).await.unwrap_err();
    assert_eq!((error.next(), error.retry_after()), (SAME, Some(seconds(3))));
}

#[tokio::test]
async fn too_long_a_prompt_goes_to_a_larger_window_then_to_its_fallbacks_then_is_shortened() {
    let too_long = ErrorKind::ContextLengthExceeded;
    let of = |name: &str, window| failing(name, too_long).0.context_window(window);
    let main = [of("a", 8_000), of("same", 8_000).order(2), of("larger", 32_000).order(3)];
    let models = [
        model("main", main).context_window_fallbacks(["long"]).fallbacks(["backup"]),
        model("long", [of("long", 1_000_000)]),
        model("backup", [answering("never").0]),
    ];
    let router = router(models);
    let call = call();
    let failed = |next| Err((too_long, next));
    assert_eq!(ask(&router, &call).await, failed(PEER));
    assert_eq!(ask(&router, &call).await, failed(FALLBACK));
    assert_eq!(ask(&router, &call).await, failed(None));
    let asked: Vec<_> =
        call.context().attempts.ended().iter().map(|one| one.deployment.to_string()).collect();
    assert_eq!(asked, ["a", "larger", "long"]);

    // It was shortened to what the last one said: that one is asked again, and not one that is smaller still.
    assert_eq!(ask(&router, &call).await, failed(None));
    let last = call.context().attempts.ended().last().unwrap().deployment.to_string();
    assert_eq!(last, "long");
}

#[tokio::test]
async fn a_prompt_that_was_shortened_is_a_call_like_any_other() {
    let a = Scripted::new([Step::fail_with(ErrorKind::ContextLengthExceeded), Step::fail_with(FIRST_TOKEN)]);
    let main = model("main", [Deployment::new("a", a).context_window(8_000)]).fallbacks(["backup"]);
    let router = router([main, model("backup", [answering("b").0])]);
    let call = call();
    assert_eq!(ask(&router, &call).await, Err((ErrorKind::ContextLengthExceeded, None)));
    assert_eq!(ask(&router, &call).await, Err((FIRST_TOKEN, FALLBACK)));
    assert_eq!(ask(&router, &call).await.unwrap(), "b");
}

// T1: the retry layer pays nothing for a fallback.
#[tokio::test]
async fn who_is_told_to_fall_back_is_not_sent_to_the_same_model_once_more() {
    let a = Scripted::new([
        Step::fail_with(ErrorKind::ContextLengthExceeded),
        Step::text("the shorter prompt would fit here too"),
    ]);
    let told = Told::ready();
    let main = [Deployment::new("a", a), told.of(failing("b", FIRST_TOKEN).0.order(2))];
    let router = router([model("main", main).fallbacks(["backup"]), model("backup", [answering("c").0])]);
    let call = call();
    told.down_for(seconds(1));
    assert_eq!(ask(&router, &call).await, Err((ErrorKind::ContextLengthExceeded, None)));
    told.set(Availability::Ready);
    let elsewhere = |error: Error| error.with_deployment("b").with_next(Next::Fallback);
    let attempts = &call.context().attempts;
    attempts.end(attempts.begin(), "b", Some(&elsewhere(error(FIRST_TOKEN))));
    assert_eq!(ask(&router, &call).await.unwrap(), "c");
}

#[tokio::test]
async fn a_window_that_nobody_told_is_not_taken_for_larger() {
    let too_long = ErrorKind::ContextLengthExceeded;
    let (a, _) = failing("a", too_long);
    let (b, other) = answering("b");
    let router = router([model("main", [a.context_window(8_000), b.order(2)])]);
    assert_eq!(ask(&router, &call()).await, Err((too_long, None)));
    assert_eq!(other.counts().calls, 0);
}

#[tokio::test]
async fn what_a_filter_refuses_goes_to_the_models_named_for_that_and_to_nobody_else() {
    let filtered = ErrorKind::ContentFiltered;
    let (b, peer) = answering("b");
    let models = [
        model("main", [failing("a", filtered).0, b.order(2)])
            .fallbacks(["backup"])
            .content_policy_fallbacks(["lenient"]),
        model("lenient", [answering("c").0]),
        model("backup", [answering("d").0]),
    ];
    let router = router(models);
    let call = call();
    assert_eq!(ask(&router, &call).await, Err((filtered, FALLBACK)));
    assert_eq!(ask(&router, &call).await.unwrap(), "c");
    assert_eq!(peer.counts().calls, 0);
}

#[tokio::test]
async fn what_a_named_models_filter_refuses_is_not_sent_to_its_other_deployments() {
    let filtered = ErrorKind::ContentFiltered;
    let (b, peer) = answering("b");
    let main = model("main", [failing("a", filtered).0]).content_policy_fallbacks(["lenient", "last"]);
    let lenient = model("lenient", [failing("c", filtered).0, b.order(2)]);
    let router = router([main, lenient, model("last", [failing("d", filtered).0])]);
    let call = call();
    assert_eq!(ask(&router, &call).await, Err((filtered, FALLBACK)));
    assert_eq!(ask(&router, &call).await, Err((filtered, FALLBACK)), "by c; d is next");
    assert_eq!(ask(&router, &call).await, Err((filtered, NOWHERE)), "by d");
    assert_eq!(peer.counts().calls, 0);
}

// T1: within a model it is a retry, and that costs.
#[tokio::test]
async fn a_named_model_that_fails_otherwise_has_peers() {
    let main =
        model("main", [failing("a", ErrorKind::ContentFiltered).0]).content_policy_fallbacks(["other"]);
    let other = [failing("b", ErrorKind::ServerError).0, failing("c", ErrorKind::ServerError).0.order(2)];
    let router = router([main, model("other", other)]);
    let call = call();
    assert_eq!(ask(&router, &call).await, Err((ErrorKind::ContentFiltered, FALLBACK)));
    assert_eq!(ask(&router, &call).await, Err((ErrorKind::ServerError, PEER)));
    assert_eq!(ask(&router, &call).await, Err((ErrorKind::ServerError, NOWHERE)));
    // Asked all the same, as by a rescue: there is nothing to wait for.
    assert_eq!(ask(&router, &call).await, Err((ErrorKind::ServerError, NOWHERE)));
}

#[tokio::test]
async fn a_filters_no_is_sent_once() {
    let filtered = ErrorKind::ContentFiltered;
    let (a, upstream) = failing("a", filtered);
    let (b, peer) = failing("b", filtered);
    let router = router([model("main", [a, b.order(2)])]);
    let call = call();
    assert_eq!(ask(&router, &call).await, Err((filtered, NOWHERE)));
    assert_eq!(ask(&router, &call).await, Err((filtered, NOWHERE)));
    assert_eq!((upstream.counts().calls, peer.counts().calls), (1, 0));
}

// A fallback that rejects prefill after a cut: the whole answer comes by a restart.
#[tokio::test]
async fn a_deployment_that_found_the_request_wrong_may_be_asked_with_another() {
    let prefill =
        |call: &Call| call.request().messages.last().is_some_and(|last| last.role.as_str() == "assistant");
    let b = Scripted::by(move |call| match prefill(call) {
        true => Step::fail_with(ErrorKind::InvalidRequest),
        false => Step::text("whole"),
    });
    let cut = Step::stream([
        mainstay_provider_core::test_kit::Piece::text("half "),
        mainstay_provider_core::test_kit::Piece::Cut,
    ]);
    let models = [
        model("main", [doing("a", cut).0]).fallbacks(["backup"]),
        model("backup", [Deployment::new("b", b).prefill(true)]),
    ];
    let router = router(models);
    let call = streaming();
    router.ask(call.clone()).await.unwrap().collect().await.unwrap_err();

    let mut resumed = call.clone();
    resumed.context_mut().needs.prefill = true;
    resumed.request_mut().messages.push(mainstay_provider_core::Message::assistant("half "));
    assert_eq!(ask(&router, &resumed).await, Err((ErrorKind::InvalidRequest, NOWHERE)));
    assert_eq!(ask(&router, &call).await.unwrap(), "b");
}

#[tokio::test]
async fn only_deployments_that_take_prefill_are_asked_to_go_on() {
    let (a, _) = answering("a");
    let (b, _) = answering("b");
    let router = router([model("main", [a.clone(), b.prefill(true).order(2)]), model("none", [a])]);
    let mut call = call();
    call.context_mut().needs.prefill = true;
    assert_eq!(ask(&router, &call).await.unwrap(), "b");
    call.request_mut().model = "none".into();
    assert_eq!(ask(&router, &call).await, Err((ErrorKind::Unavailable, NOWHERE)));
}

#[tokio::test(start_paused = true)]
async fn an_operators_closed_door_is_not_waited_for() {
    let told = Told::ready();
    told.set(Availability::Unavailable { until: None });
    let router = router([model("main", [told.of(answering("a").0)])]);
    assert_eq!(ask(&router, &call()).await, Err((ErrorKind::Unavailable, NOWHERE)));
}

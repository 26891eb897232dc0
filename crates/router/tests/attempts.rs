//! What a call finds written on its answer, in its ledger and on its error.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{FIRST_TOKEN, answering, ask, call, doing, error, failing, model, name, router, streaming};
use mainstay_provider_core::test_kit::{Piece, Step};
use mainstay_provider_core::{ErrorKind, Next, Outcome, Provider};
use mainstay_router::{Deployment, Model};

// S1.3, S1.6
#[tokio::test]
async fn the_answer_names_its_deployment_and_the_request_its_model() {
    let (_, upstream) = answering("gpt-4o");
    let deployment = Deployment::new("openai/gpt-4o", upstream.clone());
    let reply = router([Model::new("main").deployment(deployment)]).ask(call()).await.unwrap();
    assert_eq!(reply.head.deployment.as_deref(), Some("openai/gpt-4o"));
    assert_eq!(reply.head.attempts, 1);
    assert_eq!(upstream.calls()[0].model(), "gpt-4o");
}

#[tokio::test]
async fn the_model_of_the_request_can_be_another_than_the_name_says() {
    let (deployment, upstream) = answering("eu");
    router([model("main", [deployment.model("gpt-4o-2024-08-06")])]).ask(call()).await.unwrap();
    assert_eq!(upstream.calls()[0].model(), "gpt-4o-2024-08-06");
}

#[tokio::test]
async fn each_attempt_stands_in_the_ledger() {
    let (a, _) = failing("a", ErrorKind::ServerError);
    let (b, _) = answering("b");
    let router = router([model("main", [a, b.order(2)])]);
    let call = call();
    let error = router.ask(call.clone()).await.unwrap_err();
    assert_eq!((error.deployment(), error.next()), (Some("a"), Some(Next::Peer)));
    let reply = router.ask(call.clone()).await.unwrap();
    assert_eq!((name(&reply).as_str(), reply.head.attempts), ("b", 2));

    let ended = call.context().attempts.ended();
    let seen: Vec<_> = ended.iter().map(|attempt| (&*attempt.deployment, attempt.failure)).collect();
    assert_eq!(seen, [("a", Some(ErrorKind::ServerError)), ("b", None)]);
}

// S1.6
#[tokio::test]
async fn when_all_fail_the_error_lists_each_providers_own() {
    let (a, _) = failing("a", ErrorKind::Authentication);
    let (b, _) = failing("b", FIRST_TOKEN);
    let (c, _) = failing("c", ErrorKind::QuotaExhausted);
    let models = [model("main", [a, b.order(2)]).fallbacks(["backup"]), model("backup", [c])];
    let router = router(models);
    let call = call();
    assert_eq!(ask(&router, &call).await, Err((ErrorKind::Authentication, Some(Next::Peer))));
    assert_eq!(ask(&router, &call).await, Err((FIRST_TOKEN, Some(Next::Fallback))));
    let last = router.ask(call).await.unwrap_err();
    assert_eq!(last.next(), Some(Next::Nowhere));
    let all: Vec<_> =
        last.attempts().iter().map(|error| (error.deployment().unwrap(), error.kind())).collect();
    assert_eq!(all, [("a", ErrorKind::Authentication), ("b", FIRST_TOKEN), ("c", ErrorKind::QuotaExhausted)]);
    assert!(last.attempts().iter().all(|error| error.attempts().is_empty()));
}

#[tokio::test]
async fn a_single_failure_is_its_own_list() {
    let (a, _) = failing("a", ErrorKind::InvalidRequest);
    let error = router([model("main", [a])]).ask(call()).await.unwrap_err();
    assert!(error.attempts().is_empty());
    assert_eq!(error.next(), Some(Next::Nowhere));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failure_of_its_deployment() {
    let (a, _) = doing("a", Step::stream([Piece::text("half an "), Piece::fail_with(ErrorKind::Network)]));
    let (b, _) = answering("b");
    let router = router([model("main", [a, b.order(2)])]);
    let call = streaming();
    let reply = router.ask(call.clone()).await.unwrap();
    assert_eq!(name(&reply), "a");
    reply.collect().await.unwrap_err();
    let attempts = &call.context().attempts;
    assert!(attempts.has_failed("a"));
    assert_eq!(attempts.errors()[0].deployment(), Some("a"));
    // A rescue asks again with the same ledger, and gets the other.
    assert_eq!(ask(&router, &call).await.unwrap(), "b");
}

#[tokio::test]
async fn an_answer_that_the_caller_drops_is_no_failure() {
    let (a, _) = doing("a", Step::stream([Piece::text("half an "), Piece::Stall]));
    let router = router([model("main", [a])]);
    let call = streaming();
    let (tell, told) = tokio::sync::oneshot::channel();
    let reply = router.ask(call.clone()).await.unwrap();
    let mut chunks = reply.on_end(move |end| tell.send(end.clone()).unwrap()).into_stream();
    chunks.next().await.unwrap().unwrap();
    drop(chunks);
    assert!(matches!(told.await.unwrap().outcome, Outcome::Dropped));
    assert!(!call.context().attempts.has_failed("a"));
    assert_eq!(router.stats()[0].failed, 0);
}

#[tokio::test]
async fn an_unknown_model_is_told_with_the_known_ones() {
    let router = router([model("main", [answering("a").0]), model("small", [answering("b").0])]);
    let unknown = router.ask(mainstay_provider_core::Call::ask("mian", "hello")).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::ModelNotFound);
    assert_eq!(unknown.message(), "no model \"mian\"; there are: main, small");
    assert_eq!((unknown.param(), unknown.code()), (Some("model"), Some("model_not_found")));
    assert_eq!(unknown.next(), Some(Next::Nowhere));
}

// T5 of the provider: its own word on retrying is kept.
#[tokio::test]
async fn a_provider_that_says_do_not_retry_is_not_asked_again() {
    let (a, upstream) = doing("a", Step::fail(error(ErrorKind::ServerError).with_retryable(false)));
    let router = router([model("main", [a])]);
    let call = call();
    assert_eq!(ask(&router, &call).await, Err((ErrorKind::ServerError, Some(Next::Nowhere))));
    ask(&router, &call).await.unwrap_err();
    assert_eq!(upstream.counts().calls, 1);
}

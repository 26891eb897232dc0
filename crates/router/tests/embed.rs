//! Embeddings: every deployment of the model once, and no other model.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{answering, model, router};
use mainstay_provider_core::test_kit::{EmbedStep, ScriptedEmbedder};
use mainstay_provider_core::{EmbedCall, EmbedRequest, Embedder, ErrorKind, Next};
use mainstay_router::{Deployment, Model};

fn embedder(name: &str, steps: impl IntoIterator<Item = EmbedStep>) -> (Deployment, ScriptedEmbedder) {
    let scripted = ScriptedEmbedder::new(steps);
    (Deployment::embedding(name, scripted.clone()), scripted)
}

fn call(model: &str) -> EmbedCall {
    EmbedCall::new(EmbedRequest::new(model, vec!["a rope".into()]))
}

#[tokio::test]
async fn the_answer_names_its_deployment_and_the_request_its_model() {
    let (a, upstream) = embedder("openai/small", []);
    let router = router([Model::new("vectors").deployment(a)]);
    let reply = router.embed(call("vectors")).await.unwrap();
    assert_eq!((reply.head.deployment.as_deref(), reply.head.attempts), (Some("openai/small"), 1));
    assert_eq!(upstream.calls()[0].request.model, "small");
}

#[tokio::test]
async fn a_failure_goes_to_the_next_deployment_within_the_call() {
    let (a, _) = embedder("a", [EmbedStep::fail_with(ErrorKind::ServerError)]);
    let (b, _) = embedder("b", []);
    let router = router([model("vectors", [a, b.order(2)])]);
    let reply = router.embed(call("vectors")).await.unwrap();
    assert_eq!((reply.head.deployment.as_deref(), reply.head.attempts), (Some("b"), 2));
}

// S1.6
#[tokio::test]
async fn each_is_asked_once_and_the_error_lists_all() {
    let fail = |kind| [EmbedStep::fail_with(kind)];
    let (a, first) = embedder("a", fail(ErrorKind::ServerError));
    let (b, second) = embedder("b", fail(ErrorKind::RateLimited));
    let router = router([model("vectors", [a, b.order(2)])]);
    let error = router.embed(call("vectors")).await.unwrap_err();
    assert_eq!(error.next(), Some(Next::Same { fallback: false }));
    let all: Vec<_> =
        error.attempts().iter().map(|error| (error.deployment().unwrap(), error.kind())).collect();
    assert_eq!(all, [("a", ErrorKind::ServerError), ("b", ErrorKind::RateLimited)]);
    assert_eq!((first.counts().calls, second.counts().calls), (1, 1));
}

#[tokio::test]
async fn a_request_that_is_wrong_is_sent_once() {
    let (a, _) = embedder("a", [EmbedStep::fail_with(ErrorKind::InvalidRequest)]);
    let (b, other) = embedder("b", []);
    let router = router([model("vectors", [a, b.order(2)])]);
    let error = router.embed(call("vectors")).await.unwrap_err();
    assert_eq!((error.kind(), error.next()), (ErrorKind::InvalidRequest, Some(Next::Nowhere)));
    assert_eq!(other.counts().calls, 0);
}

// Vectors of two models have nothing in common.
#[tokio::test]
async fn no_fallback_model_is_asked_for_vectors() {
    let (a, _) = embedder("a", [EmbedStep::fail_with(ErrorKind::Authentication)]);
    let (b, other) = embedder("b", []);
    let router = router([model("vectors", [a]).fallbacks(["others"]), model("others", [b])]);
    let error = router.embed(call("vectors")).await.unwrap_err();
    assert_eq!((error.kind(), error.next()), (ErrorKind::Authentication, Some(Next::Nowhere)));
    assert_eq!(other.counts().calls, 0);
}

#[tokio::test]
async fn a_model_that_only_chats_does_not_embed_and_the_other_way_round() {
    use mainstay_provider_core::{Call, Provider};
    let (vectors, _) = embedder("v", []);
    let router = router([model("main", [answering("a").0]), model("vectors", [vectors])]);
    let error = router.embed(call("main")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::InvalidRequest, "no deployment of \"main\" embeds")
    );
    let error = router.ask(Call::ask("vectors", "hello")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::InvalidRequest, "no deployment of \"vectors\" chats")
    );
}

//! A provider is asked for one model, in calls it can take, and held to what it promised.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use mainstay_embed::{InvalidConfig, RemoteConfig, RemoteEmbedder};
use mainstay_provider_core::test_kit::{EmbedStep, ScriptedEmbedder};
use mainstay_provider_core::{EmbedCall, EmbedRequest, Embedder, ErrorKind, Usage};

fn ask(texts: &[&str]) -> EmbedCall {
    EmbedCall::new(EmbedRequest::new("whatever", texts.iter().map(|text| (*text).to_owned()).collect()))
}

fn remote(upstream: &ScriptedEmbedder, config: RemoteConfig) -> RemoteEmbedder {
    RemoteEmbedder::new(upstream.clone(), config).unwrap()
}

#[tokio::test]
async fn it_asks_for_its_own_model() {
    let upstream = ScriptedEmbedder::new([]);
    let embedder = remote(&upstream, RemoteConfig::new("text-embedding-3-small", 8));
    embedder.embed(ask(&["one"])).await.unwrap();
    let sent = &upstream.calls()[0].request;
    assert_eq!((sent.model.as_str(), sent.dimensions), ("text-embedding-3-small", None));

    let embedder = remote(&upstream, RemoteConfig::new("text-embedding-3-small", 8).shortened());
    embedder.embed(ask(&["one"])).await.unwrap();
    assert_eq!(upstream.calls()[1].request.dimensions, Some(8));
}

#[tokio::test]
async fn many_texts_go_out_in_calls_of_a_size_that_every_provider_takes() {
    let upstream = ScriptedEmbedder::new([]);
    let embedder = remote(&upstream, RemoteConfig::new("m", 8).most_texts(3));
    let reply = embedder.embed(ask(&["a", "b", "c", "d", "e", "f", "g"])).await.unwrap();
    let sizes: Vec<usize> = upstream.calls().iter().map(|call| call.request.input.len()).collect();
    assert_eq!(sizes, [3, 3, 1]);
    assert_eq!(reply.vectors.len(), 7);
    assert_eq!(reply.usage, Some(Usage::new(7, 0)));
    let alone = embedder.embed(ask(&["e"])).await.unwrap();
    assert_eq!(reply.vectors[4], alone.vectors[0]);
}

#[tokio::test]
async fn vectors_get_unit_length() {
    let upstream = ScriptedEmbedder::new([EmbedStep::vectors(vec![vec![3.0, 4.0]])]);
    let reply = remote(&upstream, RemoteConfig::new("m", 2)).embed(ask(&["a"])).await.unwrap();
    assert_eq!(reply.vectors, [[0.6, 0.8]]);
}

#[tokio::test]
async fn what_was_not_promised_is_a_malformed_response() {
    let wrong = [
        vec![],
        vec![vec![1.0, 0.0], vec![1.0, 0.0]],
        vec![vec![1.0, 0.0, 0.0]],
        vec![vec![0.0, 0.0]],
        vec![vec![f32::NAN, 1.0]],
    ];
    for vectors in wrong {
        let upstream = ScriptedEmbedder::new([EmbedStep::vectors(vectors.clone())]);
        let error = remote(&upstream, RemoteConfig::new("m", 2)).embed(ask(&["a"])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MalformedResponse, "{vectors:?}");
    }
}

#[tokio::test]
async fn a_failure_comes_as_it_is() {
    let upstream = ScriptedEmbedder::new([EmbedStep::fail_with(ErrorKind::RateLimited)]);
    let error = remote(&upstream, RemoteConfig::new("m", 8)).embed(ask(&["a"])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
}

#[test]
fn settings_are_checked() {
    let build = |config| RemoteEmbedder::new(ScriptedEmbedder::new([]), config).unwrap_err();
    assert_eq!(build(RemoteConfig::new("", 8)), InvalidConfig::NoModel);
    assert_eq!(build(RemoteConfig::new("m", 0)), InvalidConfig::Zero { setting: "dimensions" });
    assert_eq!(build(RemoteConfig::new("m", 8).most_texts(0)), InvalidConfig::Zero { setting: "most_texts" });
}

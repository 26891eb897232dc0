//! A question that many ask at the same time is embedded once, and for each tenant apart.
#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

mod common;

use common::{ask, ask_in, echo, settle};
use mainstay_cache_semantic::{Embedding, SemanticLayer};
use mainstay_embed::{CacheConfig, CachedEmbedder, RemoteConfig, RemoteEmbedder};
use mainstay_provider_core::Provider;
use mainstay_provider_core::test_kit::{EmbedStep, Gate, ScriptedEmbedder};
use tower::Layer;

const QUESTION: &str = "How do I reset my password?";

/// As the facade makes it: an embedder behind a cache of vectors.
fn layer(upstream: &ScriptedEmbedder) -> SemanticLayer {
    let remote = RemoteEmbedder::new(upstream.clone(), RemoteConfig::new("m", 8)).unwrap();
    let cached = CachedEmbedder::new(remote, CacheConfig::default()).unwrap();
    SemanticLayer::builder(Embedding::new(cached, "words").model("m")).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_same_question_of_many_at_once_is_embedded_once() {
    let gate = Gate::new();
    let upstream = ScriptedEmbedder::new([EmbedStep::by_text().behind(&gate)]);
    let provider = layer(&upstream).layer(echo());
    let all: Vec<_> = (0..20).map(|_| tokio::spawn(provider.ask(ask(QUESTION)))).collect();
    upstream.when(|counts| counts.calls == 1).await;
    tokio::task::yield_now().await;
    gate.open();
    for one in all {
        assert!(one.await.unwrap().is_ok());
    }
    settle().await;
    assert_eq!(upstream.counts().calls, 1);
}

// I3: how fast an answer comes says nothing about what another tenant asked.
#[tokio::test]
async fn a_vector_that_one_tenant_asked_for_is_computed_anew_for_another() {
    let upstream = ScriptedEmbedder::new([]);
    let provider = layer(&upstream).layer(echo());
    for (tenant, calls) in [("a", 1), ("b", 2), ("a", 2)] {
        provider.ask(ask_in(tenant, QUESTION)).await.unwrap();
        settle().await;
        assert_eq!(upstream.counts().calls, calls, "{tenant}");
    }
}

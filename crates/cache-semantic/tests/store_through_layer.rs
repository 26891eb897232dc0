//! S1, S2 on the real thing: whatever becomes of the PostgreSQL behind the layer, the caller gets an answer, the right
//! one, and waits 50 ms at most.
#![cfg(all(feature = "postgres", feature = "redis", feature = "test-kit"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a helper of tests is a test")]

use std::sync::Arc;
use std::time::Duration;

use mainstay_cache_semantic::store::{PostgresConfig, PostgresStore};
use mainstay_cache_semantic::{Embedding, SemanticLayer};
use mainstay_provider_core::test_kit::{Scripted, ScriptedEmbedder, Step};
use mainstay_provider_core::{CacheStatus, Call, Provider};
use mainstay_test_servers::Slow;
use tokio::time::Instant;
use tower::Layer;

const QUESTION: &str = "How do I reset my password?";
/// What the store may cost, and what a busy machine adds to it.
const IN_TIME: Duration = Duration::from_millis(50 + 60);

async fn provider(url: String) -> impl Provider {
    let config = PostgresConfig::new(url, "embedder", 2);
    let store = PostgresStore::connect(config).await.unwrap();
    let embedder = ScriptedEmbedder::by(|_| vec![1.0, 0.0]);
    let layer = SemanticLayer::builder(Embedding::new(embedder, "embedder")).store(Arc::new(store));
    let upstream = Scripted::new((0..200).map(|_| Step::text("Open the settings.")));
    layer.build().unwrap().layer(upstream)
}

/// Asks, and says whether it was a hit and how long it took.
async fn ask(provider: &impl Provider, question: &str) -> (bool, Duration) {
    let begun = Instant::now();
    let reply = provider.ask(Call::ask("m", question)).await.expect("never an error");
    let took = begun.elapsed();
    let is_hit = matches!(reply.head.cache, CacheStatus::SemanticHit { .. });
    assert_eq!(reply.collect().await.unwrap().text(), "Open the settings.");
    (is_hit, took)
}

async fn until_hit(provider: &impl Provider) {
    for _ in 0..120 {
        if ask(provider, QUESTION).await.0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it never hits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_store_is_a_miss_in_time_and_soon_nobody_waits_for_it() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let provider = provider(server.postgres_url()).await;
    until_hit(&provider).await;
    server.freeze();
    for _ in 0..4 {
        let (is_hit, took) = ask(&provider, QUESTION).await;
        assert!(!is_hit && took < IN_TIME, "{took:?}");
    }
    // After three failures it is left alone.
    let (is_hit, took) = ask(&provider, QUESTION).await;
    assert!(!is_hit && took < Duration::from_millis(30), "{took:?}");
    server.thaw();
    until_hit(&provider).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_gone_is_a_miss() {
    let Some(mut server) = mainstay_test_servers::postgres().await else { return };
    let provider = provider(server.postgres_url()).await;
    until_hit(&provider).await;
    server.kill();
    for _ in 0..10 {
        let (is_hit, took) = ask(&provider, QUESTION).await;
        assert!(!is_hit && took < IN_TIME, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_store_is_a_miss() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let slow = Slow::before(server.port).await;
    let provider = provider(mainstay_test_servers::postgres_url(slow.port)).await;
    until_hit(&provider).await;
    slow.by(Duration::from_millis(300));
    for _ in 0..5 {
        let (is_hit, took) = ask(&provider, QUESTION).await;
        assert!(!is_hit && took < IN_TIME, "{took:?}");
    }
    slow.by(Duration::ZERO);
    until_hit(&provider).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_answer_is_a_miss_and_is_kept_anew() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let url = server.postgres_url();
    let provider = provider(url.clone()).await;
    until_hit(&provider).await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let damage =
        "UPDATE mainstay_semantic SET recording = set_byte(recording, 60, get_byte(recording, 60) # 1)";
    assert_eq!(client.execute(damage, &[]).await.unwrap(), 1);
    assert!(!ask(&provider, QUESTION).await.0);
    until_hit(&provider).await;
}

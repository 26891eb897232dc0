//! S1, S2 on the real thing: whatever becomes of the PostgreSQL behind the layer, the caller gets an answer, the right
//! one, and waits 50 ms at most.
#![cfg(all(feature = "postgres", feature = "redis", feature = "test-kit"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a helper of tests is a test")]

use std::sync::Arc;
use std::time::Duration;

use mainstay_cache_semantic::store::{PostgresConfig, PostgresStore};
use mainstay_cache_semantic::{Embedding, SemanticConfig, SemanticLayer};
use mainstay_provider_core::test_kit::{Scripted, ScriptedEmbedder, Step};
use mainstay_provider_core::{CacheStatus, Call, Provider};
use mainstay_test_servers::Slow;
use tokio::time::Instant;
use tower::Layer;

const QUESTION: &str = "How do I reset my password?";
/// What the store may cost, and what a busy machine adds to it, though not each time.
const IN_TIME: Duration = Duration::from_millis(50 + 60);

/// What the store may cost when nothing else is said.
const USUAL: Duration = Duration::from_millis(50);

async fn provider(url: String, store_timeout: Duration) -> impl Provider {
    let config = PostgresConfig::new(url, "embedder", 2).timeout(store_timeout);
    let store = PostgresStore::connect(config).await.unwrap();
    let embedder = ScriptedEmbedder::by(|_| vec![1.0, 0.0]);
    let mut config = SemanticConfig::default();
    assert_eq!(config.store_timeout, USUAL);
    config.store_timeout = store_timeout;
    let layer = SemanticLayer::builder(Embedding::new(embedder, "embedder")).config(config);
    let layer = layer.store(Arc::new(store));
    let upstream = Scripted::new((0..1_000).map(|_| Step::text("Open the settings.")));
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
    for _ in 0..600 {
        if ask(provider, QUESTION).await.0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it never hits");
}

/// None of so many is a hit, the quickest is answered within this time, and none waits for long.
async fn misses(provider: &impl Provider, count: usize, within: Duration) {
    let mut times = Vec::new();
    for _ in 0..count {
        let (is_hit, took) = ask(provider, QUESTION).await;
        assert!(!is_hit);
        times.push(took);
    }
    assert!(times.iter().any(|took| *took < within), "{times:?}");
    assert!(times.iter().all(|took| *took < Duration::from_secs(2)), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_store_is_a_miss_in_time_and_soon_nobody_waits_for_it() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let provider = provider(server.postgres_url(), USUAL).await;
    until_hit(&provider).await;
    server.freeze();
    misses(&provider, 3, IN_TIME).await;
    // After three failures it is left alone.
    misses(&provider, 5, Duration::from_millis(30)).await;
    server.thaw();
    until_hit(&provider).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_gone_is_a_miss() {
    let Some(mut server) = mainstay_test_servers::postgres().await else { return };
    let provider = provider(server.postgres_url(), USUAL).await;
    until_hit(&provider).await;
    server.kill();
    misses(&provider, 10, IN_TIME).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_store_is_a_miss() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let slow = Slow::before(server.port).await;
    let provider = provider(mainstay_test_servers::postgres_url(slow.port), USUAL).await;
    until_hit(&provider).await;
    slow.by(Duration::from_millis(300));
    misses(&provider, 5, IN_TIME).await;
    slow.by(Duration::ZERO);
    until_hit(&provider).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_answer_is_a_miss_and_is_kept_anew() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let url = server.postgres_url();
    let provider = provider(url.clone(), Duration::from_secs(20)).await;
    until_hit(&provider).await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let damage =
        "UPDATE mainstay_semantic SET recording = set_byte(recording, 60, get_byte(recording, 60) # 1)";
    assert_eq!(client.execute(damage, &[]).await.unwrap(), 1);
    assert!(!ask(&provider, QUESTION).await.0);
    until_hit(&provider).await;
}

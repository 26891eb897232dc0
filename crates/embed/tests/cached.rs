//! What was embedded once is not embedded again, and nobody sees what another namespace asked.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::time::Duration;

use mainstay_embed::{CacheConfig, CachedEmbedder, InvalidConfig, RemoteConfig, RemoteEmbedder};
use mainstay_provider_core::test_kit::{EmbedStep, Gate, ScriptedEmbedder};
use mainstay_provider_core::{
    CacheStatus, EmbedCall, EmbedRequest, Embedder, ErrorKind, Namespace, Timer, Usage,
};
use tokio::time::Instant;

type Cached = CachedEmbedder<RemoteEmbedder>;

fn cached(upstream: &ScriptedEmbedder) -> Cached {
    cached_with(upstream, CacheConfig::default())
}

fn cached_with(upstream: &ScriptedEmbedder, config: CacheConfig) -> Cached {
    let remote = RemoteEmbedder::new(upstream.clone(), RemoteConfig::new("m", 8)).unwrap();
    CachedEmbedder::new(remote, config).unwrap()
}

fn ask(texts: &[&str]) -> EmbedCall {
    EmbedCall::new(EmbedRequest::new("m", texts.iter().map(|text| (*text).to_owned()).collect()))
}

#[tokio::test(start_paused = true)]
async fn the_second_call_is_a_hit_with_its_age_and_costs_nothing() {
    let upstream = ScriptedEmbedder::new([]);
    let embedder = cached(&upstream);
    let first = embedder.embed(ask(&["two words"])).await.unwrap();
    assert_eq!((first.head.cache, first.usage), (CacheStatus::Miss, Some(Usage::new(2, 0))));
    tokio::time::advance(Duration::from_secs(9)).await;
    let second = embedder.embed(ask(&["two words"])).await.unwrap();
    assert_eq!(second.vectors, first.vectors);
    assert_eq!(second.head.cache, CacheStatus::Hit { age: Duration::from_secs(9) });
    assert_eq!(second.usage, Some(Usage::default()));
    assert_eq!((&second.head.provider, &second.head.model), (&first.head.provider, &first.head.model));
    assert_eq!(upstream.counts().calls, 1);
    let stats = embedder.stats().await;
    assert_eq!((stats.hits, stats.misses, stats.entries), (1, 1, 1));
    assert!(stats.bytes > 32);
}

#[tokio::test]
async fn only_what_is_missing_is_asked() {
    let upstream = ScriptedEmbedder::new([]);
    let embedder = cached(&upstream);
    let before = embedder.embed(ask(&["a", "b", "c"])).await.unwrap();
    let after = embedder.embed(ask(&["x", "b", "y", "a"])).await.unwrap();
    assert_eq!(upstream.calls()[1].request.input.texts().unwrap(), ["x", "y"]);
    assert_eq!((&after.vectors[1], &after.vectors[3]), (&before.vectors[1], &before.vectors[0]));
    assert_eq!(after.vectors[0], embedder.embed(ask(&["x"])).await.unwrap().vectors[0]);
    assert_eq!(upstream.counts().calls, 2);
}

#[tokio::test]
async fn the_same_text_twice_in_one_call_is_asked_once() {
    let upstream = ScriptedEmbedder::new([]);
    let embedder = cached(&upstream);
    let reply = embedder.embed(ask(&["a", "b", "a"])).await.unwrap();
    assert_eq!(upstream.calls()[0].request.input.texts().unwrap(), ["a", "b"]);
    assert_eq!(reply.vectors.len(), 3);
    assert_eq!(reply.vectors[0], reply.vectors[2]);
    assert_ne!(reply.vectors[0], reply.vectors[1]);
}

#[tokio::test]
async fn nothing_is_shared_between_namespaces() {
    let upstream = ScriptedEmbedder::new([]);
    let embedder = cached(&upstream);
    for namespace in ["", "a", "b"] {
        let mut call = ask(&["the same text"]);
        call.context.data_mut().namespace = Namespace::new(namespace);
        let reply = embedder.embed(call).await.unwrap();
        assert_eq!(reply.head.cache, CacheStatus::Miss, "{namespace:?}");
    }
    assert_eq!(upstream.counts().calls, 3);
}

#[tokio::test(start_paused = true)]
async fn the_same_text_at_once_is_asked_once() {
    let gate = Gate::new();
    let upstream = ScriptedEmbedder::new([EmbedStep::by_text().behind(&gate)]);
    let embedder = cached(&upstream);
    let all = (0..50).map(|_| tokio::spawn(embedder.embed(ask(&["hot"])))).collect::<Vec<_>>();
    upstream.when(|counts| counts.calls == 1).await;
    tokio::task::yield_now().await;
    gate.open();
    let mut coalesced = 0;
    for one in all {
        coalesced += usize::from(one.await.unwrap().unwrap().head.cache == CacheStatus::Coalesced);
    }
    assert_eq!((upstream.counts().calls, coalesced), (1, 49));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_not_kept_and_is_not_another_caller_s() {
    let gate = Gate::new();
    let upstream = ScriptedEmbedder::new([EmbedStep::fail_with(ErrorKind::Overloaded).behind(&gate)]);
    let embedder = cached(&upstream);
    let leader = tokio::spawn(embedder.embed(ask(&["hot"])));
    upstream.when(|counts| counts.calls == 1).await;
    let follower = tokio::spawn(embedder.embed(ask(&["hot"])));
    tokio::task::yield_now().await;
    gate.open();
    assert_eq!(leader.await.unwrap().unwrap_err().kind(), ErrorKind::Overloaded);
    assert!(follower.await.unwrap().is_ok());
    assert!(embedder.embed(ask(&["hot"])).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_dropped_leaves_its_followers_an_answer() {
    let upstream = ScriptedEmbedder::new([EmbedStep::hang()]);
    let embedder = cached(&upstream);
    let leader = tokio::spawn(embedder.embed(ask(&["hot"])));
    upstream.when(|counts| counts.calls == 1).await;
    let follower = tokio::spawn(embedder.embed(ask(&["hot"])));
    tokio::task::yield_now().await;
    leader.abort();
    assert_eq!(follower.await.unwrap().unwrap().vectors.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_another_s_vector_waits_no_longer_than_its_own_deadline() {
    let upstream = ScriptedEmbedder::new([EmbedStep::hang()]);
    let embedder = cached(&upstream);
    let leader = tokio::spawn(embedder.embed(ask(&["hot"])));
    upstream.when(|counts| counts.calls == 1).await;
    let begun = Instant::now();
    let mut hurried = ask(&["hot"]);
    hurried.context.data_mut().deadline = Some(begun + Duration::from_secs(2));
    let follower = tokio::time::timeout(Duration::from_secs(60), embedder.embed(hurried)).await;
    let error = follower.expect("it keeps its deadline").unwrap_err();
    assert_eq!((error.kind(), begun.elapsed().as_secs()), (ErrorKind::Timeout(Timer::Total), 2));
    assert!(!leader.is_finished(), "nobody else's time is over");
}

#[tokio::test(start_paused = true)]
async fn a_vector_is_kept_for_as_long_as_was_said() {
    let upstream = ScriptedEmbedder::new([]);
    let embedder = cached_with(&upstream, CacheConfig::default().ttl(Duration::from_secs(60)));
    for (after, calls) in [(0, 1), (59, 1), (2, 2)] {
        tokio::time::advance(Duration::from_secs(after)).await;
        embedder.embed(ask(&["a"])).await.unwrap();
        assert_eq!(upstream.counts().calls, calls);
    }
}

#[tokio::test]
async fn it_never_holds_more_than_its_bytes() {
    let upstream = ScriptedEmbedder::new([]);
    let embedder = cached_with(&upstream, CacheConfig::default().bytes(10_000));
    for index in 0..1_000 {
        embedder.embed(ask(&[&format!("text {index}")])).await.unwrap();
    }
    let stats = embedder.stats().await;
    assert!(stats.bytes <= 10_000 && stats.entries > 0, "{stats:?}");
}

#[test]
fn settings_are_checked() {
    let build = |config| {
        let remote = RemoteEmbedder::new(ScriptedEmbedder::new([]), RemoteConfig::new("m", 8)).unwrap();
        CachedEmbedder::new(remote, config).unwrap_err()
    };
    assert_eq!(build(CacheConfig::default().bytes(0)), InvalidConfig::Zero { setting: "bytes" });
    let never = CacheConfig::default().ttl(Duration::ZERO);
    assert_eq!(build(never), InvalidConfig::Zero { setting: "ttl in ms" });
    let always = CacheConfig::default().ttl(Duration::MAX);
    assert!(matches!(build(always), InvalidConfig::TooLarge { .. }));
}

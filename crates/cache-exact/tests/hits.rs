//! What was answered once is answered again, whole or as a stream.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{call, call_of, chunks, counting, is_hit, lab, lab_with, pieces, streaming};
use mainstay_cache_exact::ExactCacheLayer;
use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_provider_core::{CacheStatus, ChatRequest, Namespace, Usage};
use tokio::time::Instant;

// S4.1
#[tokio::test(start_paused = true)]
async fn the_same_question_is_answered_once() {
    let lab = lab(counting());
    let first = lab.ask(call("a")).await;
    assert_eq!((first.head.cache, first.head.attempts), (CacheStatus::Miss, 1));
    assert_eq!(first.collect().await.unwrap().text(), "answer 1");
    tokio::time::advance(Duration::from_secs(90)).await;
    let again = lab.ask(call("a")).await;
    let CacheStatus::Hit { age } = again.head.cache else { panic!("{:?}", again.head.cache) };
    assert!(age >= Duration::from_secs(90) && age < Duration::from_secs(91), "{age:?}");
    assert_eq!(again.head.attempts, 0, "nobody was asked");
    assert_eq!((&*again.head.provider, &*again.head.model), ("scripted", "m"));
    assert_eq!(again.collect().await.unwrap().text(), "answer 1");
    assert_eq!(lab.text(call("b")).await, "answer 2");
    assert_eq!(lab.calls(), 2);
}

#[tokio::test]
async fn a_stream_is_replayed_with_the_chunks_that_it_had() {
    let lab = lab(Scripted::new([Step::stream(pieces())]));
    let first = lab.ask(streaming(call("a"))).await;
    assert_eq!(first.head.cache, CacheStatus::Miss);
    let first = chunks(first).await;
    assert_eq!(first.len(), 6);
    for _ in 0..2 {
        let again = lab.ask(streaming(call("a"))).await;
        assert!(is_hit(&again));
        assert_eq!(chunks(again).await, first);
    }
    // And to whoever asks for the whole, the whole.
    let whole = lab.ask(call("a")).await;
    assert!(is_hit(&whole) && !whole.is_stream());
    assert_eq!(whole.usage(), Some(Usage::new(12, 7)));
    assert_eq!(whole.answer().unwrap().text(), "A rope that holds \"the\" mast.");
}

#[tokio::test]
async fn a_whole_answer_is_replayed_as_a_stream() {
    let lab = lab(counting());
    lab.text(call("a")).await;
    let again = lab.ask(streaming(call("a"))).await;
    assert!(is_hit(&again) && again.is_stream());
    assert_eq!(again.collect().await.unwrap().text(), "answer 1");
}

#[tokio::test(start_paused = true)]
async fn a_replay_is_paced_if_that_is_wanted() {
    let builder = ExactCacheLayer::builder().pace(Duration::from_millis(10));
    let lab = lab_with(builder, Scripted::new([Step::stream(pieces())]));
    chunks(lab.ask(streaming(call("a"))).await).await;
    let begun = Instant::now();
    chunks(lab.ask(streaming(call("a"))).await).await;
    assert_eq!(begun.elapsed().as_millis(), 50, "five gaps between six chunks");
}

#[tokio::test]
async fn a_stream_that_its_caller_leaves_after_its_end_is_kept() {
    let lab = lab(Scripted::new([Step::stream(pieces())]));
    let mut stream = lab.ask(streaming(call("a"))).await.into_stream();
    for _ in 0..5 {
        stream.next().await.unwrap().unwrap();
    }
    drop(stream);
    assert_eq!(lab.text(call("a")).await, "A rope that holds \"the\" mast.");
    assert_eq!(lab.calls(), 1);
}

#[tokio::test]
async fn an_answer_that_nobody_reads_to_its_end_is_not_kept() {
    let lab = lab(Scripted::repeating(Step::stream(pieces())));
    let mut stream = lab.ask(streaming(call("a"))).await.into_stream();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    assert_eq!(lab.status(streaming(call("a"))).await, "miss");
    assert_eq!(lab.upstream.counts().dropped_streams, 1);
}

// S4.1
#[tokio::test]
async fn the_order_of_members_never_matters() {
    let lab = lab(counting());
    let read = |text: &str| {
        let mut call = call_of("acme", "");
        *call.request_mut() = serde_json::from_str::<ChatRequest>(text).unwrap();
        call
    };
    let one = r#"{"model":"m","temperature":0,"messages":[{"role":"user","content":"a"}],"top_k":1,"x":{"a":1,"b":[2]}}"#;
    let other = r#"{"x":{"b":[2.0],"a":1},"top_k":1.0,"messages":[{"content":"a","role":"user"}],"temperature":0.0,"model":"m"}"#;
    assert_eq!(lab.text(read(one)).await, "answer 1");
    assert_eq!(lab.text(read(other)).await, "answer 1");
}

// S4.1
#[tokio::test(start_paused = true)]
async fn an_entry_is_fresh_for_its_time_and_no_longer() {
    let lab = lab_with(ExactCacheLayer::builder().ttl(Duration::from_secs(10)), counting());
    lab.text(call("a")).await;
    tokio::time::advance(Duration::from_millis(9_999)).await;
    assert_eq!(lab.status(call("a")).await, "hit");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(lab.text(call("a")).await, "answer 2");
    assert_eq!(lab.text(call("a")).await, "answer 2");
}

// S4.1
#[tokio::test]
async fn what_it_has_done_can_be_read() {
    let builder =
        ExactCacheLayer::builder().price_of(|_, model, usage| (model == "m").then(|| usage.total() * 1000));
    let lab = lab_with(builder, counting());
    for question in ["a", "b", "a", "a"] {
        lab.text(call(question)).await;
    }
    let mut random = call("a");
    random.request_mut().temperature = Some(0.7);
    lab.text(random).await;
    let stats = lab.cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.stored, stats.entries), (2, 2, 2, 2));
    assert_eq!(stats.hit_rate(), 0.5);
    assert_eq!(
        stats.not_cached.iter().map(|(why, count)| (why.as_str(), *count)).collect::<Vec<_>>(),
        [("random", 1)]
    );
    assert!(stats.bytes > 0);
    assert_eq!((stats.saved, stats.saved_nano_usd), (Usage::new(20, 4), 24_000));
    assert_eq!(stats.saved_by_model, [("m".into(), Usage::new(20, 4))]);
    assert_eq!(stats.second, None);
}

#[tokio::test]
async fn what_is_forgotten_is_gone() {
    let lab = lab(counting());
    for (namespace, question) in [("acme", "a"), ("acme", "b"), ("other", "a")] {
        lab.text(call_of(namespace, question)).await;
    }
    lab.cache.forget(&call("a")).await.unwrap();
    assert_eq!(lab.status(call("a")).await, "miss");
    assert_eq!(lab.cache.purge(&Namespace::new("acme")).await.unwrap(), 2);
    assert_eq!(lab.status(call_of("other", "a")).await, "hit");
    assert_eq!(lab.status(call("b")).await, "miss");
    // What was under way meanwhile is not kept either.
    let mut under_way = lab.ask(streaming(call("c"))).await.into_stream();
    lab.cache.purge(&Namespace::new("acme")).await.unwrap();
    while let Some(chunk) = under_way.next().await {
        chunk.unwrap();
    }
    assert_eq!(lab.status(call("c")).await, "miss");
}

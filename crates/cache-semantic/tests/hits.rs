//! What is served, and how.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{ask, ask_in, builder, echo, is_hit, settle, with};
use mainstay_cache_semantic::{By, Decision, Difference, MinSimilarity, Skip};
use mainstay_provider_core::chat::Message;
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{
    CacheStatus, Call, ChatRequest, Decided, ErrorKind, Level, Namespace, Provider,
};
use tower::Layer;

const RESET: &str = "How do I reset my password?";

#[tokio::test(start_paused = true)]
async fn another_wording_gets_the_same_answer_and_says_how_near_it_was() {
    let layer = builder().build().unwrap();
    let upstream = echo();
    let provider = layer.layer(upstream.clone());
    let first = provider.ask(ask(RESET)).await.unwrap();
    assert_eq!(first.head.cache, CacheStatus::Miss);
    settle().await;
    tokio::time::advance(Duration::from_secs(60)).await;

    let again = provider.ask(ask("How can I reset my password?")).await.unwrap();
    let CacheStatus::SemanticHit { age, score, decided } = again.head.cache else {
        panic!("{:?}", again.head.cache)
    };
    assert!(age >= Duration::from_secs(60) && age < Duration::from_secs(61), "{age:?}");
    assert!((0.85..1.0).contains(&score), "{score}");
    assert_eq!(decided, Decided::Threshold);
    assert_eq!(again.head.attempts, 0);
    assert_eq!(again.answer().unwrap().text(), format!("about: {RESET}"));
    assert_eq!(upstream.counts().calls, 1);

    let stats = layer.cache().stats();
    assert_eq!((stats.near_hits, stats.exact_hits, stats.misses), (1, 0, 1));
    assert_eq!(stats.saved.total(), 30);
}

#[tokio::test(start_paused = true)]
async fn the_very_text_needs_no_vector() {
    let embedder = common::embedder();
    let embedding = mainstay_cache_semantic::Embedding::new(embedder.clone(), "words");
    let provider = mainstay_cache_semantic::SemanticLayer::builder(embedding).build().unwrap().layer(echo());
    provider.ask(ask(RESET)).await.unwrap();
    settle().await;
    let asked = embedder.calls().len();
    for text in [RESET, "  How do  I reset my password? ", "How do I reset my\npassword?"] {
        let reply = provider.ask(ask(text)).await.unwrap();
        let age = Duration::from_millis(20);
        let hit = CacheStatus::SemanticHit { age, score: 1.0, decided: Decided::ExactText };
        assert_eq!(reply.head.cache, hit);
    }
    assert_eq!(embedder.calls().len(), asked);
}

#[tokio::test(start_paused = true)]
async fn a_stream_fills_it_and_is_replayed_with_its_chunks() {
    let upstream = Scripted::repeating(Step::stream([
        Piece::Role,
        Piece::text("It "),
        Piece::text("holds "),
        Piece::text("the mast."),
        Piece::stop(),
    ]));
    let provider = builder().build().unwrap().layer(upstream.clone());
    let stream = |question: &str| {
        let mut request = ChatRequest::new("m", vec![Message::user(question.to_owned())]);
        request.stream = Some(true);
        Call::new(request)
    };
    provider.ask(stream(RESET)).await.unwrap().collect().await.unwrap();
    settle().await;

    let again = provider.ask(stream("How can I reset my password?")).await.unwrap();
    assert!(is_hit(&again) && again.is_stream());
    let mut chunks = again.into_stream();
    let mut texts = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let mut text = String::new();
        chunk.unwrap().push_text(&mut text);
        texts.push(text);
    }
    texts.retain(|text| !text.is_empty());
    assert_eq!(texts, ["It ", "holds ", "the mast."]);

    let whole = provider.ask(ask("How can I reset my password?")).await.unwrap();
    assert!(is_hit(&whole) && !whole.is_stream());
    assert_eq!(whole.answer().unwrap().text(), "It holds the mast.");
    assert_eq!(upstream.counts().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn every_decision_says_what_decided() {
    let decisions = Arc::new(Mutex::new(Vec::<Decision>::new()));
    let told = decisions.clone();
    let layer =
        builder().on_decision(move |_, decision| told.lock().unwrap().push(*decision)).build().unwrap();
    let provider = layer.layer(echo());
    for question in [
        RESET,
        RESET,
        "How can I reset my password?",
        "How do I not reset my password?",
        "Where do I get a fishing licence for the lake?",
        "What is the latest news?",
        "Hello",
    ] {
        provider.ask(ask(question)).await.unwrap();
        settle().await;
    }
    let by: Vec<_> = decisions.lock().unwrap().iter().map(|decision| decision.by).collect();
    assert_eq!(
        by,
        [
            By::Threshold,
            By::ExactText,
            By::Nearness,
            By::Guard(Difference::Negation),
            By::Threshold,
            By::Skip(Skip::Time),
            By::NotEmbedded,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_callers_threshold_can_only_rise() {
    let provider = builder().build().unwrap().layer(echo());
    provider.ask(ask(RESET)).await.unwrap();
    settle().await;
    let near = |least: f32| {
        with(ask("How can I reset my password?"), |context| {
            context.extensions.insert(MinSimilarity(least));
            context.cache.no_store = true;
        })
    };
    assert!(!is_hit(&provider.ask(near(0.9999)).await.unwrap()));
    assert!(is_hit(&provider.ask(near(0.1)).await.unwrap()));
    // Far below the layer's own: a lower one changes nothing.
    let far = with(ask("How do I water my cactus?"), |context| {
        context.extensions.insert(MinSimilarity(-1.0));
    });
    assert!(!is_hit(&provider.ask(far).await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn directives_are_obeyed() {
    let upstream = echo();
    let provider = builder().build().unwrap().layer(upstream.clone());
    let directed = |change: fn(&mut mainstay_provider_core::CacheDirective)| {
        with(ask(RESET), |context| change(&mut context.cache))
    };
    provider.ask(directed(|cache| cache.no_store = true)).await.unwrap();
    settle().await;
    let missing = provider.ask(directed(|cache| cache.only_if_cached = true)).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Unavailable);
    assert_eq!(upstream.counts().calls, 1);
    // Not answered from the cache, but kept.
    assert!(!is_hit(&provider.ask(directed(|cache| cache.no_cache = true)).await.unwrap()));
    settle().await;
    assert!(is_hit(&provider.ask(directed(|cache| cache.only_if_cached = true)).await.unwrap()));
    assert!(is_hit(&provider.ask(ask("How can I reset my password?")).await.unwrap()));
    // Too old for this caller.
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(!is_hit(
        &provider.ask(directed(|cache| cache.max_age = Some(Duration::from_secs(5)))).await.unwrap()
    ));
    settle().await;
    // No age is young enough: it is asked anew, and the answer is for all who come after.
    let anew = directed(|cache| cache.max_age = Some(Duration::ZERO));
    assert!(!is_hit(&provider.ask(anew).await.unwrap()));
    settle().await;
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(is_hit(&provider.ask(ask(RESET)).await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn the_ladder_may_ask_for_what_is_near() {
    let layer = builder().threshold(0.999).build().unwrap();
    let provider = layer.layer(echo());
    provider.ask(ask(RESET)).await.unwrap();
    settle().await;
    let other = ask("How can I reset my password?");
    assert!(!is_hit(
        &provider.ask(with(other.clone(), |context| context.cache.no_store = true)).await.unwrap()
    ));
    let near = layer.cache().near(&other, 0.85).await.expect("it is near");
    assert!(is_hit(&near));
    assert_eq!(near.head.level, Level::Primary);
    // The guards stand.
    assert!(layer.cache().near(&ask("How do I not reset my password?"), 0.5).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_purged_alone() {
    let layer = builder().build().unwrap();
    let provider = layer.layer(echo());
    for namespace in ["a", "b"] {
        provider.ask(ask_in(namespace, RESET)).await.unwrap();
    }
    settle().await;
    assert_eq!(layer.cache().purge(&Namespace::new("a")).await.unwrap(), 1);
    assert!(!is_hit(&provider.ask(ask_in("a", RESET)).await.unwrap()));
    assert!(is_hit(&provider.ask(ask_in("b", RESET)).await.unwrap()));
}

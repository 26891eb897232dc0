//! A bound on wrong hits, the verifier, and what the traffic teaches.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{ask, builder, echo, is_hit, settle};
use mainstay_cache_semantic::{Bound, By, Calibration, Decision, Step};
use mainstay_provider_core::test_kit::{Scripted, Step as Answer};
use mainstay_provider_core::{Events, Provider, Subject};
use tower::Layer;

const RESET: &str = "How do I reset my password?";
const AGAIN: &str = "How can I reset my password?";

type Names = Arc<Mutex<Vec<&'static str>>>;

fn names() -> (Names, Events) {
    let names = Names::default();
    let told = names.clone();
    (
        names,
        Events::to(move |event| {
            told.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(event.name)
        }),
    )
}

#[tokio::test(start_paused = true)]
async fn without_evidence_a_bound_serves_exact_texts_only() {
    let layer = builder().bound(Bound::new(0.01)).recheck(0.0).build().unwrap();
    let provider = layer.layer(echo());
    provider.ask(ask(RESET)).await.unwrap();
    settle().await;
    assert!(!is_hit(&provider.ask(ask(AGAIN)).await.unwrap()));
    settle().await;
    assert!(is_hit(&provider.ask(ask(RESET)).await.unwrap()));
    assert_eq!(layer.cache().threshold(&ask(RESET)), None);
}

#[tokio::test(start_paused = true)]
async fn with_evidence_it_serves_at_the_loosest_safe_threshold() {
    let counted = Calibration::new([
        Step { threshold: 0.95, hits: 1_000, wrong: 1 },
        Step { threshold: 0.85, hits: 2_000, wrong: 8 },
        Step { threshold: 0.70, hits: 3_000, wrong: 90 },
    ]);
    let layer = builder().bound(Bound::new(0.01).calibrated(counted)).recheck(0.0).build().unwrap();
    assert_eq!(layer.cache().threshold(&ask(RESET)), Some(0.85));
    let provider = layer.layer(echo());
    provider.ask(ask(RESET)).await.unwrap();
    settle().await;
    assert!(is_hit(&provider.ask(ask(AGAIN)).await.unwrap()));
}

/// An upstream whose answers to the same question differ from one time to the next.
fn fickle() -> Scripted {
    let answers = Arc::new(Mutex::new(0_u32));
    Scripted::by(move |_| {
        let mut count = answers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *count += 1;
        Answer::text(format!("{count}"))
    })
}

#[tokio::test(start_paused = true)]
async fn a_wrong_hit_tightens_its_entry_and_is_told() {
    let (names, events) = names();
    let layer = builder().recheck(1.0).events(events).build().unwrap();
    let upstream = fickle();
    let provider = layer.layer(upstream.clone());
    provider.ask(ask(RESET)).await.unwrap();
    settle().await;
    assert!(is_hit(&provider.ask(ask(AGAIN)).await.unwrap()));
    settle().await;
    assert_eq!(*names.lock().unwrap(), ["semantic.wrong_hit"]);
    assert_eq!(layer.cache().stats().confirmed_wrong, 1);
    // The same wording is no longer near enough; the very text is.
    assert!(!is_hit(&provider.ask(ask(AGAIN)).await.unwrap()));
    assert!(is_hit(&provider.ask(ask(RESET)).await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_broken_bound_falls_back_to_exact_texts_and_raises_an_alarm() {
    let counted = Calibration::new([Step { threshold: 0.80, hits: 5_000, wrong: 10 }]);
    let (names, events) = names();
    let bound = Bound::new(0.01).calibrated(counted);
    let layer = builder().bound(bound).recheck(1.0).events(events).build().unwrap();
    let provider = layer.layer(fickle());
    for thing in ["password", "address", "birthday", "language"] {
        provider.ask(ask(&format!("How do I change my {thing}?"))).await.unwrap();
        settle().await;
        provider.ask(ask(&format!("How can I change my {thing}?"))).await.unwrap();
        settle().await;
    }
    assert!(names.lock().unwrap().contains(&"semantic.exact_only"), "{:?}", names.lock().unwrap());
    assert_eq!(layer.cache().threshold(&ask(RESET)), None);
}

#[tokio::test(start_paused = true)]
async fn nobody_pays_for_what_the_cache_asks_again() {
    let upstream = echo();
    let provider = builder().recheck(1.0).build().unwrap().layer(upstream.clone());
    let paid = |question: &str| {
        common::with(ask(question), |context| {
            context.subjects = vec![Subject::new("user", "ann")];
            context.deadline = Some(tokio::time::Instant::now() + Duration::from_secs(5));
        })
    };
    provider.ask(paid(RESET)).await.unwrap();
    settle().await;
    assert!(is_hit(&provider.ask(paid(AGAIN)).await.unwrap()));
    settle().await;
    let calls = upstream.calls();
    assert_eq!(calls.len(), 2);
    let again = calls[1].context();
    assert!(again.subjects.is_empty() && again.deadline.is_none());
    assert!(again.cache.no_cache && again.cache.no_store);
}

#[tokio::test(start_paused = true)]
async fn a_verifier_may_only_deny() {
    for (word, by) in [
        (Some(Some(true)), By::Verifier),
        (Some(Some(false)), By::Denied),
        (Some(None), By::Unverified),
        // It never answers.
        (None, By::Unverified),
    ] {
        let decisions = Arc::new(Mutex::new(Vec::<Decision>::new()));
        let told = decisions.clone();
        let layer = builder()
            .threshold(0.96)
            .verifier(move |_: &str, _: &str| async move {
                match word {
                    Some(word) => word,
                    None => std::future::pending().await,
                }
            })
            .on_decision(move |_, decision| told.lock().unwrap().push(*decision))
            .build()
            .unwrap();
        let provider = layer.layer(echo());
        provider.ask(ask(RESET)).await.unwrap();
        settle().await;
        let begun = tokio::time::Instant::now();
        let reply = provider.ask(ask(AGAIN)).await.unwrap();
        assert_eq!(is_hit(&reply), by == By::Verifier);
        assert_eq!(decisions.lock().unwrap().last().unwrap().by, by);
        assert!(begun.elapsed() <= Duration::from_millis(510));
        // What a guard vetoes no verifier can save.
        assert!(!is_hit(&provider.ask(ask("How do I not reset my password?")).await.unwrap()));
    }
}

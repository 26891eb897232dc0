//! A store or an embedder that fails is a miss (S1, S2, S3).

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{ask, builder, echo, embedding, is_hit, settle};
use mainstay_cache_semantic::store::{
    EntryId, Neighbour, NewEntry, SemanticStore, StoreError, StoreFuture, StoreStats,
};
use mainstay_cache_semantic::{Embedding, MemoryStore, Partition, SemanticLayer};
use mainstay_provider_core::test_kit::{EmbedStep, ScriptedEmbedder};
use mainstay_provider_core::{ErrorKind, Events, Namespace, Provider, Recording};
use tokio::time::Instant;
use tower::Layer;

const QUESTION: &str = "How do I reset my password?";

/// How a store misbehaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Frozen,
    Refused,
    Slow,
    /// In time, but not at once.
    Late,
    Damaged,
    /// Scores that are no cosines.
    Nonsense,
    None,
}

struct Faulty {
    inner: MemoryStore,
    fault: Mutex<Fault>,
    asked: AtomicU64,
}

impl Faulty {
    fn new(fault: Fault) -> Arc<Self> {
        Arc::new(Self { inner: MemoryStore::default(), fault: Mutex::new(fault), asked: AtomicU64::new(0) })
    }

    fn set(&self, fault: Fault) {
        *self.fault.lock().expect("nobody panics") = fault;
    }

    fn then<'a, T: Send + 'a>(&self, answer: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let fault = *self.fault.lock().expect("nobody panics");
        Box::pin(async move {
            match fault {
                Fault::Frozen => std::future::pending().await,
                Fault::Refused => Err(StoreError::Unreachable("connection refused".into())),
                Fault::Slow => {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    answer.await
                }
                Fault::Late => {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    answer.await
                }
                Fault::Damaged => Err(StoreError::Damaged),
                Fault::Nonsense | Fault::None => answer.await,
            }
        })
    }
}

impl SemanticStore for Faulty {
    fn nearest<'a>(
        &'a self,
        partition: &'a Partition,
        vector: &'a [f32],
        k: usize,
    ) -> StoreFuture<'a, Vec<Neighbour>> {
        let nonsense = *self.fault.lock().expect("nobody panics") == Fault::Nonsense;
        let found = self.inner.nearest(partition, vector, k);
        self.then(Box::pin(async move {
            let mut found = found.await?;
            if nonsense {
                for (neighbour, score) in found.iter_mut().zip([f32::NAN, f32::INFINITY, 7.0]) {
                    neighbour.score = score;
                }
            }
            Ok(found)
        }))
    }

    fn by_text<'a>(&'a self, partition: &'a Partition, text: &'a str) -> StoreFuture<'a, Option<Neighbour>> {
        self.then(self.inner.by_text(partition, text))
    }

    fn fetch<'a>(&'a self, partition: &'a Partition, id: EntryId) -> StoreFuture<'a, Option<Recording>> {
        self.then(self.inner.fetch(partition, id))
    }

    fn insert<'a>(&'a self, partition: &'a Partition, entry: NewEntry) -> StoreFuture<'a, ()> {
        self.then(Box::pin(async move { self.inner.insert(partition, entry).await }))
    }

    fn tighten<'a>(&'a self, partition: &'a Partition, id: EntryId, above: f32) -> StoreFuture<'a, ()> {
        self.then(self.inner.tighten(partition, id, above))
    }

    fn remove<'a>(&'a self, partition: &'a Partition, id: EntryId) -> StoreFuture<'a, ()> {
        self.then(self.inner.remove(partition, id))
    }

    fn purge<'a>(&'a self, namespace: &'a Namespace) -> StoreFuture<'a, u64> {
        self.then(self.inner.purge(namespace))
    }

    fn stats(&self) -> StoreStats {
        self.inner.stats()
    }
}

/// The answers are right, and the fault costs at most 50 ms on the first calls and nothing after.
async fn costs_little(fault: Fault) {
    let store = Faulty::new(fault);
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = events.clone();
    let layer = builder()
        .store(store.clone())
        .events(Events::to(move |event| told.lock().expect("nobody panics").push(event.name)))
        .build()
        .expect("the settings are right");
    let provider = layer.layer(echo());
    let mut longest_later = Duration::ZERO;
    for number in 0..20 {
        let begun = Instant::now();
        let question = format!("How do I reset password number {number}?");
        let reply = provider.ask(ask(&question)).await.expect("the provider answers");
        assert!(!is_hit(&reply), "{fault:?}");
        assert_eq!(reply.answer().expect("it is whole").text(), format!("about: {question}"));
        let took = begun.elapsed();
        assert!(took <= Duration::from_millis(55), "{fault:?}: {took:?}");
        if number >= 3 {
            longest_later = longest_later.max(took);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    if matches!(fault, Fault::Frozen | Fault::Refused | Fault::Slow) {
        assert!(longest_later <= Duration::from_millis(5), "{fault:?}: {longest_later:?}");
        assert_eq!(*events.lock().expect("nobody panics"), ["semantic.store_down"]);
    }

    // It is well again: after a while it is tried, and used.
    store.set(Fault::None);
    tokio::time::sleep(Duration::from_secs(6)).await;
    for _ in 0..2 {
        provider.ask(ask(QUESTION)).await.expect("the provider answers");
        settle().await;
    }
    assert!(is_hit(&provider.ask(ask(QUESTION)).await.expect("the provider answers")), "{fault:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_refuses_or_is_slow_is_a_miss() {
    for fault in [Fault::Frozen, Fault::Refused, Fault::Slow, Fault::Damaged] {
        costs_little(fault).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_never_a_hit() {
    let store = Faulty::new(Fault::None);
    let provider = builder().store(store.clone()).build().unwrap().layer(echo());
    for question in [QUESTION, "How can I reset that password?", "How do you reset a password?"] {
        provider.ask(ask(question)).await.unwrap();
        settle().await;
    }
    store.set(Fault::Nonsense);
    assert!(!is_hit(&provider.ask(ask("How should I reset my password now?")).await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn an_embedder_that_fails_hangs_or_lies_is_a_miss() {
    for step in [
        EmbedStep::fail_with(ErrorKind::Overloaded),
        EmbedStep::hang(),
        EmbedStep::vectors(vec![]),
        EmbedStep::vectors(vec![vec![0.0; 64]]),
        EmbedStep::vectors(vec![vec![f32::NAN; 64]]),
        EmbedStep::vectors(vec![vec![1.0; 3]]),
    ] {
        let embedder: ScriptedEmbedder = common::embedder();
        let layer = SemanticLayer::builder(Embedding::new(embedder.clone(), "words"))
            .threshold(0.85)
            .build()
            .unwrap();
        let provider = layer.layer(echo());
        provider.ask(ask(QUESTION)).await.unwrap();
        settle().await;
        embedder.push(step);
        let begun = Instant::now();
        let reply = provider.ask(ask("How can I reset my password?")).await.unwrap();
        assert!(!is_hit(&reply));
        assert!(begun.elapsed() <= Duration::from_millis(510));
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn writing_never_delays_the_answer() {
    let store = Faulty::new(Fault::Slow);
    let provider = SemanticLayer::builder(embedding()).store(store).build().unwrap().layer(echo());
    let begun = Instant::now();
    provider.ask(ask("Hello there")).await.unwrap();
    assert!(begun.elapsed() <= Duration::from_millis(51));
}

// S3: a wrong key or length of vectors would show nowhere else.
#[tokio::test(start_paused = true)]
async fn an_embedder_that_fails_is_told_once_and_so_is_its_return() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = told.clone();
    let embedder: ScriptedEmbedder = common::embedder();
    let layer = SemanticLayer::builder(Embedding::new(embedder.clone(), "words"))
        .events(Events::to(move |event| sink.lock().unwrap().push(event.name)))
        .build()
        .unwrap();
    let provider = layer.layer(echo());
    for _ in 0..6 {
        embedder.push(EmbedStep::fail_with(ErrorKind::Authentication));
    }
    provider.ask(ask("How do I reset my password?")).await.unwrap();
    settle().await;
    provider.ask(ask("Where do I find my invoice?")).await.unwrap();
    settle().await;
    assert_eq!(*told.lock().unwrap(), ["semantic.embedder_down"]);
    for question in ["How do I book a table?", "How do I cancel my order?", "How do I pay by card?"] {
        provider.ask(ask(question)).await.unwrap();
        settle().await;
    }
    provider.ask(ask("Which shops are near the station?")).await.unwrap();
    assert_eq!(*told.lock().unwrap(), ["semantic.embedder_down", "semantic.embedder_back"]);
}

// The answer is held as long as its vector is waited for.
#[tokio::test(start_paused = true)]
async fn a_vector_that_never_comes_is_not_waited_for_for_ever() {
    let embedder: ScriptedEmbedder = common::embedder();
    let provider =
        SemanticLayer::builder(Embedding::new(embedder.clone(), "words")).build().unwrap().layer(echo());
    embedder.push(EmbedStep::hang());
    embedder.push(EmbedStep::hang());
    provider.ask(ask(QUESTION)).await.unwrap();
    settle().await;
    assert_eq!(embedder.counts().in_flight, 1, "it is embedded late");
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(embedder.counts().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn what_comes_into_the_store_after_a_purge_is_taken_out_again() {
    let store = Faulty::new(Fault::Late);
    let layer = builder().store(store.clone()).build().unwrap();
    let provider = layer.layer(echo());
    provider.ask(ask(QUESTION)).await.unwrap();
    settle().await;
    // It is being written.
    assert_eq!((layer.cache().purge(&Namespace::default()).await.unwrap(), store.stats().entries), (0, 0));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((layer.cache().stats().kept, store.stats().entries), (1, 0));
}

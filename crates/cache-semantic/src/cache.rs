//! The cache behind the layer: looking up, keeping, learning.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_provider_core::{
    CacheStatus, Call, Event, Events, Namespace, Pace, Recording, Reply, Severity, Usage,
};

use crate::config::SemanticConfig;
use crate::decision::{By, Decision, choose};
use crate::eligible::{Question, Skip, is_worth_embedding, question};
use crate::embedding::Embedding;
use crate::guard::{Asked, Difference};
use crate::guarded::Guarded;
use crate::labels::{Change, Entry, Label, Labels};
use crate::layer::{OnDecision, Price};
use crate::partition::Partition;
use crate::store::{EntryId, Neighbour, NewEntry, StoreStats};
use crate::verifier::{Judge, Verifier};

/// What all services of a layer share.
pub(crate) struct Shared {
    pub(crate) embedding: Embedding,
    pub(crate) config: SemanticConfig,
    pub(crate) store: Guarded,
    pub(crate) labels: Option<Labels>,
    pub(crate) verifier: Option<Arc<dyn Verifier>>,
    pub(crate) judge: Arc<dyn Judge>,
    pub(crate) events: Events,
    pub(crate) on_decision: Option<OnDecision>,
    pub(crate) price: Option<Price>,
    pub(crate) pace: Pace,
    pub(crate) chance: Mutex<fastrand::Rng>,
    pub(crate) counters: Counters,
    /// Whether the last question that was to be embedded was not.
    pub(crate) embedder_is_down: AtomicBool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A call that the cache looks at.
pub(crate) struct Looked {
    pub(crate) partition: Partition,
    pub(crate) question: Question,
    /// Where the question stands, if it was embedded.
    pub(crate) vector: Option<Arc<[f32]>>,
    /// The nearest question, for a label.
    pub(crate) nearest: Option<Neighbour>,
}

impl Shared {
    /// What of a call is looked for, or why nothing is.
    pub(crate) fn question(&self, call: &Call) -> Result<Question, Skip> {
        let directive = &call.context().cache;
        if directive.no_cache && directive.no_store {
            return Err(Skip::Directive);
        }
        question(call, &self.config.limits)
    }

    pub(crate) fn partition(&self, call: &Call) -> Partition {
        Partition::of(call, self.embedding.identity())
    }

    /// A miss; told once for all questions until one is embedded again. A wrong key or length would show nowhere else.
    fn not_embedded(&self, reason: &str) -> (Decision, Option<Recording>) {
        self.counters.embedder_failed.fetch_add(1, Ordering::Relaxed);
        if !self.embedder_is_down.swap(true, Ordering::Relaxed) {
            self.events.send(|| {
                Event::new("semantic.embedder_down", Severity::Warning).with("reason", reason.to_owned())
            });
        }
        (Decision::miss(By::Embedder), None)
    }

    fn embedder_is_back(&self) {
        if self.embedder_is_down.load(Ordering::Relaxed)
            && self.embedder_is_down.swap(false, Ordering::Relaxed)
        {
            self.events.send(|| Event::new("semantic.embedder_back", Severity::Info));
        }
    }

    /// The threshold for a call: a caller may only raise it.
    fn threshold(&self, call: &Call, partition: &Partition) -> Option<f32> {
        let own = match &self.labels {
            Some(labels) => labels.threshold(&partition.digest),
            None => Some(self.config.threshold),
        };
        let asked = call.context().extensions.get::<crate::MinSimilarity>();
        own.map(|own| asked.map_or(own, |asked| own.max(asked.0)))
    }

    /// Looks a question up. The one place where anything is read for a caller.
    pub(crate) async fn look_up(&self, call: &Call, looked: &mut Looked) -> (Decision, Option<Recording>) {
        let threshold = self.threshold(call, &looked.partition);
        self.look_up_at(call, looked, threshold).await
    }

    pub(crate) async fn look_up_at(
        &self,
        call: &Call,
        looked: &mut Looked,
        threshold: Option<f32>,
    ) -> (Decision, Option<Recording>) {
        let (partition, text) = (&looked.partition, &looked.question.text);
        let Some(same) = self.store.ask(|store| store.by_text(partition, text)).await else {
            return (Decision::miss(By::Store), None);
        };
        if let Some(same) = same
            && is_fresh(call, same.age)
        {
            return self.fetch(partition, Decision::exact(&same)).await;
        }
        if !looked.question.is_embedded {
            return (Decision::miss(By::NotEmbedded), None);
        }
        if threshold.is_none() && self.labels.is_none() {
            return (Decision::miss(By::ExactOnly), None);
        }
        let embedded = tokio::time::timeout(self.config.embed_timeout, self.embedding.embed(text)).await;
        let vector = match embedded {
            Ok(Ok(vector)) => vector,
            Ok(Err(error)) => return self.not_embedded(&error.to_string()),
            Err(_) => return self.not_embedded("no vector in time"),
        };
        self.embedder_is_back();
        let vector = looked.vector.insert(vector).clone();
        let found = self.store.ask(|store| store.nearest(partition, &vector, self.config.neighbours)).await;
        let Some(mut found) = found else { return (Decision::miss(By::Store), None) };
        // What is found by its text only was kept with a vector too, which may be that of its beginning.
        found.retain(|neighbour| {
            is_fresh(call, neighbour.age) && is_worth_embedding(&neighbour.text, &self.config.limits)
        });
        looked.nearest = found.first().cloned();
        let Some(threshold) = threshold else { return (Decision::miss(By::ExactOnly), None) };
        let decision = choose(&Asked::new(text, self.config.guards), &found, threshold);
        if !decision.is_hit {
            return (decision, None);
        }
        let decision = self.verify(text, &found, decision).await;
        if decision.is_hit { self.fetch(partition, decision).await } else { (decision, None) }
    }

    /// In the uncertain band the verifier has the last word.
    async fn verify(&self, text: &str, found: &[Neighbour], decision: Decision) -> Decision {
        let Some(verifier) = &self.verifier else { return decision };
        let (Some(worth), Some(threshold)) = (decision.worth(), decision.threshold) else { return decision };
        if worth >= threshold + self.config.unsure {
            return decision;
        }
        let Some(stored) = found.iter().find(|neighbour| Some(neighbour.id) == decision.entry) else {
            return decision.but(By::Unverified);
        };
        let word = verifier.is_same(text, &stored.text);
        decision.but(match tokio::time::timeout(self.config.verify_timeout, word).await {
            Ok(Some(true)) => By::Verifier,
            Ok(Some(false)) => By::Denied,
            Ok(None) | Err(_) => By::Unverified,
        })
    }

    async fn fetch(&self, partition: &Partition, decision: Decision) -> (Decision, Option<Recording>) {
        let Some(id) = decision.entry else { return (decision.but(By::Store), None) };
        match self.store.ask(|store| store.fetch(partition, id)).await.flatten() {
            Some(recording) => (decision, Some(recording)),
            // Evicted in between, or damaged.
            None => (decision.but(By::Store), None),
        }
    }

    /// The reply of a hit.
    pub(crate) fn reply(&self, call: &Call, decision: &Decision, recording: &Recording) -> Reply {
        let mut head = recording.head();
        head.started = Some(tokio::time::Instant::now());
        head.cache = CacheStatus::SemanticHit {
            age: decision.age.unwrap_or_default(),
            score: decision.score.unwrap_or(1.0).min(1.0),
        };
        recording.reply(head, call.is_stream(), self.pace)
    }

    pub(crate) fn decided(&self, call: &Call, decision: &Decision, recording: Option<&Recording>) {
        self.counters.count(decision, recording.and_then(Recording::usage));
        if let Some(hook) = &self.on_decision {
            hook(call, decision);
        }
    }

    /// Keeps an answer. The one place where anything is written.
    pub(crate) async fn keep(&self, looked: &Looked, recording: Recording, ttl: Duration) {
        let Some(vector) = looked.vector.clone() else { return };
        let saves = recording.usage().map_or(1, |usage| {
            let price = self.price.as_ref().and_then(|price| price(recording.model(), &usage));
            price.unwrap_or_else(|| usage.total()).max(1)
        });
        let id = EntryId(self.chance().u128(..));
        let text = looked.question.text.clone();
        let entry = NewEntry { id, text, vector, recording, ttl, saves };
        if self.store.ask(|store| store.insert(&looked.partition, entry)).await.is_some() {
            self.counters.kept.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Embeds a question that was not embedded while the caller waited: because the cache was not to be read, or because it
    /// is looked for by its text only. A store wants a vector all the same.
    pub(crate) async fn embed_late(&self, looked: &mut Looked) {
        if looked.vector.is_none() {
            looked.vector = self.embedding.embed(&looked.question.text).await.ok();
        }
    }

    /// How long an answer to this call is kept.
    pub(crate) fn ttl(&self, call: &Call) -> Duration {
        call.context().cache.max_age.map_or(self.config.ttl, |age| age.min(self.config.ttl))
    }

    /// Whether this hit is asked again.
    pub(crate) fn is_rechecked(&self, decision: &Decision) -> bool {
        let share = self.config.recheck_share();
        share > 0.0 && decision.by != By::ExactText && self.chance().f64() < share
    }

    fn chance(&self) -> std::sync::MutexGuard<'_, fastrand::Rng> {
        self.chance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns from a miss: whether the nearest entry's answer would have done.
    pub(crate) async fn learn_from_miss(&self, looked: &Looked, fresh: &Recording) {
        let (Some(_), Some(nearest)) = (&self.labels, &looked.nearest) else { return };
        if nearest.text == looked.question.text {
            return;
        }
        let verdict = Asked::new(&looked.question.text, self.config.guards).compare(&nearest.text);
        let worth = nearest.score - verdict.doubt;
        // What a guard vetoes is not served at any threshold, and what is far teaches nothing.
        if verdict.veto.is_some() || worth < 0.70 {
            return;
        }
        let Some(kept) = self.store.ask(|store| store.fetch(&looked.partition, nearest.id)).await.flatten()
        else {
            return;
        };
        let is_same = self.judge.is_same(&looked.question.text, &text_of(&kept), &text_of(fresh)).await;
        let Some(is_same) = is_same else { return };
        // Served but for the fall back to exact texts: the evidence that leads out of it.
        let was_hit = worth >= self.config.threshold;
        self.learn(&looked.partition, Label { entry: nearest.id, worth, is_same, was_hit }, None).await;
    }

    /// Learns from a hit that was asked again.
    pub(crate) async fn learn_from_hit(
        &self,
        looked: &Looked,
        decision: &Decision,
        kept: &Recording,
        fresh: &Recording,
    ) {
        let (Some(entry), Some(worth), Some(score)) = (decision.entry, decision.worth(), decision.score)
        else {
            return;
        };
        let is_same = self.judge.is_same(&looked.question.text, &text_of(kept), &text_of(fresh)).await;
        let Some(is_same) = is_same else { return };
        self.counters.rechecked.fetch_add(1, Ordering::Relaxed);
        self.learn(&looked.partition, Label { entry, worth, is_same, was_hit: true }, Some(score)).await;
    }

    async fn learn(&self, partition: &Partition, label: Label, served_at: Option<f32>) {
        let (change, fate) = match &self.labels {
            Some(labels) => labels.add(&partition.digest, label),
            None if label.is_same => (Change::None, Entry::Keep),
            None => (Change::None, Entry::Tighten),
        };
        if let Some(score) = served_at
            && !label.is_same
        {
            self.counters.confirmed_wrong.fetch_add(1, Ordering::Relaxed);
            let above = if fate == Entry::ExactOnly { 1.0 } else { score };
            self.store.ask(|store| store.tighten(partition, label.entry, above)).await;
            self.events.send(|| {
                Event::new("semantic.wrong_hit", Severity::Warning)
                    .with("namespace", partition.namespace.as_str().to_owned())
                    .with("score", format!("{score:.4}"))
            });
        }
        match change {
            Change::None => {}
            Change::Threshold(threshold) => self.events.send(|| {
                Event::new("semantic.threshold", Severity::Info)
                    .with("namespace", partition.namespace.as_str().to_owned())
                    .with("threshold", format!("{threshold:.2}"))
            }),
            Change::ExactOnly => self.events.send(|| {
                Event::new("semantic.exact_only", Severity::Alert)
                    .with("namespace", partition.namespace.as_str().to_owned())
                    .with("reason", "no safe threshold: exact only")
            }),
        }
    }
}

/// Whether an entry is young enough for what the caller said.
fn is_fresh(call: &Call, age: Duration) -> bool {
    call.context().cache.max_age.is_none_or(|most| age <= most)
}

fn text_of(recording: &Recording) -> String {
    recording.whole().text().into_owned()
}

/// What was counted since the layer was made.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    exact: AtomicU64,
    near: AtomicU64,
    misses: AtomicU64,
    skipped: AtomicU64,
    vetoed: [AtomicU64; Difference::ALL.len()],
    kept: AtomicU64,
    rechecked: AtomicU64,
    confirmed_wrong: AtomicU64,
    embedder_failed: AtomicU64,
    store_failed: AtomicU64,
    saved: Mutex<Usage>,
}

impl Counters {
    fn count(&self, decision: &Decision, saved: Option<Usage>) {
        let counter = match decision.by {
            By::ExactText => &self.exact,
            By::Nearness | By::Verifier => &self.near,
            By::Skip(_) => &self.skipped,
            _ => &self.misses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        match decision.by {
            By::Guard(difference) => {
                if let Some(at) = Difference::ALL.iter().position(|known| *known == difference) {
                    self.vetoed[at].fetch_add(1, Ordering::Relaxed);
                }
            }
            By::Store => _ = self.store_failed.fetch_add(1, Ordering::Relaxed),
            _ => {}
        }
        if let Some(saved) = saved {
            *self.saved.lock().unwrap_or_else(PoisonError::into_inner) += saved;
        }
    }
}

/// What a semantic cache did since it was made.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct SemanticStats {
    /// Hits by the very text.
    pub exact_hits: u64,
    /// Hits by nearness.
    pub near_hits: u64,
    /// Looked for and not found.
    pub misses: u64,
    /// Not looked for.
    pub skipped: u64,
    /// Misses by the guard whose veto they were.
    pub vetoes: BTreeMap<&'static str, u64>,
    /// Answers kept.
    pub kept: u64,
    /// Hits that were asked again.
    pub rechecked: u64,
    /// Of these, wrong ones.
    pub confirmed_wrong: u64,
    /// Misses because the embedder said nothing in time, or failed.
    pub embedder_failed: u64,
    /// Misses because the store said nothing in time, failed, or had lost the answer.
    pub store_failed: u64,
    /// Tokens that hits did not use.
    pub saved: Usage,
    /// How full the store is.
    pub store: StoreStats,
}

impl SemanticStats {
    /// The share of questions looked for that were found; 0 when none was.
    pub fn hit_rate(&self) -> f64 {
        let hits = self.exact_hits + self.near_hits;
        crate::calibrate::share(hits, hits + self.misses).unwrap_or(0.0)
    }
}

/// The cache of a [`SemanticLayer`](crate::SemanticLayer), to be read, purged and asked. Cloning copies a pointer.
#[derive(Debug, Clone)]
pub struct SemanticCache(Arc<Shared>);

impl SemanticCache {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// What it did so far.
    pub fn stats(&self) -> SemanticStats {
        let counters = &self.0.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let vetoes = Difference::ALL.iter().zip(&counters.vetoed);
        SemanticStats {
            exact_hits: read(&counters.exact),
            near_hits: read(&counters.near),
            misses: read(&counters.misses),
            skipped: read(&counters.skipped),
            vetoes: vetoes
                .map(|(name, count)| (name.as_str(), read(count)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            kept: read(&counters.kept),
            rechecked: read(&counters.rechecked),
            confirmed_wrong: read(&counters.confirmed_wrong),
            embedder_failed: read(&counters.embedder_failed),
            store_failed: read(&counters.store_failed),
            saved: *counters.saved.lock().unwrap_or_else(PoisonError::into_inner),
            store: self.0.store.store().stats(),
        }
    }

    /// Forgets all of a namespace; says how many entries that were.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn purge(&self, namespace: &Namespace) -> Result<u64, crate::store::StoreError> {
        self.0.store.store().purge(namespace).await
    }

    /// The answer to this question or one near to it, at a threshold of the operator's choice: for a degradation ladder,
    /// when nothing better is to be had. The guards stand, and so does the partition.
    pub async fn near(&self, call: &Call, threshold: f32) -> Option<Reply> {
        let question = self.0.question(call).ok()?;
        let mut looked = Looked { partition: self.0.partition(call), question, vector: None, nearest: None };
        let (decision, recording) = self.0.look_up_at(call, &mut looked, Some(threshold)).await;
        recording.map(|recording| self.0.reply(call, &decision, &recording))
    }

    /// The threshold that stands for a call now; `None` where only exact texts are served.
    pub fn threshold(&self, call: &Call) -> Option<f32> {
        self.0.threshold(call, &self.0.partition(call))
    }
}

//! The cache behind the layer: looking up, keeping, learning.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_provider_core::{Call, Event, Events, Namespace, Pace, Recording, Reply, Severity};

use crate::config::SemanticConfig;
use crate::decision::{By, Decision, choose};
use crate::eligible::{Question, Skip, is_worth_embedding, question};
use crate::embedding::Embedding;
use crate::guard::Asked;
use crate::guarded::Guarded;
use crate::labels::Labels;
use crate::layer::{OnDecision, Price};
use crate::partition::Partition;
use crate::stats::{Counters, SemanticStats};
use crate::store::{EntryId, Neighbour, NewEntry};
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
    /// How often a namespace was forgotten. An answer that was under way meanwhile is not kept.
    pub(crate) purges: AtomicU64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

/// How near a question must be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Threshold {
    least: f32,
    /// Whether evidence for a bound says so.
    is_calibrated: bool,
}

impl Threshold {
    fn fixed(least: f32) -> Self {
        Self { least, is_calibrated: false }
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

    /// The threshold for a call: a caller may only raise it. `None` where only exact texts are safe.
    fn threshold(&self, call: &Call, partition: &Partition) -> Option<Threshold> {
        let own = match &self.labels {
            Some(labels) => Threshold { least: labels.threshold(&partition.digest)?, is_calibrated: true },
            None => Threshold::fixed(self.config.threshold),
        };
        let asked = call.context().extensions.get::<crate::MinSimilarity>();
        Some(asked.filter(|asked| asked.0 > own.least).map_or(own, |asked| Threshold::fixed(asked.0)))
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
        threshold: Option<Threshold>,
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
        let embedded = tokio::time::timeout(
            self.config.embed_timeout,
            self.embedding.embed_for(&partition.namespace, text),
        )
        .await;
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
        let decision = choose(&Asked::new(text, self.config.guards), &found, threshold.least);
        if !decision.is_hit {
            return (decision, None);
        }
        let by = if threshold.is_calibrated { By::Calibrated } else { By::Nearness };
        let decision = self.verify(text, &found, decision.but(by)).await;
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
        head.cache = decision.status();
        recording.reply(head, call.is_stream(), self.pace)
    }

    pub(crate) fn decided(&self, call: &Call, decision: &Decision, recording: Option<&Recording>) {
        self.counters.count(decision, recording.and_then(Recording::usage));
        if let Some(hook) = &self.on_decision {
            hook(call, decision);
        }
    }

    pub(crate) fn purges(&self) -> u64 {
        self.purges.load(Ordering::SeqCst)
    }

    /// Keeps an answer, unless anything was purged since there were so many `purges`. The one place where anything is written.
    pub(crate) async fn keep(&self, looked: &Looked, recording: Recording, ttl: Duration, purges: u64) {
        let Some(vector) = looked.vector.clone() else { return };
        if self.purges() != purges {
            return;
        }
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
        // It may have come there after it was forgotten.
        if self.purges() != purges {
            self.store.ask(|store| store.remove(&looked.partition, id)).await;
        }
    }

    /// Embeds a question that was not embedded while the caller waited: because the cache was not to be read, or because it
    /// is looked for by its text only. A store wants a vector all the same.
    pub(crate) async fn embed_late(&self, looked: &mut Looked) {
        if looked.vector.is_none() {
            let Looked { partition, question, .. } = looked;
            let embedded = self.embedding.embed_for(&partition.namespace, &question.text);
            looked.vector = tokio::time::timeout(EMBED_LATE, embedded).await.ok().and_then(Result::ok);
        }
    }

    /// How long an answer to this call is kept.
    pub(crate) fn ttl(&self, call: &Call) -> Duration {
        let max_age = call.context().cache.max_age.filter(|age| !age.is_zero());
        max_age.map_or(self.config.ttl, |age| age.min(self.config.ttl))
    }

    /// Whether this hit is asked again.
    pub(crate) fn is_rechecked(&self, decision: &Decision) -> bool {
        let share = self.config.recheck_share();
        share > 0.0 && decision.by != By::ExactText && self.chance().f64() < share
    }

    fn chance(&self) -> std::sync::MutexGuard<'_, fastrand::Rng> {
        self.chance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody waits for such a vector, but the answer that it is for is held meanwhile.
const EMBED_LATE: Duration = Duration::from_secs(30);

/// Whether an entry is young enough for what the caller said.
fn is_fresh(call: &Call, age: Duration) -> bool {
    call.context().cache.max_age.is_none_or(|most| age <= most)
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
        SemanticStats { store: self.0.store.store().stats(), ..self.0.counters.read() }
    }

    /// Forgets all of a namespace, and keeps no answer that is under way here; says how many entries that were.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn purge(&self, namespace: &Namespace) -> Result<u64, crate::store::StoreError> {
        self.0.purges.fetch_add(1, Ordering::SeqCst);
        self.0.store.store().purge(namespace).await
    }

    /// The answer to this question or one near to it, at a threshold of the operator's choice: for a degradation ladder,
    /// when nothing better is to be had. The guards stand, and so does the partition.
    pub async fn near(&self, call: &Call, threshold: f32) -> Option<Reply> {
        let question = self.0.question(call).ok()?;
        let mut looked = Looked { partition: self.0.partition(call), question, vector: None, nearest: None };
        let (decision, recording) =
            self.0.look_up_at(call, &mut looked, Some(Threshold::fixed(threshold))).await;
        recording.map(|recording| self.0.reply(call, &decision, &recording))
    }

    /// The threshold that stands for a call now; `None` where only exact texts are served.
    pub fn threshold(&self, call: &Call) -> Option<f32> {
        self.0.threshold(call, &self.0.partition(call)).map(|threshold| threshold.least)
    }
}

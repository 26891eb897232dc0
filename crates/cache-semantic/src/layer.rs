//! The layer: a semantic cache, to be put around a provider.

use std::sync::Arc;

use mainstay_provider_core::{Call, Events, Pace, Usage};
use tower_layer::Layer;

use crate::cache::{SemanticCache, Shared};
use crate::config::{Bound, InvalidConfig, Limits, Preset, SemanticConfig};
use crate::decision::Decision;
use crate::embedding::Embedding;
use crate::guard::Guards;
use crate::guarded::Guarded;
use crate::judge::SharedWords;
use crate::labels::Labels;
use crate::service::Semantic;
use crate::store::{MemoryStore, SemanticStore};
use crate::verifier::{Judge, Verifier};

/// Answers questions that were asked before in other words.
///
/// All services that one layer makes share its cache.
///
/// # Order
/// Inside the exact cache, which is quicker and never wrong; outside budget, retry and router, since a hit costs nothing and
/// asks nobody.
///
/// # Cancellation
/// A dropped call stores nothing and changes nothing.
#[derive(Debug, Clone)]
pub struct SemanticLayer(Arc<Shared>);

impl SemanticLayer {
    /// Begins with the defaults, and with what makes vectors of questions.
    pub fn builder(embedding: Embedding) -> SemanticBuilder {
        SemanticBuilder {
            embedding,
            config: SemanticConfig::default(),
            store: None,
            verifier: None,
            judge: Arc::new(SharedWords),
            events: Events::default(),
            on_decision: None,
            price: None,
            pace: Pace::AtOnce,
            seed: None,
        }
    }

    /// The cache, to be read, purged and asked.
    pub fn cache(&self) -> SemanticCache {
        SemanticCache::new(self.0.clone())
    }
}

impl<S> Layer<S> for SemanticLayer {
    type Service = Semantic<S>;

    fn layer(&self, inner: S) -> Semantic<S> {
        Semantic::new(inner, self.0.clone())
    }
}

pub(crate) type OnDecision = Arc<dyn Fn(&Call, &Decision) + Send + Sync>;
pub(crate) type Price = Arc<dyn Fn(&str, &Usage) -> Option<u64> + Send + Sync>;

/// Builds a [`SemanticLayer`].
#[must_use]
pub struct SemanticBuilder {
    embedding: Embedding,
    config: SemanticConfig,
    store: Option<Arc<dyn SemanticStore>>,
    verifier: Option<Arc<dyn Verifier>>,
    judge: Arc<dyn Judge>,
    events: Events,
    on_decision: Option<OnDecision>,
    price: Option<Price>,
    pace: Pace,
    seed: Option<u64>,
}

impl SemanticBuilder {
    /// All settings that are data at once.
    pub fn config(mut self, config: SemanticConfig) -> Self {
        self.config = config;
        self
    }

    /// How near a question must be; 0.95 when not set.
    pub fn threshold(mut self, threshold: f32) -> Self {
        self.config.threshold = threshold;
        self
    }

    /// The threshold by what is at stake.
    pub fn preset(self, preset: Preset) -> Self {
        self.threshold(preset.threshold())
    }

    /// What is vetoed whatever the nearness; [`Guards::Standard`] when not set.
    pub fn guards(mut self, guards: Guards) -> Self {
        self.config.guards = guards;
        self
    }

    /// How long an answer is kept; 24 h when not set.
    pub fn ttl(mut self, ttl: std::time::Duration) -> Self {
        self.config.ttl = ttl;
        self
    }

    /// Which calls are looked at.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Keeps the share of wrong hits below a bound, instead of a fixed threshold.
    pub fn bound(mut self, bound: Bound) -> Self {
        self.config.bound = Some(bound);
        self
    }

    /// The share of hits that is asked again in the background; 0 when not set, 0.01 with a bound.
    pub fn recheck(mut self, share: f64) -> Self {
        self.config.recheck = Some(share);
        self
    }

    /// Where questions and answers are kept; in this process's memory when not set.
    pub fn store(mut self, store: Arc<dyn SemanticStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Asked where nearness alone is not sure; nobody when not set.
    pub fn verifier(mut self, verifier: impl Verifier) -> Self {
        self.verifier = Some(Arc::new(verifier));
        self
    }

    /// Says whether two answers say the same, for labels; [`SharedWords`] when not set.
    pub fn judge(mut self, judge: impl Judge) -> Self {
        self.judge = Arc::new(judge);
        self
    }

    /// Where events go; nowhere when not set.
    pub fn events(mut self, events: Events) -> Self {
        self.events = events;
        self
    }

    /// Called with each decision, inside of the call: it must not block.
    pub fn on_decision(mut self, hook: impl Fn(&Call, &Decision) + Send + Sync + 'static) -> Self {
        self.on_decision = Some(Arc::new(hook));
        self
    }

    /// What an answer by this model cost, in nano-USD: what a hit saves, for stats and eviction. Tokens count when not set.
    pub fn price(mut self, price: impl Fn(&str, &Usage) -> Option<u64> + Send + Sync + 'static) -> Self {
        self.price = Some(Arc::new(price));
        self
    }

    /// How fast a kept stream is played; at once when not set.
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Makes chance the same in each run; random when not set.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The layer.
    ///
    /// # Errors
    /// A setting with which a cache could not work; [`InvalidConfig`] says which.
    pub fn build(self) -> Result<SemanticLayer, InvalidConfig> {
        self.config.check()?;
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::default()));
        let store = Guarded::new(store, self.config.store_timeout, self.events.clone());
        Ok(SemanticLayer(Arc::new(Shared {
            labels: self.config.bound.clone().map(Labels::new),
            embedding: self.embedding,
            config: self.config,
            store,
            verifier: self.verifier,
            judge: self.judge,
            events: self.events,
            on_decision: self.on_decision,
            price: self.price,
            pace: self.pace,
            chance: std::sync::Mutex::new(
                self.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed),
            ),
            counters: crate::stats::Counters::default(),
            embedder_is_down: false.into(),
            purges: 0.into(),
        })))
    }
}

/// What is not data is only named.
impl std::fmt::Debug for SemanticBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SemanticBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

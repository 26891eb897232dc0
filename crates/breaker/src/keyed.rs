//! A breaker for each key of the call.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use mainstay_provider_core::Call;
use tokio::time::Instant;
use tower_layer::Layer;

use crate::circuit::Circuit;
use crate::config::BreakerConfig;
use crate::handle::BreakerHandle;
use crate::service::{Breaker, Circuits};
use crate::sync;

/// A breaker for each key of the call, all with the same settings: for a provider that stands for several deployments
/// (one address, many models). The key names the deployment in events and refusals.
///
/// At most 1,024 keys are told apart, since keys may come from callers. When there are more, one that has nothing to
/// remember makes place; if each has, new keys share one breaker.
///
/// ```
/// # use mainstay_breaker::{BreakerConfig, KeyedBreakerLayer};
/// let layer = KeyedBreakerLayer::new(BreakerConfig::default(), |call| call.model().into());
/// assert!(layer.handles().is_empty());
/// ```
#[derive(Debug, Clone)]
pub struct KeyedBreakerLayer(Arc<Keyed>);

impl KeyedBreakerLayer {
    /// A breaker with these settings for each key that `key` gives.
    pub fn new(config: BreakerConfig, key: impl Fn(&Call) -> Arc<str> + Send + Sync + 'static) -> Self {
        // What stands for many keys is no member of a pool.
        let rest = BreakerConfig { pool: None, ..config.clone() };
        let rest = Circuit::new(Arc::new(rest), "others".into());
        let config = Arc::new(config);
        Self(Arc::new(Keyed { config, key: Box::new(key), circuits: RwLock::default(), rest }))
    }

    /// The breaker of this key, if a call had it.
    pub fn handle(&self, key: &str) -> Option<BreakerHandle> {
        let circuits = self.0.circuits.read().unwrap_or_else(PoisonError::into_inner);
        circuits.get(key).cloned().map(BreakerHandle::new)
    }

    /// The breakers of all keys that calls had.
    pub fn handles(&self) -> Vec<BreakerHandle> {
        let circuits = self.0.circuits.read().unwrap_or_else(PoisonError::into_inner);
        circuits.values().cloned().map(BreakerHandle::new).collect()
    }
}

impl<S> Layer<S> for KeyedBreakerLayer {
    type Service = Breaker<S>;

    fn layer(&self, inner: S) -> Breaker<S> {
        Breaker::new(inner, Circuits::Keyed(self.0.clone()))
    }
}

type KeyOf = dyn Fn(&Call) -> Arc<str> + Send + Sync;

pub(crate) struct Keyed {
    config: Arc<BreakerConfig>,
    key: Box<KeyOf>,
    circuits: RwLock<HashMap<Arc<str>, sync::Arc<Circuit>>>,
    /// For keys beyond the bound.
    rest: sync::Arc<Circuit>,
}

const MOST_KEYS: usize = 1_024;

impl Keyed {
    pub(crate) fn of(&self, call: &Call, now: Instant) -> sync::Arc<Circuit> {
        let key = (self.key)(call);
        let known = self.circuits.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(circuit) = known.get(&key) {
            return circuit.clone();
        }
        drop(known);
        let mut circuits = self.circuits.write().unwrap_or_else(PoisonError::into_inner);
        if circuits.len() >= MOST_KEYS && !circuits.contains_key(&key) {
            let at_rest = circuits.iter().find(|(_, circuit)| circuit.is_at_rest(now));
            let Some(key) = at_rest.map(|(key, _)| key.clone()) else { return self.rest.clone() };
            circuits.remove(&key);
        }
        circuits.entry(key.clone()).or_insert_with(|| Circuit::new(self.config.clone(), key)).clone()
    }
}

impl fmt::Debug for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("config", &self.config).finish_non_exhaustive()
    }
}

//! The layer: the cache, to be put around a service.

use tower_layer::Layer;

use crate::cache::ExactCache;
use crate::config::ExactCacheBuilder;
use crate::service::ExactCached;

/// Puts the cache around a provider. Clones, and all services that it makes, share one cache.
///
/// # Order
/// Outside budget, retry and router: a hit costs nothing, reserves nothing, and is served when everything below is down.
/// Inside the degrade ladder, which asks for stale entries when everything below has failed ([`ExactCache::stale`]), and
/// inside guardrails, which see cached answers like all others.
#[derive(Debug, Clone)]
pub struct ExactCacheLayer(ExactCache);

impl ExactCacheLayer {
    pub(crate) fn new(cache: ExactCache) -> Self {
        Self(cache)
    }

    /// Begins with the defaults.
    pub fn builder() -> ExactCacheBuilder {
        ExactCacheBuilder::default()
    }

    /// The cache: its figures, its purge, its stale entries.
    pub fn cache(&self) -> &ExactCache {
        &self.0
    }
}

impl<S> Layer<S> for ExactCacheLayer {
    type Service = ExactCached<S>;

    fn layer(&self, inner: S) -> ExactCached<S> {
        ExactCached::new(inner, self.0.clone())
    }
}

//! The default stack, outermost first: the layers of a model around the router, the layers of a deployment around its
//! adapter.

mod caches;
mod deployments;
mod money;
mod settings;

use mainstay_breaker::BreakerLayer;
use mainstay_budget::{AttemptMeterLayer, BudgetLayer};
use mainstay_cache_exact::ExactCacheLayer;
#[cfg(feature = "cache-semantic")]
use mainstay_cache_semantic::{Embedding, SemanticLayer};
use mainstay_provider_core::{BoxEmbedder, BoxProvider, Embedder, Provider};
use mainstay_rate_limit::{BulkheadLayer, RateLimitLayer};
use mainstay_rescue::RescueLayer;
use mainstay_retry::RetryLayer;
use mainstay_router::Router;
use mainstay_timeout::TimeoutLayer;
use tower::ServiceBuilder;

use crate::config::ModelConfig;

pub(crate) use self::caches::exact;
#[cfg(feature = "cache-semantic")]
pub(crate) use self::caches::semantic;
#[cfg(not(feature = "cache-semantic"))]
pub(crate) use self::caches::semantic_is_missing;
pub(crate) use self::deployments::{Deployments, Endpoint, Money};
pub(crate) use self::money::{Candidates, Prices, budget, meter};
pub(crate) use self::settings::{check, check_deployment, hedging, longest_in_line, rescue, retry};

/// The layers of one logical model.
pub(crate) struct ModelLayers {
    pub(crate) caches: CacheLayers,
    pub(crate) budget: Option<BudgetLayer>,
    pub(crate) rescue: RescueLayer,
    pub(crate) retry: RetryLayer,
}

/// The caches that a model's calls ask first.
#[derive(Debug, Clone, Default)]
pub(crate) struct CacheLayers {
    pub(crate) exact: Option<ExactCacheLayer>,
    #[cfg(feature = "cache-semantic")]
    pub(crate) semantic: Option<SemanticLayer>,
    /// What the semantic cache's questions are turned into vectors with.
    #[cfg(feature = "cache-semantic")]
    pub(crate) embedding: Option<Embedding>,
}

impl CacheLayers {
    /// Those that this model asks.
    pub(crate) fn of(&self, model: &ModelConfig) -> Self {
        let mut caches = self.clone();
        if model.cache == Some(false) {
            caches.exact = None;
        }
        #[cfg(feature = "cache-semantic")]
        if model.semantic_cache == Some(false) {
            caches.semantic = None;
        }
        caches
    }

    /// Whether there is any.
    pub(crate) fn are_there(&self) -> bool {
        #[cfg(feature = "cache-semantic")]
        if self.semantic.is_some() {
            return true;
        }
        self.exact.is_some()
    }
}

/// What a call to a model runs through.
pub(crate) fn of_model(layers: &ModelLayers, router: Router) -> BoxProvider {
    let stack = ServiceBuilder::new().option_layer(layers.caches.exact.clone());
    #[cfg(feature = "cache-semantic")]
    let stack = stack.option_layer(layers.caches.semantic.clone());
    stack
        .option_layer(layers.budget.clone())
        .layer(layers.rescue.clone())
        .layer(layers.retry.clone())
        .service(router)
        .boxed()
}

/// What an embedding call to a model runs through.
pub(crate) fn of_embedding_model(layers: &ModelLayers, router: Router) -> BoxEmbedder {
    ServiceBuilder::new()
        .option_layer(layers.budget.clone())
        .layer(layers.retry.clone())
        .service(router)
        .boxed_embedder()
}

/// The layers of one deployment.
struct DeploymentLayers {
    attempt_meter: Option<AttemptMeterLayer>,
    rate_limit: RateLimitLayer,
    bulkhead: Option<BulkheadLayer>,
    breaker: BreakerLayer,
    timeout: TimeoutLayer,
}

/// What each attempt at a deployment runs through.
fn of_deployment(layers: DeploymentLayers, adapter: BoxProvider) -> BoxProvider {
    ServiceBuilder::new()
        .option_layer(layers.attempt_meter)
        .layer(layers.rate_limit)
        .option_layer(layers.bulkhead)
        .layer(layers.breaker)
        .layer(layers.timeout)
        .service(adapter)
        .boxed()
}

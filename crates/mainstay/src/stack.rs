//! The default stack, outermost first: the layers of a model around the router, the layers of a deployment around its
//! adapter.

mod deployments;
mod settings;

use mainstay_breaker::BreakerLayer;
use mainstay_provider_core::{BoxEmbedder, BoxProvider, Embedder, Provider};
use mainstay_rate_limit::{BulkheadLayer, RateLimitLayer};
use mainstay_rescue::RescueLayer;
use mainstay_retry::RetryLayer;
use mainstay_router::Router;
use mainstay_timeout::TimeoutLayer;
use tower::ServiceBuilder;

pub(crate) use self::deployments::{Deployments, Endpoint};
pub(crate) use self::settings::{check, check_deployment, hedging, longest_in_line, rescue, retry};

/// The layers of one logical model.
pub(crate) struct ModelLayers {
    pub(crate) rescue: RescueLayer,
    pub(crate) retry: RetryLayer,
}

/// What a call to a model runs through.
pub(crate) fn of_model(layers: &ModelLayers, router: Router) -> BoxProvider {
    ServiceBuilder::new().layer(layers.rescue.clone()).layer(layers.retry.clone()).service(router).boxed()
}

/// What an embedding call to a model runs through.
pub(crate) fn of_embedding_model(layers: &ModelLayers, router: Router) -> BoxEmbedder {
    ServiceBuilder::new().layer(layers.retry.clone()).service(router).boxed_embedder()
}

/// The layers of one deployment.
struct DeploymentLayers {
    rate_limit: RateLimitLayer,
    bulkhead: Option<BulkheadLayer>,
    breaker: BreakerLayer,
    timeout: TimeoutLayer,
}

/// What each attempt at a deployment runs through.
fn of_deployment(layers: DeploymentLayers, adapter: BoxProvider) -> BoxProvider {
    ServiceBuilder::new()
        .layer(layers.rate_limit)
        .option_layer(layers.bulkhead)
        .layer(layers.breaker)
        .layer(layers.timeout)
        .service(adapter)
        .boxed()
}

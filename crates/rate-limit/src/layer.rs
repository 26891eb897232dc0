//! The layer: one limiter, to be put around a deployment.

use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

use crate::config::{InvalidConfig, RateLimitBuilder, RateLimitConfig};
use crate::gate::Gate;
use crate::handle::RateLimitHandle;
use crate::service::RateLimit;

/// Keeps a deployment's rate limits, and foresees when they will be reached.
///
/// One layer is one limiter: everything that it is put around shares its limits, so make one for each deployment
/// (provider, region, model and credential together).
///
/// # Order
/// Inside retry and router, so that each attempt takes its place; outside the breaker, so that a refusal of ours is
/// nobody's failure, and outside the timers, so that waiting here is not time of the provider's.
///
/// # Cancellation
/// A call that is dropped before it is sent gives its place back.
#[derive(Clone)]
pub struct RateLimitLayer(Arc<Gate>);

impl RateLimitLayer {
    /// A limiter with these settings.
    pub fn new(config: RateLimitConfig) -> Self {
        Self(Gate::new(config))
    }

    /// Begins with the defaults.
    pub fn builder() -> RateLimitBuilder {
        RateLimitBuilder::default()
    }

    /// The limiter, to be read.
    pub fn handle(&self) -> RateLimitHandle {
        RateLimitHandle::new(self.0.clone())
    }
}

/// No limits but those that the provider tells and those that are learned from its 429s.
impl Default for RateLimitLayer {
    fn default() -> Self {
        Self::new(RateLimitConfig::default())
    }
}

impl fmt::Debug for RateLimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RateLimitLayer").field(self.0.config()).finish()
    }
}

impl RateLimitBuilder {
    /// The layer.
    ///
    /// # Errors
    /// As [`RateLimitBuilder::build_config`].
    pub fn build(self) -> Result<RateLimitLayer, InvalidConfig> {
        self.build_config().map(RateLimitLayer::new)
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, inner: S) -> RateLimit<S> {
        RateLimit::new(inner, self.0.clone())
    }
}

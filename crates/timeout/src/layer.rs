//! The layer: the timers, to be put around a service.

use std::sync::Arc;

use tower_layer::Layer;

use crate::config::{InvalidConfig, TimeoutBuilder, TimeoutConfig};
use crate::service::Timeout;

/// Puts timers around a provider. The default has those of [`Timers`](crate::Timers): 10 s, 20 s, 60 s.
///
/// # Order
/// Inside retry, router and breaker, next to the adapter, so that each attempt has its own timers and an expiry counts
/// against the deployment. Around the whole stack it would bound all attempts together; the call's
/// [deadline](mainstay_provider_core::ContextData::deadline) does that better, since every layer knows it.
#[derive(Debug, Clone, Default)]
pub struct TimeoutLayer(Arc<TimeoutConfig>);

impl TimeoutLayer {
    /// A layer with these timers.
    pub fn new(config: TimeoutConfig) -> Self {
        Self(Arc::new(config))
    }

    /// Begins with the defaults.
    pub fn builder() -> TimeoutBuilder {
        TimeoutBuilder::default()
    }
}

impl TimeoutBuilder {
    /// The layer.
    ///
    /// # Errors
    /// As [`TimeoutBuilder::build_config`].
    pub fn build(self) -> Result<TimeoutLayer, InvalidConfig> {
        self.build_config().map(TimeoutLayer::new)
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = Timeout<S>;

    fn layer(&self, inner: S) -> Timeout<S> {
        Timeout::new(inner, self.0.clone())
    }
}

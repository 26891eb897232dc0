//! The layer: one breaker, to be put around a deployment.

use std::sync::Arc;

use tower_layer::Layer;

use crate::circuit::Circuit;
use crate::config::{BreakerBuilder, BreakerConfig, InvalidConfig};
use crate::handle::BreakerHandle;
use crate::service::{Breaker, Circuits};
use crate::sync;

/// Refuses calls to a deployment that keeps failing.
///
/// One layer is one breaker: everything that it is put around shares its state, so make one for each deployment (provider,
/// region, model and credential together). [`KeyedBreakerLayer`](crate::KeyedBreakerLayer) has one for each key of the
/// call.
///
/// # Order
/// Inside retry and router, so that each attempt asks again; outside timeout, so that an expiry counts.
///
/// # Cancellation
/// A dropped call gives back what it held and says nothing of the deployment; a dropped probe frees its place.
#[derive(Debug, Clone)]
pub struct BreakerLayer(sync::Arc<Circuit>);

impl BreakerLayer {
    /// A breaker with these settings.
    pub fn new(config: BreakerConfig) -> Self {
        let deployment = config.deployment.clone();
        Self(Circuit::new(Arc::new(config), deployment))
    }

    /// Begins with the defaults.
    pub fn builder() -> BreakerBuilder {
        BreakerBuilder::default()
    }

    /// The breaker, to be read and to be forced.
    pub fn handle(&self) -> BreakerHandle {
        BreakerHandle::new(self.0.clone())
    }
}

/// 5 failures in a row, 60 s of recovery, one probe.
impl Default for BreakerLayer {
    fn default() -> Self {
        Self::new(BreakerConfig::default())
    }
}

impl BreakerBuilder {
    /// The layer.
    ///
    /// # Errors
    /// As [`BreakerBuilder::build_config`].
    pub fn build(self) -> Result<BreakerLayer, InvalidConfig> {
        self.build_config().map(BreakerLayer::new)
    }
}

impl<S> Layer<S> for BreakerLayer {
    type Service = Breaker<S>;

    fn layer(&self, inner: S) -> Breaker<S> {
        Breaker::new(inner, Circuits::One(self.0.clone()))
    }
}

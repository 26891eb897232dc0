//! The layer: the rules, to be put around a stack.

use std::fmt;
use std::sync::Arc;

use mainstay_provider_core::Allowance;
use tower_layer::Layer;

use crate::config::{InvalidConfig, RescueBuilder, RescueConfig, Rules};
use crate::service::Rescue;

/// Rescues streams that break off after the caller has some of them.
///
/// The default tells the caller and does nothing else; [`RescueLayer::standard`] resumes, then restarts.
///
/// # Order
/// Outside retry and router, so that a rescue is a call with all of their means; inside caches and budget, so that what
/// they see is one answer with the usage of all its parts. Timers stand inside, next to the adapter: a stream that stalls
/// breaks off when the idle timer says so.
///
/// # Cancellation
/// Dropping the stream drops whatever a rescue is doing.
#[derive(Clone)]
pub struct RescueLayer(Arc<Shared>);

/// What all calls share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) config: RescueConfig,
    pub(crate) allowance: Option<Arc<dyn Allowance>>,
}

impl RescueLayer {
    /// A layer with these rules.
    pub fn new(config: RescueConfig) -> Self {
        Self(Arc::new(Shared { config, allowance: None }))
    }

    /// Resume, then restart, then tell the caller; at most 2 rescues per call, each within 30 s.
    pub fn standard() -> Self {
        Self::new(RescueConfig::of(Rules::standard()))
    }

    /// Begins with the defaults.
    pub fn builder() -> RescueBuilder {
        RescueBuilder::default()
    }

    /// The same layer, which makes a rescue's call only if this gives an extra attempt: the budget of retries and hedges,
    /// so that an outage in mid-stream is not amplified either (T1). Without one, only the number of rescues bounds them.
    #[must_use]
    pub fn allowance(self, allowance: impl Allowance + 'static) -> Self {
        let mut shared = Arc::unwrap_or_clone(self.0);
        shared.allowance = Some(Arc::new(allowance));
        Self(Arc::new(shared))
    }
}

impl Default for RescueLayer {
    fn default() -> Self {
        Self::new(RescueConfig::default())
    }
}

impl fmt::Debug for RescueLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RescueLayer").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl RescueBuilder {
    /// The layer.
    ///
    /// # Errors
    /// As [`RescueBuilder::build_config`].
    pub fn build(self) -> Result<RescueLayer, InvalidConfig> {
        self.build_config().map(RescueLayer::new)
    }
}

impl<S> Layer<S> for RescueLayer {
    type Service = Rescue<S>;

    fn layer(&self, inner: S) -> Rescue<S> {
        Rescue::new(inner, self.0.clone())
    }
}

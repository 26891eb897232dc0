//! The layer: settings, budget and chance, to be put around a service.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;
use tower_layer::Layer;

use crate::budget::RetryBudget;
use crate::config::{InvalidConfig, RetryBuilder, RetryConfig};
use crate::service::Retry;

/// Asks again when asking again can help. The default is the bare layer of S2.2: 5 attempts, 1 s doubled each time with
/// up to half on top, at most 30 s.
///
/// Everything that one layer is put around shares its budget.
///
/// # Order
/// Outside the router, so that the next attempt may go to another deployment, and outside breaker and timeout, so that
/// each attempt has its own. One retry layer in a stack: two multiply.
///
/// # Cancellation
/// Dropping the future of a call ends the wait or the attempt that is under way; nothing goes on behind it.
#[derive(Debug, Clone, Default)]
pub struct RetryLayer(Arc<Shared>);

/// What all services of one layer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: RetryConfig,
    chance: Mutex<Rng>,
}

impl RetryLayer {
    /// A layer with these settings.
    pub fn new(config: RetryConfig) -> Self {
        Self(Arc::new(Shared::new(config)))
    }

    /// Begins with the defaults of the bare layer.
    pub fn builder() -> RetryBuilder {
        RetryBuilder::default()
    }

    /// The layer of Mainstay's default stack: [`RetryConfig::standard`].
    pub fn standard() -> Self {
        Self::new(RetryConfig::standard())
    }

    /// The budget that retries draw on, to be shared with who hedges.
    pub fn budget(&self) -> Option<&RetryBudget> {
        self.0.config.budget()
    }
}

impl RetryBuilder {
    /// The layer.
    ///
    /// # Errors
    /// As [`RetryBuilder::build_config`].
    pub fn build(self) -> Result<RetryLayer, InvalidConfig> {
        self.build_config().map(RetryLayer::new)
    }
}

impl Shared {
    fn new(config: RetryConfig) -> Self {
        let chance = Mutex::new(config.seed.map_or_else(Rng::new, Rng::with_seed));
        Self { config, chance }
    }

    /// Locked for one draw, and only when an attempt has failed.
    pub(crate) fn chance(&self) -> MutexGuard<'_, Rng> {
        self.chance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new(RetryConfig::default())
    }
}

impl<S: Clone> Layer<S> for RetryLayer {
    type Service = Retry<S>;

    fn layer(&self, inner: S) -> Retry<S> {
        Retry::new(inner, self.0.clone())
    }
}

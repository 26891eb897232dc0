//! The settings as data, checked once.

use std::sync::Arc;
use std::time::Duration;

use super::layer::BulkheadLayer;
use crate::config::{InvalidConfig, LONGEST, MOST_WAITING, at_most};

/// The settings of a bulkhead. Made by [`BulkheadConfig::builder`]; what is made is right.
#[derive(Debug, Clone)]
pub struct BulkheadConfig {
    pub(super) deployment: Arc<str>,
    pub(super) max_parallel: usize,
    pub(super) max_queue: usize,
    pub(super) max_wait: Duration,
}

impl BulkheadConfig {
    /// Begins with the defaults.
    pub fn builder() -> BulkheadBuilder {
        BulkheadBuilder::default()
    }
}

impl Default for BulkheadConfig {
    fn default() -> Self {
        BulkheadBuilder::default().0
    }
}

/// Builds a [`BulkheadConfig`] or a [`BulkheadLayer`].
#[derive(Debug, Clone)]
#[must_use]
pub struct BulkheadBuilder(BulkheadConfig);

impl Default for BulkheadBuilder {
    fn default() -> Self {
        Self(BulkheadConfig {
            deployment: Arc::default(),
            max_parallel: 64,
            max_queue: 64,
            max_wait: Duration::from_secs(1),
        })
    }
}

impl BulkheadBuilder {
    /// The deployment's name, in refusals; empty when not set.
    pub fn deployment(mut self, name: impl Into<Arc<str>>) -> Self {
        self.0.deployment = name.into();
        self
    }

    /// How many calls run at once, from when they are sent to the end of their answers; 64 when not set.
    pub fn max_parallel(mut self, calls: usize) -> Self {
        self.0.max_parallel = calls;
        self
    }

    /// How many calls wait at most; 64 when not set. More are refused at once.
    pub fn max_queue(mut self, calls: usize) -> Self {
        self.0.max_queue = calls;
        self
    }

    /// How long a call waits at most, sooner if its deadline is sooner; 1 s when not set. Zero refuses whatever has no
    /// place now.
    pub fn max_wait(mut self, longest: Duration) -> Self {
        self.0.max_wait = longest;
        self
    }

    /// The configuration.
    ///
    /// # Errors
    /// A setting with which a bulkhead could not work; [`InvalidConfig`] says which.
    pub fn build_config(self) -> Result<BulkheadConfig, InvalidConfig> {
        let config = self.0;
        if config.max_parallel == 0 {
            return Err(InvalidConfig::Zero("max_parallel"));
        }
        at_most("max_parallel", config.max_parallel as u64, MOST_WAITING)?;
        at_most("max_queue", config.max_queue as u64, MOST_WAITING)?;
        if config.max_wait > LONGEST {
            return Err(InvalidConfig::TooLong("max_wait"));
        }
        Ok(config)
    }

    /// The layer.
    ///
    /// # Errors
    /// As [`BulkheadBuilder::build_config`].
    pub fn build(self) -> Result<BulkheadLayer, InvalidConfig> {
        self.build_config().map(BulkheadLayer::new)
    }
}

//! The layer: the places of one deployment.

use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

use super::config::{BulkheadBuilder, BulkheadConfig};
use super::hull::{BulkheadHandle, Hull};
use super::service::Bulkhead;

/// Bounds how many calls of a deployment run at once, so that a slow one cannot use up its caller (S8.3).
///
/// One layer is one bulkhead: everything that it is put around shares its places, so make one for each deployment.
///
/// # Order
/// Inside the rate limit, so that calls which wait for their turn use up no places; outside the breaker, so that a refusal
/// of ours is nobody's failure.
///
/// # Cancellation
/// A dropped call gives its place back, wherever it stands.
#[derive(Clone)]
pub struct BulkheadLayer(Arc<Hull>);

impl BulkheadLayer {
    /// A bulkhead with these settings.
    pub fn new(config: BulkheadConfig) -> Self {
        Self(Hull::new(config))
    }

    /// Begins with the defaults.
    pub fn builder() -> BulkheadBuilder {
        BulkheadBuilder::default()
    }

    /// The bulkhead, to be read.
    pub fn handle(&self) -> BulkheadHandle {
        BulkheadHandle::new(self.0.clone())
    }
}

/// 64 calls at once, 64 that wait for 1 s at most.
impl Default for BulkheadLayer {
    fn default() -> Self {
        Self::new(BulkheadConfig::default())
    }
}

impl fmt::Debug for BulkheadLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BulkheadLayer").field(&self.handle()).finish()
    }
}

impl<S> Layer<S> for BulkheadLayer {
    type Service = Bulkhead<S>;

    fn layer(&self, inner: S) -> Bulkhead<S> {
        Bulkhead::new(inner, self.0.clone())
    }
}

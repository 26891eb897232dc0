//! The bulkhead: how many calls of a deployment run at once.

mod config;
mod hull;
mod layer;
mod service;

pub use self::config::{BulkheadBuilder, BulkheadConfig};
pub use self::hull::{BulkheadHandle, BulkheadStats};
pub use self::layer::BulkheadLayer;
pub use self::service::Bulkhead;

#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bulkhead;
mod config;
mod cost;
mod estimate;
mod forecast;
mod gate;
mod handle;
mod layer;
mod learned;
mod ledger;
mod limiter;
mod pace;
mod reported;
mod service;

pub use self::bulkhead::{
    Bulkhead, BulkheadBuilder, BulkheadConfig, BulkheadHandle, BulkheadLayer, BulkheadStats,
};
pub use self::config::{Counting, InvalidConfig, OutputTokens, RateLimitBuilder, RateLimitConfig};
pub use self::cost::Dimension;
pub use self::estimate::{TextLength, TokenEstimator};
pub use self::handle::{DimensionStats, RateLimitHandle, RateLimitStats};
pub use self::layer::RateLimitLayer;
pub use self::service::RateLimit;

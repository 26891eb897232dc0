#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod allowed;
mod circuit;
mod config;
mod handle;
mod keyed;
mod layer;
mod policy;
mod pool;
mod probes;
mod service;
mod slow;
mod state;
mod sync;
mod transition;
mod window;

pub use self::config::{BreakerBuilder, BreakerConfig, FailureRate, InvalidConfig, Slow};
pub use self::handle::{BreakerHandle, BreakerStats};
pub use self::keyed::KeyedBreakerLayer;
pub use self::layer::BreakerLayer;
pub use self::policy::{BehindRateLimit, Blame, BreakerPolicy, StandardPolicy};
pub use self::pool::BreakerPool;
pub use self::service::Breaker;
pub use self::state::State;

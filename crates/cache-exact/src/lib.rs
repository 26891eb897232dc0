#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod cache;
mod circuit;
mod config;
#[cfg(feature = "test-kit")]
pub mod contract;
mod flight;
mod key;
mod layer;
mod looks;
mod memory;
mod plan;
mod policy;
mod purges;
#[cfg(feature = "redis")]
mod redis;
mod second;
mod service;
mod stats;
mod store;
mod sync;
mod timers;
mod waiting;

pub use self::cache::ExactCache;
pub use self::config::{ExactCacheBuilder, ExactCacheConfig, InvalidConfig, Sharing};
pub use self::key::{Key, Scope};
pub use self::layer::ExactCacheLayer;
pub use self::memory::MemoryStore;
pub use self::policy::{CachePolicy, NotCached, StandardPolicy};
#[cfg(feature = "redis")]
pub use self::redis::{InvalidRedis, RedisConfig, RedisStore};
pub use self::service::{ExactCached, ExactFuture};
pub use self::stats::{PriceOf, SecondLevel, Stats};
pub use self::store::{Entry, ExactStore, StoreError, StoreFuture};

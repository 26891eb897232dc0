#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
mod bert;
mod cached;
mod engine;
mod error;
#[cfg(feature = "fetch")]
pub mod fetch;
mod folder;
mod identity;
mod local;
mod pooling;
mod remote;
#[cfg(feature = "test-kit")]
pub mod test_kit;
mod tokens;

pub use self::cached::{CacheConfig, CacheStats, CachedEmbedder};
pub use self::engine::EngineChoice;
pub use self::error::{InvalidConfig, OpenError};
pub use self::identity::{Identified, Identity};
pub use self::local::{LocalBuilder, LocalConfig, LocalEmbedder};
pub use self::remote::{RemoteConfig, RemoteEmbedder};

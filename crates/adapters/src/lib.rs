#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
// Which shared parts are used depends on the providers; what nobody uses shows with all of them.
#![cfg_attr(not(feature = "full"), allow(dead_code, unused_imports, unused_macros))]

mod adapter;
mod auth;
mod clock;
mod config;
mod dialect;
mod dialects;
mod driver;
mod failure;
pub mod framing;
mod headings;
mod json;
mod keys;
mod prefill;
pub mod registry;
#[cfg(feature = "sim")]
mod sim;
mod translate;
mod transport;

pub use self::adapter::Adapter;
pub use self::config::{AdapterConfig, Api, PromptCaching};
pub use self::failure::FailedGeneration;
pub use self::prefill::accepts_prefill;
pub use self::registry::{ProviderInfo, provider, providers};
#[cfg(feature = "sim")]
pub use self::sim::Sim;
pub use self::transport::{Transport, TransportConfig};

#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod client;
pub mod config;
mod directory;
mod stack;

#[doc(inline)]
pub use mainstay_adapters as adapters;
#[doc(inline)]
pub use mainstay_breaker as breaker;
#[doc(inline)]
pub use mainstay_budget as budget;
#[doc(inline)]
pub use mainstay_cache_exact as cache_exact;
#[cfg(feature = "cache-semantic")]
#[doc(inline)]
pub use mainstay_cache_semantic as cache_semantic;
#[cfg(feature = "cache-semantic")]
#[doc(inline)]
pub use mainstay_embed as embed;
#[doc(inline)]
pub use mainstay_metering as metering;
#[doc(inline)]
pub use mainstay_provider_core as core;
#[doc(inline)]
pub use mainstay_rate_limit as rate_limit;
#[doc(inline)]
pub use mainstay_rescue as rescue;
#[doc(inline)]
pub use mainstay_retry as retry;
#[doc(inline)]
pub use mainstay_router as router;
#[doc(inline)]
pub use mainstay_timeout as timeout;
#[cfg(feature = "virtual-keys")]
#[doc(inline)]
pub use mainstay_virtual_keys as virtual_keys;

pub use mainstay_adapters::{Adapter, AdapterConfig, Transport, TransportConfig};
pub use mainstay_provider_core::{
    BoxEmbedder, BoxProvider, CacheDirective, CacheStatus, Call, ChatChunk, ChatRequest, ChatResponse,
    Chunks, Context, EmbedCall, EmbedReply, EmbedRequest, Embedder, Error, ErrorKind, Event, Events,
    FinishReason, Level, Message, ModelId, Namespace, Provider, Remedy, Reply, ReplyHead, Severity, Subject,
    Usage, Wire,
};

pub use self::builder::ClientBuilder;
pub use self::client::{Answer, AnswerStream, Client};
pub use self::config::Config;

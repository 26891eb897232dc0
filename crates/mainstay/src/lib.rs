#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
pub mod config;
mod directory;
mod stack;

#[doc(inline)]
pub use mainstay_adapters as adapters;
#[doc(inline)]
pub use mainstay_provider_core as core;

pub use mainstay_adapters::{Adapter, AdapterConfig, Transport, TransportConfig};
pub use mainstay_provider_core::{
    BoxEmbedder, BoxProvider, CacheDirective, CacheStatus, Call, ChatChunk, ChatRequest, ChatResponse,
    Chunks, Context, EmbedCall, EmbedReply, EmbedRequest, Embedder, Error, ErrorKind, Event, Events,
    FinishReason, Level, Message, ModelId, Namespace, Provider, Remedy, Reply, ReplyHead, Severity, Subject,
    Usage, Wire,
};

pub use self::client::{Answer, AnswerStream, Client, ClientBuilder};
pub use self::config::Config;

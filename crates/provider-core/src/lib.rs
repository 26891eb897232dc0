#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempts;
mod availability;
mod cache_status;
mod call;
pub mod chat;
mod digest;
mod embed;
mod end;
mod error;
mod event;
mod lossless;
mod model_id;
mod next;
mod plain_text;
mod provider;
mod rate_limits;
mod recording;
mod reply;
mod rescued;
pub mod span;
mod store_circuit;
#[cfg(feature = "test-kit")]
pub mod test_kit;
mod trace;
mod usage;
mod wire;

pub use self::attempts::{Attempt, Attempts, Begun};
pub use self::availability::{Availability, ReportAvailability};
pub use self::cache_status::{CacheStatus, Decided};
pub use self::call::{CacheDirective, Call, Context, ContextData, Namespace, RetrievedChunk, Subject};
#[doc(inline)]
pub use self::chat::{ChatChunk, ChatRequest, ChatResponse, FinishReason, Message};
pub use self::digest::{Digest, DigestWriter};
pub use self::embed::{BoxEmbedder, EmbedCall, EmbedInput, EmbedReply, EmbedRequest, Embedder};
pub use self::end::{End, Keep, Outcome, Written};
pub use self::error::{BoxError, Error, ErrorKind, Remedy, Timer};
pub use self::event::{Event, Events, Severity};
pub use self::lossless::Extra;
pub use self::model_id::ModelId;
pub use self::next::{Allowance, Needs, Next, ReportHeadroom};
pub use self::provider::{BoxFuture, BoxProvider, Provider};
pub use self::rate_limits::{RateLimit, RateLimits};
pub use self::recording::{Pace, Recording};
pub use self::reply::{BoxChunks, ChunkResult, Chunks, Level, Reply, ReplyHead};
pub use self::rescued::Rescued;
pub use self::store_circuit::{AskStore, StoreCircuit, StoreLook};
pub use self::trace::TraceParent;
pub use self::usage::Usage;
pub use self::wire::{OnWire, Wire};

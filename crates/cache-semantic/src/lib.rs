#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bound;
mod cache;
mod calibrate;
mod config;
mod decision;
mod eligible;
mod embedding;
mod guard;
mod guarded;
mod judge;
mod labels;
mod layer;
mod learn;
mod partition;
mod service;
mod stats;
pub mod store;
mod text;
mod verifier;

pub use self::bound::{fewest, interval, lower_bound, upper_bound};
pub use self::cache::SemanticCache;
#[cfg(feature = "plot")]
pub use self::calibrate::PlotError;
pub use self::calibrate::{
    CalibrateError, CalibrateOptions, Calibration, InvalidData, LabelledPair, NoSafeThreshold, PairReport,
    Policy, ReplayOptions, ReplayQuery, ReplayReport, ReplayRow, Row, ScoredPair, Stage, Step, Tally,
    calibrate, calibrate_scored, read_pairs, read_stream, replay, replay_embedded,
};
pub use self::config::{Bound, InvalidConfig, Limits, Preset, SemanticConfig};
pub use self::decision::{By, Decision};
pub use self::eligible::{Question, Skip};
pub use self::embedding::Embedding;
pub use self::guard::{Asked, Difference, Guards, Verdict};
pub use self::judge::SharedWords;
pub use self::layer::{SemanticBuilder, SemanticLayer};
pub use self::partition::Partition;
pub use self::service::Semantic;
pub use self::stats::SemanticStats;
pub use self::store::{MemoryStore, SemanticStore};
pub use self::text::normalise;
pub use self::verifier::{Judge, Verifier};

/// A caller's own, stricter threshold for one call, put into the
/// [extensions](mainstay_provider_core::ContextData::extensions) of its context. It can only raise the cache's: a lower one
/// changes nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MinSimilarity(pub f32);

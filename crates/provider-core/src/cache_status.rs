//! What the caches say of an answer.

use std::time::Duration;

/// What the caches did for a call.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum CacheStatus {
    /// No cache was asked.
    #[default]
    Bypass,
    /// The caches had nothing.
    Miss,
    /// The exact cache answered.
    Hit {
        /// How old the entry is.
        age: Duration,
    },
    /// The semantic cache answered.
    SemanticHit {
        /// How old the entry is.
        age: Duration,
        /// How near the question was to the stored one: cosine similarity, at most 1.
        score: f32,
        /// What decided that the stored answer does.
        decided: Decided,
    },
    /// The semantic cache had a near question, and something spoke against its answer: a miss with a reason.
    Vetoed {
        /// How near the question was to the stored one: cosine similarity, at most 1.
        score: f32,
        /// What spoke against it: the name of a guard, or who said no.
        by: &'static str,
    },
    /// An expired entry answered, because nothing better was to be had.
    Stale {
        /// How old the entry is.
        age: Duration,
    },
    /// An identical call in flight was shared.
    Coalesced,
}

impl CacheStatus {
    /// The status' name as it stands in reply headers, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Miss | Self::Vetoed { .. } => "miss",
            Self::Hit { .. } => "hit",
            Self::SemanticHit { .. } => "semantic_hit",
            Self::Stale { .. } => "stale",
            Self::Coalesced => "coalesced",
        }
    }
}

/// What decided that a stored answer was served by the semantic cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Decided {
    /// The very text was asked before.
    ExactText,
    /// The question was nearer than a fixed threshold, and no guard spoke against it.
    Threshold,
    /// The same with the threshold that evidence allows for the wanted share of wrong hits.
    Calibrated,
    /// A verifier said that both questions are the same.
    Verifier,
}

impl Decided {
    /// Its name in reply headers, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExactText => "exact-text",
            Self::Threshold => "threshold",
            Self::Calibrated => "calibrated",
            Self::Verifier => "verifier",
        }
    }
}

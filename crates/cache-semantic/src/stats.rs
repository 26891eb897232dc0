//! What the cache did, counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use mainstay_provider_core::Usage;

use crate::decision::{By, Decision};
use crate::guard::Difference;
use crate::store::StoreStats;

/// What was counted since the layer was made.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    exact: AtomicU64,
    near: AtomicU64,
    misses: AtomicU64,
    skipped: AtomicU64,
    vetoed: [AtomicU64; Difference::ALL.len()],
    pub(crate) kept: AtomicU64,
    pub(crate) rechecked: AtomicU64,
    pub(crate) confirmed_wrong: AtomicU64,
    pub(crate) embedder_failed: AtomicU64,
    pub(crate) store_failed: AtomicU64,
    saved: Mutex<Usage>,
}

impl Counters {
    /// All but what the store tells.
    pub(crate) fn read(&self) -> SemanticStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let vetoes = Difference::ALL.iter().zip(&self.vetoed);
        SemanticStats {
            exact_hits: read(&self.exact),
            near_hits: read(&self.near),
            misses: read(&self.misses),
            skipped: read(&self.skipped),
            vetoes: vetoes
                .map(|(name, count)| (name.as_str(), read(count)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            kept: read(&self.kept),
            rechecked: read(&self.rechecked),
            confirmed_wrong: read(&self.confirmed_wrong),
            embedder_failed: read(&self.embedder_failed),
            store_failed: read(&self.store_failed),
            saved: *self.saved.lock().unwrap_or_else(PoisonError::into_inner),
            store: StoreStats::default(),
        }
    }

    pub(crate) fn count(&self, decision: &Decision, saved: Option<Usage>) {
        let counter = match decision.by {
            By::ExactText => &self.exact,
            By::Nearness | By::Calibrated | By::Verifier => &self.near,
            By::Skip(_) => &self.skipped,
            _ => &self.misses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        match decision.by {
            By::Guard(difference) => {
                if let Some(at) = Difference::ALL.iter().position(|known| *known == difference) {
                    self.vetoed[at].fetch_add(1, Ordering::Relaxed);
                }
            }
            By::Store => _ = self.store_failed.fetch_add(1, Ordering::Relaxed),
            _ => {}
        }
        if let Some(saved) = saved {
            *self.saved.lock().unwrap_or_else(PoisonError::into_inner) += saved;
        }
    }
}

/// What a semantic cache did since it was made.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct SemanticStats {
    /// Hits by the very text.
    pub exact_hits: u64,
    /// Hits by nearness.
    pub near_hits: u64,
    /// Looked for and not found.
    pub misses: u64,
    /// Not looked for.
    pub skipped: u64,
    /// Misses by the guard whose veto they were.
    pub vetoes: BTreeMap<&'static str, u64>,
    /// Answers kept.
    pub kept: u64,
    /// Hits that were asked again.
    pub rechecked: u64,
    /// Of these, wrong ones.
    pub confirmed_wrong: u64,
    /// Misses because the embedder said nothing in time, or failed.
    pub embedder_failed: u64,
    /// Misses because the store said nothing in time, failed, or had lost the answer.
    pub store_failed: u64,
    /// Tokens that hits did not use.
    pub saved: Usage,
    /// How full the store is.
    pub store: StoreStats,
}

impl SemanticStats {
    /// The share of questions looked for that were found; 0 when none was.
    pub fn hit_rate(&self) -> f64 {
        let hits = self.exact_hits + self.near_hits;
        crate::calibrate::share(hits, hits + self.misses).unwrap_or(0.0)
    }
}

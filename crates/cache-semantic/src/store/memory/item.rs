//! One question with its answer.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use mainstay_provider_core::Recording;
use tokio::time::Instant;

use super::shelf::Shelf;
use crate::store::{EntryId, NewEntry};

pub(crate) struct Item {
    pub(crate) id: EntryId,
    pub(crate) text: Arc<str>,
    pub(crate) recording: Recording,
    pub(crate) saves: u64,
    #[cfg(feature = "log")]
    pub(crate) ttl: Duration,
    /// What it costs to keep, vector and all.
    pub(super) weight: usize,
    pub(super) shelf: Weak<Shelf>,
    /// How old it was when it came here, and when that was.
    aged: Duration,
    came: Instant,
    /// `None`: it stays until it has to go for others.
    expires: Option<Instant>,
    /// The bits of an `f32`.
    tightened: AtomicU32,
    /// Where its vector is; written under the shelf's lock.
    pub(super) row: AtomicU32,
    /// Where it is in the pool; written under the pool's lock.
    pub(super) place: AtomicU32,
    /// No longer on its shelf.
    gone: AtomicBool,
    uses: AtomicU32,
    /// The pool's time of the last use.
    used: AtomicU64,
}

/// Nowhere in the pool.
pub(super) const NOWHERE: u32 = u32::MAX;

const NOT_TIGHTENED: u32 = f32::NAN.to_bits();

/// What keeping an entry costs beside its text, vector and answer: two hash maps, two lists and the pointers.
const OVERHEAD: usize = 192;

impl Item {
    pub(super) fn new(entry: &NewEntry, age: Duration, shelf: Weak<Shelf>, now: Instant) -> Self {
        let weight = size_of::<Self>()
            + OVERHEAD
            + entry.text.len()
            + entry.recording.bytes()
            + size_of_val::<[f32]>(&entry.vector);
        Self {
            id: entry.id,
            text: entry.text.clone(),
            recording: entry.recording.clone(),
            saves: entry.saves,
            #[cfg(feature = "log")]
            ttl: entry.ttl,
            weight,
            shelf,
            aged: age,
            came: now,
            expires: now.checked_add(entry.ttl.saturating_sub(age)),
            tightened: AtomicU32::new(NOT_TIGHTENED),
            row: AtomicU32::new(0),
            place: AtomicU32::new(NOWHERE),
            gone: AtomicBool::new(false),
            uses: AtomicU32::new(0),
            used: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    pub(crate) fn age(&self, now: Instant) -> Duration {
        self.aged.saturating_add(now.saturating_duration_since(self.came))
    }

    pub(crate) fn tightened(&self) -> Option<f32> {
        let above = f32::from_bits(self.tightened.load(Ordering::Relaxed));
        (!above.is_nan()).then_some(above)
    }

    /// It never falls. Returns whether it rose.
    pub(super) fn tighten(&self, above: f32) -> bool {
        let rises = |bits: u32| {
            let now = f32::from_bits(bits);
            (!above.is_nan() && (now.is_nan() || above > now)).then(|| above.to_bits())
        };
        self.tightened.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rises).is_ok()
    }

    pub(super) fn row(&self) -> usize {
        self.row.load(Ordering::Relaxed) as usize
    }

    pub(super) fn set_row(&self, row: usize) {
        // A partition of four thousand million entries does not fit into memory.
        self.row.store(row as u32, Ordering::Relaxed);
    }

    pub(super) fn use_once(&self, now: u64) {
        self.set_uses(self.uses.load(Ordering::Relaxed).saturating_add(1), now);
    }

    pub(super) fn set_uses(&self, uses: u32, now: u64) {
        self.uses.store(uses, Ordering::Relaxed);
        self.used.store(now, Ordering::Relaxed);
    }

    /// Marks it as no longer on its shelf; says whether it was.
    pub(super) fn leave(&self) -> bool {
        !self.gone.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// What keeping it is worth, per byte: its uses, halved with each `lap` in which it was not used, times what one
    /// saves. `lap` is how many inserts are one turn of the whole store.
    pub(super) fn worth(&self, now: u64, lap: u64) -> f64 {
        let idle = now.saturating_sub(self.used.load(Ordering::Relaxed)) as f64 / lap.max(1) as f64;
        let uses = (1.0 + f64::from(self.uses.load(Ordering::Relaxed))) * (-idle).exp2();
        uses * self.saves.max(1) as f64 / self.weight as f64
    }
}

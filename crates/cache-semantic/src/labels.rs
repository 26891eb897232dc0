//! What the traffic teaches: which hits were wrong, and which misses could have been hits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use mainstay_provider_core::Digest;

use crate::bound::{as_real, lower_bound};
use crate::calibrate::{Calibration, Step};
use crate::config::Bound;
use crate::store::EntryId;

/// The labels of all partitions.
#[derive(Debug)]
pub(crate) struct Labels {
    bound: Bound,
    /// At most [`MOST_POOLS`]; what is beyond shares the pool of the rest.
    pools: RwLock<HashMap<Digest, Arc<Pool>>>,
    rest: Arc<Pool>,
}

/// The labels of one partition.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The bits of the threshold; those of infinity where only exact texts are safe. Read on every call.
    threshold: AtomicU32,
    counted: Mutex<Counted>,
}

#[derive(Debug)]
struct Counted {
    /// By worth (nearness less doubt), in steps of one hundredth from [`LOWEST`].
    by_worth: [Tally; STEPS],
    /// Hits that were asked again.
    rechecked: Tally,
    /// What is known of single entries.
    entries: HashMap<EntryId, Tally>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    all: u64,
    wrong: u64,
}

/// A label: whether the answer of an entry did for a question that was this much worth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label {
    pub(crate) entry: EntryId,
    pub(crate) worth: f32,
    pub(crate) is_same: bool,
    /// It was served, and asked again; otherwise it was a miss.
    pub(crate) was_hit: bool,
}

/// What a label changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// The threshold is another one now.
    Threshold(f32),
    /// No threshold is safe any more.
    ExactOnly,
}

/// What becomes of an entry that was wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Entry {
    /// Nothing.
    Keep,
    /// From now on it is for nearer questions only.
    Tighten,
    /// From now on it is for its own text only.
    ExactOnly,
}

const MOST_POOLS: usize = 1_024;
const MOST_ENTRIES: usize = 4_096;
const LOWEST: f32 = 0.70;
const STEPS: usize = 31;
/// An entry's own labels count as much as the pool's opinion of it when there are so many of them.
const PRIOR: f64 = 8.0;
/// From this share of wrong hits on, shrunk towards the pool's, an entry is for its own text only.
const HOPELESS: f64 = 0.15;

impl Labels {
    pub(crate) fn new(bound: Bound) -> Self {
        let rest = Arc::new(Pool::new(&bound));
        Self { bound, pools: RwLock::default(), rest }
    }

    /// The threshold of a partition; `None` where only exact texts are safe.
    pub(crate) fn threshold(&self, partition: &Digest) -> Option<f32> {
        self.pools
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(partition)
            .unwrap_or(&self.rest)
            .threshold()
    }

    /// Counts a label; says what it changes for the partition, and for the entry.
    pub(crate) fn add(&self, partition: &Digest, label: Label) -> (Change, Entry) {
        let pool = self.pool(partition);
        let mut counted = pool.lock();
        let entry = counted.add(label);
        // A right label can only loosen, which is not urgent: the bounds take a while to find.
        if label.is_same && !counted.is_due() {
            return (Change::None, entry);
        }
        let threshold = counted.threshold(&self.bound);
        // Under the lock: a threshold that was found before another label must not take the place of the one found after it.
        (pool.set(threshold), entry)
    }

    fn pool(&self, partition: &Digest) -> Arc<Pool> {
        let mut pools = self.pools.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(partition) {
            return pool.clone();
        }
        if pools.len() >= MOST_POOLS {
            return self.rest.clone();
        }
        let pool = Arc::new(Pool::new(&self.bound));
        pools.insert(*partition, pool.clone());
        pool
    }
}

impl Pool {
    fn new(bound: &Bound) -> Self {
        let counted = Counted {
            by_worth: [Tally::default(); STEPS],
            rechecked: Tally::default(),
            entries: HashMap::new(),
        };
        let threshold = counted.threshold(bound).unwrap_or(f32::INFINITY);
        Self { threshold: AtomicU32::new(threshold.to_bits()), counted: Mutex::new(counted) }
    }

    fn threshold(&self) -> Option<f32> {
        let threshold = f32::from_bits(self.threshold.load(Ordering::Relaxed));
        threshold.is_finite().then_some(threshold)
    }

    fn set(&self, threshold: Option<f32>) -> Change {
        let new = threshold.unwrap_or(f32::INFINITY);
        let old = f32::from_bits(self.threshold.swap(new.to_bits(), Ordering::Relaxed));
        match threshold {
            _ if old == new => Change::None,
            Some(threshold) => Change::Threshold(threshold),
            None => Change::ExactOnly,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn add(&mut self, label: Label) -> Entry {
        let wrong = u64::from(!label.is_same);
        let mut tallies = vec![];
        if let Some(step) = step_of(label.worth) {
            tallies.push(&mut self.by_worth[step]);
        }
        if label.was_hit {
            tallies.push(&mut self.rechecked);
        }
        for tally in tallies {
            tally.all += 1;
            tally.wrong += wrong;
        }
        self.entry(label)
    }

    fn entry(&mut self, label: Label) -> Entry {
        if label.is_same && !self.entries.contains_key(&label.entry) {
            return Entry::Keep;
        }
        if self.entries.len() >= MOST_ENTRIES && !self.entries.contains_key(&label.entry) {
            // Any will do: an entry that is forgotten here has its own threshold in the store.
            let some = self.entries.keys().next().copied();
            some.and_then(|some| self.entries.remove(&some));
        }
        let pool = as_real(self.rechecked.wrong + 1) / as_real(self.rechecked.all + 100);
        let own = self.entries.entry(label.entry).or_default();
        own.all += 1;
        own.wrong += u64::from(!label.is_same);
        if label.is_same || !label.was_hit {
            return Entry::Keep;
        }
        let shrunk = (as_real(own.wrong) + PRIOR * pool) / (as_real(own.all) + PRIOR);
        if shrunk > HOPELESS { Entry::ExactOnly } else { Entry::Tighten }
    }

    /// Whether enough came together to find the bounds again.
    fn is_due(&self) -> bool {
        self.by_worth.iter().map(|tally| tally.all).sum::<u64>().is_multiple_of(32)
    }

    /// The loosest threshold that all evidence together allows, from before and from now.
    fn threshold(&self, bound: &Bound) -> Option<f32> {
        // Evidence from before is no excuse when what was really served was wrong too often.
        let Tally { all, wrong } = self.rechecked;
        if wrong > 1 && lower_bound(wrong, all, bound.confidence) > bound.max_error_rate {
            return None;
        }
        let before = bound.calibration.steps();
        let steps = if before.is_empty() {
            (0..STEPS).map(|step| Step { threshold: threshold_of(step), hits: 0, wrong: 0 }).collect()
        } else {
            before.to_vec()
        };
        let evidence = Calibration::new(steps.into_iter().map(|step| {
            let now = self.above(step.threshold);
            Step { hits: step.hits + now.all, wrong: step.wrong + now.wrong, ..step }
        }));
        evidence.loosest(bound.max_error_rate, bound.confidence).ok()
    }

    fn above(&self, threshold: f32) -> Tally {
        let mut sum = Tally::default();
        for (step, tally) in self.by_worth.iter().enumerate() {
            // A label lies anywhere within its step.
            if threshold_of(step) + 0.005 >= threshold {
                sum.all += tally.all;
                sum.wrong += tally.wrong;
            }
        }
        sum
    }
}

#[allow(clippy::cast_precision_loss)]
fn threshold_of(step: usize) -> f32 {
    LOWEST + step as f32 * 0.01
}

fn step_of(worth: f32) -> Option<usize> {
    let step = (worth - LOWEST) * 100.0 + 1e-3;
    // Checked to be within the range.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (step >= 0.0).then(|| (step as usize).min(STEPS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> Digest {
        Digest::from_bytes([7; 32])
    }

    fn label(worth: f32, is_same: bool, was_hit: bool) -> Label {
        Label { entry: EntryId(1), worth, is_same, was_hit }
    }

    #[test]
    fn without_evidence_only_exact_texts_are_safe() {
        let labels = Labels::new(Bound::new(0.01));
        assert_eq!(labels.threshold(&partition()), None);
        for _ in 0..320 {
            labels.add(&partition(), label(0.96, true, false));
        }
        let learned = labels.threshold(&partition()).expect("320 of 320 right show one in a hundred");
        assert!((0.70..=0.97).contains(&learned), "{learned}");
        // What one partition learned says nothing of another.
        assert_eq!(labels.threshold(&Digest::from_bytes([8; 32])), None);
    }

    #[test]
    fn a_broken_bound_falls_back_to_exact_texts() {
        let before = Calibration::new([Step { threshold: 0.90, hits: 5_000, wrong: 10 }]);
        let labels = Labels::new(Bound::new(0.01).calibrated(before));
        assert_eq!(labels.threshold(&partition()), Some(0.90));
        let mut change = Change::None;
        for _ in 0..5 {
            (change, _) = labels.add(&partition(), label(0.95, false, true));
            if change != Change::None {
                break;
            }
        }
        assert_eq!(change, Change::ExactOnly);
        assert_eq!(labels.threshold(&partition()), None);
    }

    // S11.3
    #[test]
    fn who_counts_at_the_same_time_does_not_undo_the_fall_back() {
        let before = Calibration::new([Step { threshold: 0.90, hits: 5_000, wrong: 10 }]);
        for _ in 0..300 {
            let labels = Labels::new(Bound::new(0.01).calibrated(before.clone()));
            let (labels, start) = (&labels, &std::sync::Barrier::new(4));
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(move || {
                        start.wait();
                        labels.add(&partition(), label(0.95, false, true));
                    });
                }
            });
            assert_eq!(labels.threshold(&partition()), None, "four of four were wrong");
        }
    }

    #[test]
    fn one_wrong_hit_tightens_an_entry_and_the_next_ends_it() {
        let labels = Labels::new(Bound::new(0.05));
        let wrong = |labels: &Labels| labels.add(&partition(), label(0.95, false, true)).1;
        assert_eq!(wrong(&labels), Entry::Tighten);
        assert_eq!(wrong(&labels), Entry::ExactOnly);
        assert_eq!(labels.add(&partition(), label(0.95, false, false)).1, Entry::Keep);
    }
}

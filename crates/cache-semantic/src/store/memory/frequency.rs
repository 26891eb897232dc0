//! How often a question was asked of late, known also of those that are not kept (a count-min sketch).

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// Counts that fade: each step halves a few of them, so that nothing ever has to be halved at once.
pub(super) struct Frequency {
    counters: Box<[AtomicU8]>,
    next_to_fade: AtomicUsize,
}

/// In how many places a question is counted; the smallest count is nearest to the truth.
const ROWS: usize = 4;

/// More than this says nothing more.
const MOST: u8 = 15;

impl Frequency {
    /// For about this many questions.
    pub(super) fn new(questions: usize) -> Self {
        let width = questions.clamp(1 << 10, 1 << 18).next_power_of_two();
        let counters = (0..width * ROWS).map(|_| AtomicU8::new(0)).collect();
        Self { counters, next_to_fade: AtomicUsize::new(0) }
    }

    /// Counts one question. Two at the same time may count as one: it is an estimate.
    pub(super) fn count(&self, hash: u64) {
        for counter in self.places(hash) {
            let seen = counter.load(Ordering::Relaxed);
            counter.store(seen.saturating_add(1).min(MOST), Ordering::Relaxed);
        }
        // Each counter is halved once in two times as many questions as a row has counters.
        let turn = self.next_to_fade.fetch_add(2, Ordering::Relaxed);
        for at in [turn, turn + 1] {
            let fading = &self.counters[at % self.counters.len()];
            fading.store(fading.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
        }
    }

    /// How often it was asked, about.
    pub(super) fn of(&self, hash: u64) -> u32 {
        self.places(hash).map(|counter| u32::from(counter.load(Ordering::Relaxed))).min().unwrap_or_default()
    }

    fn places(&self, hash: u64) -> impl Iterator<Item = &AtomicU8> {
        let width = self.counters.len() / ROWS;
        (0..ROWS).map(move |row| {
            // A row takes its own 16 bits and a stride of its own: neighbours in one row part in the next.
            let mixed = hash.rotate_left(16 * row as u32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            &self.counters[row * width + (mixed >> 40) as usize % width]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_often_is_told_from_what_is_asked_once() {
        let frequency = Frequency::new(1 << 12);
        let mut rng = fastrand::Rng::with_seed(5);
        for round in 0..2_000 {
            frequency.count(rng.u64(..));
            if round % 250 == 0 {
                frequency.count(42);
            }
        }
        assert!((4..=8).contains(&frequency.of(42)), "{}", frequency.of(42));
        let strangers = (0..100).filter(|_| frequency.of(rng.u64(..)) > 1).count();
        assert!(strangers < 5, "{strangers}");
    }

    #[test]
    fn a_question_of_long_ago_is_forgotten() {
        let frequency = Frequency::new(1 << 10);
        (0..15).for_each(|_| frequency.count(42));
        let mut rng = fastrand::Rng::with_seed(6);
        (0..12_000).for_each(|_| frequency.count(rng.u64(..)));
        assert!(frequency.of(42) < 8, "{}", frequency.of(42));
    }
}

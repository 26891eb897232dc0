//! Chance from a seed.

use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;

/// What is drawn for one purpose. Each purpose has a stream of its own, so that one more draw here moves nothing there.
#[derive(Debug, Clone)]
pub(super) struct Chance(Rng);

impl Chance {
    /// The stream of `purpose` in the world of `seed`.
    pub(super) fn of(seed: u64, purpose: &str) -> Self {
        let hash =
            purpose.bytes().fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
        Self(Rng::with_seed(mix(seed ^ mix(hash))))
    }

    /// A seed for something that draws by itself.
    pub(super) fn seed(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// Whether something happens that happens with this probability.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.0.f64() < probability
    }

    pub(super) fn number(&mut self, range: RangeInclusive<usize>) -> usize {
        self.0.usize(range)
    }

    pub(super) fn count(&mut self, range: RangeInclusive<u32>) -> u32 {
        self.0.u32(range)
    }

    pub(super) fn real(&mut self, from: f64, to: f64) -> f64 {
        from + self.0.f64() * (to - from)
    }

    /// A time between so many seconds and so many, in whole milliseconds.
    pub(super) fn seconds(&mut self, from: f64, to: f64) -> Duration {
        Duration::from_millis((self.real(from, to) * 1_000.0).round() as u64)
    }

    /// About this time, a fifth more or less.
    pub(super) fn about(&mut self, time: Duration) -> Duration {
        time.mul_f64(self.real(0.8, 1.2))
    }

    pub(super) fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.0.usize(..items.len())]
    }

    /// One of several, each by its weight.
    pub(super) fn by_weight<T: Copy>(&mut self, items: &[(u32, T)]) -> T {
        let all: u32 = items.iter().map(|(weight, _)| weight).sum();
        let mut drawn = self.0.u32(..all);
        for (weight, item) in items {
            if drawn < *weight {
                return *item;
            }
            drawn -= weight;
        }
        items[0].1
    }

    pub(super) fn maybe<T>(&mut self, probability: f64, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.happens(probability).then(|| make(self))
    }
}

/// Spreads the bits of a number (SplitMix64).
fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

pub(super) const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
pub(super) const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

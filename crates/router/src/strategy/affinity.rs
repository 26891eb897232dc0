//! Sessions stay where their prompts are cached.

use super::Strategy;
use crate::candidate::{Candidate, Chance, Choice, SCARCE};
use crate::session::mix;

/// A session stays with the deployment that has its prompt in the provider's cache.
///
/// The cache is a price: a token that is read from it costs a tenth. Where prices are known, the candidate with the
/// lowest expected price of the input takes the call; among those with the same price, the one that served the session
/// last, and for a new session the first by rendezvous hashing, which is the same in every process.
///
/// The load is bounded. A new session goes where the calls of the last minute are at most 1.25 times the mean. A session
/// under way leaves a deployment whose calls of the last minute or in flight are beyond 1.25 times the mean and twice its
/// root (what chance does to small numbers), and more than 4; then the next by rendezvous takes it. It also leaves when
/// less than a fifth of the rate limits is left.
#[derive(Debug, Clone, Copy, Default)]
pub struct Affinity;

impl Strategy for Affinity {
    fn name(&self) -> &str {
        "affinity"
    }

    /// The expected price of the input in $ per million tokens; without a price, as if it were 1.
    fn score(&self, candidate: &Candidate<'_>, choice: &Choice<'_>) -> f64 {
        let last = choice.session.and_then(|session| choice.candidates.get(session.last?));
        let is_last = last.is_some_and(|last| last.index == candidate.index);
        expected(candidate, choice, is_last)
    }

    fn choose(&self, choice: &Choice<'_>, chance: &mut Chance) -> usize {
        let Some(session) = choice.session else {
            return super::PeakEwma.choose(choice, chance);
        };
        let sums = Sums::of(choice.candidates);
        let is_known = session.last.is_some();
        let mut best: Option<(usize, f64, f64)> = None;
        for (index, candidate) in choice.candidates.iter().enumerate() {
            let is_last = session.last == Some(index);
            let fits =
                if is_known { sums.bear(candidate) } else { sums.bear(candidate) && sums.welcome(candidate) };
            if !fits {
                continue;
            }
            let price = expected(candidate, choice, is_last);
            let rank = rendezvous(session.key, candidate) + if is_last { 1.0e9 } else { 0.0 };
            let is_better = best.is_none_or(|(_, lowest, highest)| {
                if (price - lowest).abs() <= 0.01 * lowest { rank > highest } else { price < lowest }
            });
            if is_better {
                best = Some((index, price, rank));
            }
        }
        match best {
            Some((index, ..)) => index,
            None => choice.lowest(|candidate| sums.fullness(candidate), chance),
        }
    }

    fn needs_session(&self) -> bool {
        true
    }
}

/// The expected price of the input. Reading from the cache costs a tenth.
fn expected(candidate: &Candidate<'_>, choice: &Choice<'_>, is_last: bool) -> f64 {
    let warm = choice.session.map_or(0.0, |session| if is_last { f64::from(session.warm) } else { 0.0 });
    candidate.price.map_or(1.0, |price| price.input) * (1.0 - 0.9 * warm)
}

/// Weighted rendezvous hashing: the highest is first.
fn rendezvous(key: u64, candidate: &Candidate<'_>) -> f64 {
    // 53 bits, moved off zero.
    let unit = ((mix(key ^ candidate.name_hash) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -f64::from(candidate.weight) / unit.ln()
}

/// The load of all candidates together.
struct Sums {
    weight: f64,
    in_flight: f64,
    recent: f64,
}

impl Sums {
    fn of(candidates: &[Candidate<'_>]) -> Self {
        let mut sums = Self { weight: 0.0, in_flight: 0.0, recent: 0.0 };
        for candidate in candidates {
            sums.weight += f64::from(candidate.weight);
            sums.in_flight += f64::from(candidate.in_flight);
            sums.recent += f64::from(candidate.recent);
        }
        sums
    }

    fn share(&self, candidate: &Candidate<'_>) -> f64 {
        f64::from(candidate.weight) / self.weight
    }

    /// Whether it can keep the sessions that it has.
    fn bear(&self, candidate: &Candidate<'_>) -> bool {
        let share = self.share(candidate);
        let bound = |all: f64| {
            let mean = share * (all + 1.0);
            (MOST * mean + 2.0 * mean.sqrt()).max(4.0)
        };
        f64::from(candidate.headroom) >= SCARCE
            && f64::from(candidate.in_flight) < bound(self.in_flight)
            && f64::from(candidate.recent) < bound(self.recent)
    }

    /// Whether it can take one more session.
    fn welcome(&self, candidate: &Candidate<'_>) -> bool {
        f64::from(candidate.recent) <= MOST * self.share(candidate) * self.recent
    }

    fn fullness(&self, candidate: &Candidate<'_>) -> f64 {
        (f64::from(candidate.in_flight) + 1.0) * candidate.penalty() / self.share(candidate)
    }
}

/// How many times the mean load a deployment takes.
const MOST: f64 = 1.25;

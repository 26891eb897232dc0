//! How one of several deployments is chosen: small pure functions over a snapshot.
//!
//! | strategy | name | takes |
//! |---|---|---|
//! | [`PeakEwma`] | `p2c` | of two by chance the one with the lower time to first token, by calls that wait for theirs (default) |
//! | [`Weighted`] | `weighted` | one by chance, each by its weight |
//! | [`LeastBusy`] | `least-busy` | the one with the fewest calls in flight |
//! | [`LowestCost`] | `lowest-cost` | the cheapest |
//! | [`Headroom`] | `headroom` | one by chance, each by its weight and by what is left of its rate limits |
//! | [`Affinity`] | `affinity` | the one that served the session before and has its prompt in the cache |

mod affinity;

use std::fmt;
use std::sync::Arc;

pub use self::affinity::Affinity;
use crate::candidate::{Candidate, Chance, Choice};

/// Chooses one of several deployments that could take a call.
///
/// A function of a candidate is a strategy: the lowest figure wins.
///
/// ```
/// use mainstay_router::{Candidate, Chance, Choice, Strategy};
///
/// // The one with the largest window, whatever else is true of it.
/// let roomy = |candidate: &Candidate<'_>| -(candidate.context_window.unwrap_or(0) as f64);
///
/// let mut candidates = [Candidate::new("small"), Candidate::new("large")];
/// candidates[1].context_window = Some(1_000_000);
/// assert_eq!(roomy.choose(&Choice::of(&candidates), &mut Chance::seeded(1)), 1);
/// ```
pub trait Strategy: Send + Sync {
    /// Its name, in explanations and configuration.
    fn name(&self) -> &str;

    /// How good a candidate is: lower is better. It is what an explanation shows.
    fn score(&self, candidate: &Candidate<'_>, choice: &Choice<'_>) -> f64;

    /// The index of the candidate that takes the call; one beyond the end counts as 0. When not implemented, the one with
    /// the [lowest](Choice::lowest) score.
    fn choose(&self, choice: &Choice<'_>, chance: &mut Chance) -> usize {
        choice.lowest(|candidate| self.score(candidate, choice), chance)
    }

    /// Whether it looks at [`Choice::session`] and [`Candidate::recent`], which cost something to know; `false` when not
    /// implemented.
    fn needs_session(&self) -> bool {
        false
    }
}

impl<F: Fn(&Candidate<'_>) -> f64 + Send + Sync> Strategy for F {
    fn name(&self) -> &str {
        "custom"
    }

    fn score(&self, candidate: &Candidate<'_>, _choice: &Choice<'_>) -> f64 {
        self(candidate)
    }
}

impl fmt::Debug for dyn Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The names of the strategies here, the default first.
pub const NAMES: [&str; 6] = ["p2c", "weighted", "least-busy", "lowest-cost", "headroom", "affinity"];

/// The strategy of this name; `None` for a name that is not in [`NAMES`].
pub fn named(name: &str) -> Option<Arc<dyn Strategy>> {
    Some(match name {
        "p2c" => Arc::new(PeakEwma),
        "weighted" => Arc::new(Weighted),
        "least-busy" => Arc::new(LeastBusy),
        "lowest-cost" => Arc::new(LowestCost),
        "headroom" => Arc::new(Headroom),
        "affinity" => Arc::new(Affinity),
        _ => return None,
    })
}

/// Power of two choices: of two candidates by chance, the one with the lower
/// [busy time](Candidate::busy_time). Choosing from two keeps many callers from running to the same place at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct PeakEwma;

impl Strategy for PeakEwma {
    fn name(&self) -> &str {
        "p2c"
    }

    fn score(&self, candidate: &Candidate<'_>, _choice: &Choice<'_>) -> f64 {
        candidate.busy_time()
    }

    fn choose(&self, choice: &Choice<'_>, chance: &mut Chance) -> usize {
        let count = choice.candidates.len();
        let first = chance.below(count);
        let mut second = chance.below(count.saturating_sub(1));
        second += usize::from(second >= first);
        match (choice.candidates.get(first), choice.candidates.get(second)) {
            (Some(one), Some(other)) if other.busy_time() < one.busy_time() => second,
            _ => first,
        }
    }
}

/// One by chance, each by its weight, whatever else is true of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weighted;

impl Strategy for Weighted {
    fn name(&self) -> &str {
        "weighted"
    }

    fn score(&self, candidate: &Candidate<'_>, choice: &Choice<'_>) -> f64 {
        share(candidate, choice, |candidate| f64::from(candidate.weight))
    }

    fn choose(&self, choice: &Choice<'_>, chance: &mut Chance) -> usize {
        choice.by_share(|candidate| f64::from(candidate.weight), chance)
    }
}

/// The one with the fewest calls in flight by its weight; one that fails counts as busier than it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct LeastBusy;

impl Strategy for LeastBusy {
    fn name(&self) -> &str {
        "least-busy"
    }

    fn score(&self, candidate: &Candidate<'_>, _choice: &Choice<'_>) -> f64 {
        // A deployment that fails at once is never busy.
        f64::from(candidate.in_flight.saturating_add(1)) * candidate.penalty() / f64::from(candidate.weight)
    }
}

/// The cheapest: three parts of input and one of output. One without a price comes last; one that fails counts as
/// dearer than it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct LowestCost;

impl Strategy for LowestCost {
    fn name(&self) -> &str {
        "lowest-cost"
    }

    fn score(&self, candidate: &Candidate<'_>, _choice: &Choice<'_>) -> f64 {
        let Some(price) = candidate.price else { return f64::MAX };
        // What costs nothing would cost nothing however often it fails.
        let for_failing = 10.0 * f64::from(candidate.failing);
        price.blended() * candidate.penalty() + for_failing
    }
}

/// One by chance, each by its weight and by what is left of its rate limits: traffic moves on before the first 429.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headroom;

impl Headroom {
    fn part(candidate: &Candidate<'_>) -> f64 {
        f64::from(candidate.weight) * f64::from(candidate.headroom) / candidate.penalty()
    }
}

impl Strategy for Headroom {
    fn name(&self) -> &str {
        "headroom"
    }

    fn score(&self, candidate: &Candidate<'_>, choice: &Choice<'_>) -> f64 {
        share(candidate, choice, Self::part)
    }

    fn choose(&self, choice: &Choice<'_>, chance: &mut Chance) -> usize {
        choice.by_share(Self::part, chance)
    }
}

/// One minus the share of the traffic, so that lower is better as everywhere.
fn share(candidate: &Candidate<'_>, choice: &Choice<'_>, part: impl Fn(&Candidate<'_>) -> f64) -> f64 {
    let all: f64 = choice.candidates.iter().map(&part).sum();
    if all > 0.0 { 1.0 - part(candidate) / all } else { 1.0 }
}

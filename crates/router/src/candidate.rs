//! What a strategy chooses from, and the chance that it is given.

use std::f64::consts::LN_10;

use crate::config::Price;
use crate::session::hash_name;

/// A deployment that may be asked, as it stands at the moment of the choice.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Candidate<'a> {
    /// Its name.
    pub deployment: &'a str,
    /// Its share of the traffic, as configured; 1 when not set.
    pub weight: f32,
    /// Calls that were sent there and have not ended.
    pub in_flight: u32,
    /// Those of them whose first token has not come; for a call that wants a whole answer, whose answer has not come.
    /// At least the mean of the others as well, for one without an answer in the decay time.
    pub waiting: u32,
    /// The expected time to the first token, in seconds: a peak-EWMA. For one without an answer in the decay time it is
    /// at least the mean of the others, so that a cold or forgotten deployment does not draw all traffic.
    pub first_token: f32,
    /// The share of its last calls that failed, 0 to 1.
    pub failing: f32,
    /// How much of its rate limits is left, 0 to 1; 1 when nothing is known.
    pub headroom: f32,
    /// Calls that were sent there in about the last minute; counted only where the strategy needs sessions.
    pub recent: f32,
    /// What it costs, if that was said.
    pub price: Option<Price>,
    /// Its longest prompt in tokens, if that was said.
    pub context_window: Option<u64>,
    pub(crate) index: usize,
    pub(crate) name_hash: u64,
    /// Whether it has answered in the decay time.
    pub(crate) is_fresh: bool,
}

impl<'a> Candidate<'a> {
    /// A candidate that was never asked, for tests of a strategy.
    pub fn new(deployment: &'a str) -> Self {
        Self { deployment, name_hash: hash_name(deployment), ..Self::EMPTY }
    }

    pub(crate) const EMPTY: Self = Self {
        deployment: "",
        weight: 1.0,
        in_flight: 0,
        waiting: 0,
        first_token: START,
        failing: 0.0,
        headroom: 1.0,
        recent: 0.0,
        price: None,
        context_window: None,
        index: 0,
        name_hash: 0,
        is_fresh: false,
    };

    /// What [`strategy::PeakEwma`](crate::strategy::PeakEwma) compares: the time to the first token, times the root of
    /// the calls that wait for theirs by weight, times [`Candidate::penalty`].
    ///
    /// The root, since the time already holds what load does to it. By the count itself, a deployment that is ten times
    /// slower would look as good as one where ten calls wait, however quickly those are answered.
    pub fn busy_time(&self) -> f64 {
        let waiting = (f64::from(self.waiting) + 1.0) / f64::from(self.weight);
        f64::from(self.first_token) * waiting.sqrt() * self.penalty()
    }

    /// How much worse it counts because it fails or because its rate limits run out: 1 for neither, 2.5 times more for
    /// each tenth of its calls that fails, up to 20 times more when less than a fifth of its limits is left.
    pub fn penalty(&self) -> f64 {
        let failing = if self.failing > 0.0 { (f64::from(self.failing) * 4.0 * LN_10).exp() } else { 1.0 };
        let left = f64::from(self.headroom.max(0.01));
        if left < SCARCE { failing * SCARCE / left } else { failing }
    }
}

/// The expected time to the first token of a deployment before anybody knows better: 30 ms.
pub(crate) const START: f32 = 0.030;
/// Below this share rate limits are about to run out.
pub(crate) const SCARCE: f64 = 0.2;

/// What a strategy chooses from.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Choice<'a> {
    /// The candidates: at least one, all of them able and available.
    pub candidates: &'a [Candidate<'a>],
    /// The session that the call belongs to; only if the strategy
    /// [needs](crate::Strategy::needs_session) it.
    pub session: Option<Session>,
}

impl<'a> Choice<'a> {
    /// A choice from these, without a session.
    pub fn of(candidates: &'a [Candidate<'a>]) -> Self {
        Self { candidates, session: None }
    }

    /// The candidate with the lowest score. Of several with the same the one with the lowest
    /// [busy time](Candidate::busy_time) is taken, and of several with the same of that too, one by chance.
    pub fn lowest(&self, score: impl Fn(&Candidate<'_>) -> f64, chance: &mut Chance) -> usize {
        let mut best = (0, f64::INFINITY, f64::INFINITY);
        let mut equals = 0;
        for (index, candidate) in self.candidates.iter().enumerate() {
            let (score, busy) = (score(candidate), candidate.busy_time());
            if score < best.1 || (score == best.1 && busy < best.2) {
                best = (index, score, busy);
                equals = 1;
            } else if score == best.1 && busy == best.2 {
                equals += 1;
                if chance.below(equals) == 0 {
                    best.0 = index;
                }
            }
        }
        best.0
    }

    /// A candidate by chance, each by its share.
    pub fn by_share(&self, share: impl Fn(&Candidate<'_>) -> f64, chance: &mut Chance) -> usize {
        let share = |candidate| share(candidate).max(0.0);
        let all: f64 = self.candidates.iter().map(share).sum();
        let mut point = chance.unit() * all;
        for (index, candidate) in self.candidates.iter().enumerate() {
            point -= share(candidate);
            if point < 0.0 {
                return index;
            }
        }
        // Nobody has a share, or rounding ate the last one.
        if all > 0.0 { self.candidates.len().saturating_sub(1) } else { chance.below(self.candidates.len()) }
    }
}

/// The session of a call.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Session {
    /// The same for all calls of a session, and never the same for two tenants but by chance.
    pub key: u64,
    /// The candidate that served it last, if it is among them.
    pub last: Option<usize>,
    /// How likely that one still has the session's prompt in its cache, 0 to 1.
    pub warm: f32,
}

impl Session {
    /// A session that nobody has served.
    pub fn new(key: u64) -> Self {
        Self { key, last: None, warm: 0.0 }
    }
}

/// The chance that a strategy is given: the same for the same seed.
#[derive(Debug, Clone)]
pub struct Chance(fastrand::Rng);

impl Chance {
    /// The chance of this seed.
    pub fn seeded(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// A number below `end`, each as likely; 0 when `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        if end < 2 { 0 } else { self.0.usize(..end) }
    }

    /// A number from 0 to 1, without 1.
    pub fn unit(&mut self) -> f64 {
        self.0.f64()
    }
}

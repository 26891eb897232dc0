//! A limit that nobody told: learned from 429s, as TCP learns a path (additive increase as CUBIC does it,
//! multiplicative decrease; the AWS SDK's adaptive mode is the same for requests a second).

use std::time::Duration;

use tokio::time::Instant;

use crate::cost::Dimension;
use crate::ledger::{Ledger, WINDOW};

/// What is left of the spending that was too much.
const DECREASE: f64 = 0.7;

/// It never goes below half a request a second.
const FLOOR: f64 = 0.5 * WINDOW.as_secs() as f64;

/// So many calls at least until the old spending is tried again: each try may cost a 429 or two.
const CALLS_TO_REGAIN: f64 = 500.0;

const SOONEST: Duration = Duration::from_secs(2 * WINDOW.as_secs());
const LATEST: Duration = Duration::from_secs(60 * 60);

/// When twice the old spending brought no 429, there is no limit worth knowing.
const FORGET: f64 = 2.0;

/// What may be spent in a window, after 429s.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Learned {
    /// What was spent in the window before the 429, without what was refused.
    requests: f64,
    tokens: f64,
    /// How many calls of a window one call stands for: 1, and more after a quiet time.
    share: f64,
    since: Instant,
    /// How long until the old spending is reached again.
    regain: Duration,
    /// Calls up to this one were sent before the decrease, and tell nothing new.
    upto: u64,
}

impl Learned {
    /// A 429 of a call that was sent before the decrease: one call less went through than was thought.
    pub(crate) fn refused_too(&mut self) {
        let requests = (self.requests - self.share).max(FLOOR / DECREASE);
        self.tokens *= requests / self.requests;
        self.requests = requests;
    }

    /// Whether a 429 of call `sequence` is about a call that was sent before the decrease.
    pub(crate) fn is_stale(&self, sequence: u64) -> bool {
        sequence <= self.upto
    }

    /// The limit after a 429 of call `sequence`; `None` when it was sent before the last decrease. `usual` is what a usual
    /// call reserves in tokens: more than it uses, so what was used must not bind those that are reserved for.
    pub(crate) fn throttled(
        before: Option<&Self>,
        ledger: &Ledger,
        usual: f64,
        sequence: u64,
        last: u64,
        now: Instant,
    ) -> Option<Self> {
        if before.is_some_and(|before| before.is_stale(sequence)) {
            return None;
        }
        let share = ledger.stretch();
        let spent = |of| ledger.spent(of) as f64 * share;
        let most = |of| before.map_or(f64::INFINITY, |before| before.amount(of, now));
        let (used_requests, used_tokens) = (spent(Dimension::Requests), spent(Dimension::Tokens));
        let through = used_requests - share;
        let requests = through.min(most(Dimension::Requests)).max(FLOOR / DECREASE);
        let each = (used_tokens / used_requests.max(1.0)).max(usual);
        let tokens = used_tokens.min(most(Dimension::Tokens)).max(requests * each);
        let a_second = DECREASE * requests / WINDOW.as_secs_f64();
        let regain = Duration::from_secs_f64(CALLS_TO_REGAIN / a_second).clamp(SOONEST, LATEST);
        Some(Self { requests, tokens, share, since: now, regain, upto: last })
    }

    /// What may be spent in a window, as a whole number.
    pub(crate) fn limit(&self, of: Dimension, now: Instant) -> u64 {
        match self.amount(of, now) {
            limited if limited.is_finite() => limited.round() as u64,
            _ => u64::MAX,
        }
    }

    /// Whether it has grown beyond use.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.factor(now) >= FORGET
    }

    fn amount(&self, of: Dimension, now: Instant) -> f64 {
        let base = match of {
            Dimension::Requests => self.requests,
            // Nobody told how many tokens: they are no limit that could be learned.
            Dimension::Tokens if self.tokens > 0.0 => self.tokens,
            _ => return f64::INFINITY,
        };
        (base * self.factor(now)).max(1.0)
    }

    /// CUBIC: steep at first, flat around the spending that was too much, then steep again.
    fn factor(&self, now: Instant) -> f64 {
        let time = now.saturating_duration_since(self.since).as_secs_f64() / self.regain.as_secs_f64();
        1.0 + (1.0 - DECREASE) * (time - 1.0).powi(3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::Amounts;

    /// So many calls, spread over the last minute.
    fn steady(calls: u64, cost: Amounts, now: Instant) -> (Ledger, Instant) {
        let mut ledger = Ledger::new(now);
        for call in 0..calls {
            ledger.advance(now + WINDOW.mul_f64(call as f64 / calls as f64));
            ledger.spend(&cost);
        }
        (ledger, now + WINDOW)
    }

    fn after(ledger: &Ledger, now: Instant) -> Learned {
        Learned::throttled(None, ledger, 0.0, 1, 5, now).expect("nothing was learned before")
    }

    #[test]
    fn a_429_leaves_seven_tenths_and_time_gives_them_back() {
        let (ledger, now) = steady(601, Amounts::call(1_000, 0), Instant::now());
        let learned = after(&ledger, now);
        // The one that was refused does not count.
        assert_eq!(learned.limit(Dimension::Requests, now), 420);
        assert_eq!(learned.limit(Dimension::Tokens, now), 420_700);
        assert_eq!(learned.limit(Dimension::OutputTokens, now), u64::MAX);
        assert_eq!(learned.limit(Dimension::Requests, now + learned.regain), 600);
        let middle = learned.limit(Dimension::Requests, now + learned.regain / 2);
        assert!((570..600).contains(&middle), "most of it comes back early: {middle}");
        assert!(!learned.is_over(now + learned.regain * 2));
        assert!(learned.is_over(now + learned.regain * 3));
    }

    #[test]
    fn calls_sent_before_the_decrease_do_not_decrease_again() {
        let (ledger, now) = steady(601, Amounts::request(), Instant::now());
        let first = after(&ledger, now);
        assert!(Learned::throttled(Some(&first), &ledger, 0.0, 5, 9, now).is_none());
        let second = Learned::throttled(Some(&first), &ledger, 0.0, 6, 9, now).expect("it was sent since");
        assert_eq!(second.limit(Dimension::Requests, now), 294);
    }

    /// Twenty at once, ten of them refused: what is learned is the ten a second that went through, whatever quiet went
    /// before.
    #[test]
    fn a_burst_says_how_fast_calls_may_go() {
        let begin = Instant::now();
        for quiet in [0, 40] {
            let mut ledger = Ledger::new(begin);
            ledger.spend(&Amounts::request());
            let now = begin + Duration::from_secs(quiet);
            ledger.advance(now);
            let others = if quiet == 0 { 19 } else { 20 };
            (0..others).for_each(|_| ledger.spend(&Amounts::request()));
            let mut learned = Learned::throttled(None, &ledger, 0.0, 11, 20, now).unwrap();
            for late in 12..=20 {
                assert!(learned.is_stale(late));
                learned.refused_too();
            }
            let a_second = learned.limit(Dimension::Requests, now) as f64 / 60.0;
            assert!((6.9..9.0).contains(&a_second), "{a_second} after {quiet} s of quiet");
        }
    }

    #[test]
    fn the_floor_is_half_a_request_a_second() {
        let (ledger, now) = steady(5, Amounts::call(100, 0), Instant::now());
        let learned = after(&ledger, now);
        assert_eq!(learned.limit(Dimension::Requests, now), 30);
        assert_eq!(learned.limit(Dimension::Tokens, now), 3_000);
    }
}

//! Spreading calls over time.

use std::time::Duration;

use tokio::time::Instant;

use crate::ledger::WINDOW;

/// How far ahead of its rate a pace lets calls go: bursts of this long do not wait.
const AHEAD: f64 = 3.0;

/// Lets so much through a second, when there is a rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    per_second: Option<f64>,
    /// What went through and is not yet due at the rate, at `at`.
    early: f64,
    at: Instant,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self { per_second: None, early: 0.0, at: now }
    }

    /// Sets the rate, or ends it.
    pub(crate) fn set(&mut self, per_second: Option<f64>, now: Instant) {
        self.early = self.early_at(now);
        self.at = now;
        self.per_second = per_second.filter(|rate| *rate > 0.0);
        if let Some(rate) = self.per_second {
            // What went through at a faster rate is paid off within the time that limits are counted in, and no later:
            // else a crowd would keep a deployment closed for as long as its calls take one by one.
            self.early = self.early.min(rate * (WINDOW.as_secs_f64() + AHEAD));
        }
    }

    /// No burst goes ahead just now: a 429 said that one has.
    pub(crate) fn hold(&mut self, now: Instant) {
        if let Some(rate) = self.per_second {
            self.early = self.early_at(now).max(AHEAD * rate);
            self.at = now;
        }
    }

    pub(crate) fn per_second(&self) -> Option<f64> {
        self.per_second
    }

    /// Whether it holds nobody back.
    pub(crate) fn is_free(&self) -> bool {
        self.per_second.is_none()
    }

    /// How long a call waits that comes after `ahead`.
    pub(crate) fn wait(&self, ahead: u64, now: Instant) -> Duration {
        let Some(rate) = self.per_second else { return Duration::ZERO };
        let seconds = (self.early_at(now) + ahead as f64) / rate - AHEAD;
        if seconds <= 0.0 { Duration::ZERO } else { Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST) }
    }

    pub(crate) fn take(&mut self, amount: u64, now: Instant) {
        if self.per_second.is_some() {
            self.early = self.early_at(now) + amount as f64;
            self.at = now;
        }
    }

    /// What was taken too much.
    pub(crate) fn give_back(&mut self, amount: u64) {
        self.early = (self.early - amount as f64).max(0.0);
    }

    fn early_at(&self, now: Instant) -> f64 {
        let Some(rate) = self.per_second else { return 0.0 };
        (self.early - rate * now.saturating_duration_since(self.at).as_secs_f64()).max(0.0)
    }
}

/// A slower rate is as good as none.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_ahead_and_then_calls_are_spread() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert_eq!(pace.wait(1_000, now), Duration::ZERO);
        pace.set(Some(2.0), now);
        for _ in 0..6 {
            assert_eq!(pace.wait(0, now), Duration::ZERO);
            pace.take(1, now);
        }
        pace.take(1, now);
        assert_eq!(pace.wait(0, now), Duration::from_millis(500));
        assert_eq!(pace.wait(3, now), Duration::from_millis(2_000));
        assert_eq!(pace.wait(0, now + Duration::from_millis(500)), Duration::ZERO);
        pace.give_back(1);
        assert_eq!(pace.wait(0, now), Duration::ZERO);
    }

    #[test]
    fn no_burst_goes_ahead_after_a_429() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        pace.set(Some(2.0), now);
        pace.hold(now);
        assert_eq!(pace.wait(0, now), Duration::ZERO);
        pace.take(1, now);
        assert_eq!(pace.wait(0, now), Duration::from_millis(500));
    }

    #[test]
    fn a_crowd_is_not_held_against_those_who_come_later_for_longer_than_a_window() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        pace.set(Some(100.0), now);
        pace.take(1_000, now);
        pace.set(Some(0.5), now);
        assert_eq!(pace.wait(0, now), WINDOW);
        assert_eq!(pace.wait(0, now + WINDOW), Duration::ZERO);
    }

    #[test]
    fn a_slow_moment_is_not_held_against_what_comes_after() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        pace.set(Some(0.001), now);
        pace.take(5, now);
        pace.set(Some(10.0), now);
        assert_eq!(pace.wait(0, now), Duration::ZERO);
    }
}

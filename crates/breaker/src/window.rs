//! The sliding window: how many calls were sent of late, and how many of those failed.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::FailureRate;

/// Exact counts in buckets of time. A call belongs to the bucket in which it was sent, and its outcome is booked there:
/// a failure is never compared with calls that it was not one of. What is older than the window is gone, with or
/// without traffic.
#[derive(Debug)]
pub(crate) struct Window {
    rate: FailureRate,
    bucket: Duration,
    buckets: Box<[Bucket]>,
    origin: Instant,
    /// The number of the newest bucket.
    tick: u64,
    total: Bucket,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Calls sent, without those whose end said nothing of the deployment. Calls still running are among them.
    pub(crate) sent: u64,
    /// Those that failed.
    pub(crate) failed: u64,
}

impl Window {
    pub(crate) fn new(rate: FailureRate, now: Instant) -> Self {
        Self {
            rate,
            bucket: rate.bucket(),
            buckets: vec![Bucket::default(); rate.buckets as usize].into_boxed_slice(),
            origin: now,
            tick: 0,
            total: Bucket::default(),
        }
    }

    /// Counts a call that is sent; gives the bucket that its outcome belongs to.
    pub(crate) fn send(&mut self, now: Instant) -> u64 {
        self.advance(now);
        self.total.sent += 1;
        self.at(self.tick).sent += 1;
        self.tick
    }

    /// The call failed.
    pub(crate) fn fail(&mut self, tick: u64, now: Instant) {
        self.advance(now);
        if self.is_live(tick) {
            self.total.failed += 1;
            self.at(tick).failed += 1;
        }
    }

    /// The call's end said nothing of the deployment: it is as if it had not been sent.
    pub(crate) fn forget(&mut self, tick: u64, now: Instant) {
        self.advance(now);
        if self.is_live(tick) {
            self.total.sent -= 1;
            self.at(tick).sent -= 1;
        }
    }

    /// Whether enough calls were sent and too many of them failed.
    pub(crate) fn is_over(&self) -> bool {
        let Bucket { sent, failed } = self.total;
        // Far below 2^53 both are exact.
        sent >= u64::from(self.rate.min_requests) && failed as f64 >= self.rate.ratio * sent as f64
    }

    pub(crate) fn total(&mut self, now: Instant) -> Bucket {
        self.advance(now);
        self.total
    }

    pub(crate) fn clear(&mut self, now: Instant) {
        *self = Self::new(self.rate, now);
    }

    fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.origin).as_nanos() / self.bucket.as_nanos().max(1);
        // 2^64 buckets of a millisecond are 500 million years.
        let tick = u64::try_from(passed).unwrap_or(u64::MAX);
        if tick <= self.tick {
            return;
        }
        let turned = (tick - self.tick).min(self.buckets.len() as u64);
        for new in tick + 1 - turned..=tick {
            let old = std::mem::take(self.at(new));
            self.total.sent -= old.sent;
            self.total.failed -= old.failed;
        }
        self.tick = tick;
    }

    fn is_live(&self, tick: u64) -> bool {
        self.tick - tick < self.buckets.len() as u64
    }

    fn at(&mut self, tick: u64) -> &mut Bucket {
        let length = self.buckets.len() as u64;
        &mut self.buckets[(tick % length) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn window(now: Instant) -> Window {
        let rate = FailureRate::new(0.5).min_requests(4).window(10 * SECOND).buckets(10);
        Window::new(rate, now)
    }

    // B9
    #[test]
    fn a_failure_counts_among_the_calls_that_it_was_one_of() {
        let begin = Instant::now();
        let mut window = window(begin);
        let ticks: Vec<u64> = (0..4).map(|n| window.send(begin + n * SECOND)).collect();
        window.fail(ticks[0], begin + 8 * SECOND);
        assert_eq!(window.total(begin + 9 * SECOND), Bucket { sent: 4, failed: 1 });
        // One second later the first call is out of the window, and so is its failure.
        assert_eq!(window.total(begin + 10 * SECOND), Bucket { sent: 3, failed: 0 });
    }

    // B9
    #[test]
    fn old_calls_leave_without_traffic() {
        let begin = Instant::now();
        let mut window = window(begin);
        for n in 0..10 {
            let tick = window.send(begin + n * SECOND);
            window.fail(tick, begin + n * SECOND);
        }
        assert_eq!(window.total(begin + 9 * SECOND).failed, 10);
        assert_eq!(window.total(begin + 14 * SECOND).failed, 5);
        assert_eq!(window.total(begin + 1000 * SECOND), Bucket::default());
    }

    // B9
    #[test]
    fn an_outcome_that_comes_after_the_window_is_not_counted() {
        let begin = Instant::now();
        let mut window = window(begin);
        let tick = window.send(begin);
        window.fail(tick, begin + 11 * SECOND);
        window.forget(tick, begin + 12 * SECOND);
        assert_eq!(window.total(begin + 12 * SECOND), Bucket::default());
    }

    // B9
    #[test]
    fn too_few_calls_say_nothing_and_calls_in_flight_are_no_failures() {
        let begin = Instant::now();
        let mut window = window(begin);
        let ticks: Vec<u64> = (0..3).map(|_| window.send(begin)).collect();
        ticks.iter().for_each(|tick| window.fail(*tick, begin));
        assert!(!window.is_over(), "three of three, but the floor is four");
        for _ in 0..4 {
            window.send(begin);
        }
        assert!(!window.is_over(), "three of seven");
        window.forget(0, begin);
        assert!(window.is_over(), "three of six");
    }
}

//! The server's time, kept here between two looks at it.

use std::time::Duration;

use tokio::time::Instant;

/// What the server's clock said, and between which moments here: entries are dated by it, so that the clocks of the
/// machines need not agree. An age by it is never too small by more than what two clocks drift apart in [`GOOD_FOR`], nor too
/// large by more than that and two round trips.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerClock {
    asked: Instant,
    answered: Instant,
    said_ms: u64,
}

/// How long it is good for. At 50 millionths, which is a poor clock, that is 3 ms.
const GOOD_FOR: Duration = Duration::from_secs(60);

impl ServerClock {
    /// The server has been asked for its `TIME` at `asked`, and has just said this.
    pub(super) fn new(asked: Instant, (seconds, micros): (u64, u64)) -> Self {
        let said_ms = seconds.saturating_mul(1000).saturating_add(micros / 1000);
        Self { asked, answered: Instant::now(), said_ms }
    }

    pub(super) fn is_good(&self) -> bool {
        self.answered.elapsed() < GOOD_FOR
    }

    /// It is not earlier than this there: what is dated so is not taken for younger than it is.
    pub(super) fn at_least(&self) -> u64 {
        self.after(self.answered)
    }

    /// It is not later than this there.
    pub(super) fn at_most(&self) -> u64 {
        // What was cut off of its last millisecond.
        self.after(self.asked).saturating_add(1)
    }

    fn after(&self, since: Instant) -> u64 {
        self.said_ms.saturating_add(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_age_is_never_too_small_and_too_large_by_two_round_trips_at_most() {
        const ROUND_TRIP: Duration = Duration::from_millis(10);
        for there_after in [0, 3, 10] {
            let asked = Instant::now();
            tokio::time::advance(ROUND_TRIP).await;
            let clock = ServerClock::new(asked, (1_000, there_after * 1_000));
            let now = 1_000_000 + 10;
            assert!(clock.at_least() <= now && now <= clock.at_most());
            tokio::time::advance(Duration::from_millis(500)).await;
            assert!(clock.at_least() <= now + 500 && now + 500 <= clock.at_most());
            assert!(clock.at_most() - clock.at_least() <= 11);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_asked_for_once_a_minute() {
        let clock = ServerClock::new(Instant::now(), (1, 0));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(clock.is_good());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!clock.is_good());
    }
}

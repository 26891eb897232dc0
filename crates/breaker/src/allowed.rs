//! How many failures a minute are allowed, as LiteLLM's `allowed_fails` counts them.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The time that failures are counted over.
const MINUTE: Duration = Duration::from_secs(60);

/// The failures of the last minute, no more of them than it takes to say that they are too many.
#[derive(Debug)]
pub(crate) struct Allowed {
    most: usize,
    failures: VecDeque<Instant>,
}

impl Allowed {
    pub(crate) fn new(most: u32) -> Self {
        Self { most: most as usize, failures: VecDeque::new() }
    }

    /// Notes a failure; tells whether there are now more than allowed.
    pub(crate) fn is_over_with(&mut self, now: Instant) -> bool {
        while self.failures.front().is_some_and(|&failed| now.saturating_duration_since(failed) >= MINUTE) {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        let over = self.failures.len() > self.most;
        if over {
            // A pool may hold it closed: one more than allowed is enough to know.
            self.failures.drain(..self.failures.len() - self.most - 1);
        }
        over
    }

    pub(crate) fn clear(&mut self) {
        self.failures.clear();
    }
}

//! Tells when nothing came for too long.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Tells when nothing came for too long.
///
/// One timer serves all answers of a connection: it is not moved at each read but, when it fires, waits for what is left
/// since the last one. Moving it would cost a lock of the timer wheel per event.
pub(super) struct Silence {
    limit: Duration,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: None, timer: None }
    }

    /// A new wait begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// Something came.
    pub(super) fn broken(&mut self) {
        self.since = None;
    }

    pub(super) fn poll(&mut self, task: &mut Context<'_>) -> Poll<()> {
        let end = *self.since.get_or_insert_with(Instant::now) + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        loop {
            ready!(timer.as_mut().poll(task));
            if timer.deadline() >= end {
                return Poll::Ready(());
            }
            timer.as_mut().reset(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_is_told_after_the_limit_since_the_last_read() {
        let mut silence = Silence::new(Duration::from_secs(10));
        let begun = Instant::now();
        for _ in 0..3 {
            // Something comes every eight seconds.
            let waited =
                tokio::time::timeout(Duration::from_secs(8), std::future::poll_fn(|task| silence.poll(task)))
                    .await;
            assert!(waited.is_err(), "told too early");
            silence.broken();
        }
        std::future::poll_fn(|task| silence.poll(task)).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(34));
    }
}

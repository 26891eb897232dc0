//! The one timer of a call.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// One timer for a whole call. It is made when there is first something to wait for, and it is moved only when it would
/// ring too late or has rung too early: a chunk that arrives in time costs it nothing.
#[derive(Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Whether nothing was waited for yet.
    pub(crate) fn is_new(&self) -> bool {
        self.0.is_none()
    }

    /// Ready when `now`, which is the time, is not before `at`; else the task is woken then.
    pub(crate) fn poll_at(&mut self, at: Instant, now: Instant, task: &mut TaskContext<'_>) -> Poll<()> {
        // The clock decides, not the timer: a provider that keeps the task busy for ever uses up the time slice that
        // tokio's timer would need to ring.
        if now >= at {
            return Poll::Ready(());
        }
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        while sleep.as_mut().poll(task).is_ready() {
            if sleep.deadline() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
        Poll::Pending
    }
}

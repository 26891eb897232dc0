//! Alerts that wait to be sent: never more than so many, and adding one never waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::letter::Alert;

/// Alerts that wait. Many add to it, one takes from it.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Notify,
    most: usize,
    /// What became of those that were taken from it.
    pub(super) delivered: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// How alerts do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AlertStats {
    /// They are to be sent.
    pub(crate) waiting: u64,
    /// The receiver has taken them.
    pub(crate) delivered: u64,
    /// They were given up.
    pub(crate) failed: u64,
    /// They had to go because the queue was full.
    pub(crate) dropped: u64,
}

#[derive(Default)]
struct Waiting {
    alerts: VecDeque<Alert>,
    /// How many had to go since the queue was last empty.
    dropped: u64,
    /// The same from the beginning on.
    dropped_ever: u64,
    closed: bool,
}

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        let (delivered, failed) = Default::default();
        Self { waiting: Mutex::default(), changed: Notify::new(), most, delivered, failed }
    }

    /// Adds one. When the queue is full the oldest goes; that is told at the first, and how many it were when all are sent.
    pub(super) fn push(&self, alert: Alert) {
        let mut waiting = self.lock();
        let is_full = waiting.alerts.len() >= self.most;
        if is_full {
            waiting.alerts.pop_front();
            waiting.dropped += 1;
            waiting.dropped_ever += 1;
        }
        let is_first = is_full && waiting.dropped == 1;
        waiting.alerts.push_back(alert);
        drop(waiting);
        if is_first {
            tracing::warn!(
                queue = self.most,
                "alerts come faster than the webhook takes them: the oldest are dropped"
            );
        }
        self.changed.notify_one();
    }

    /// The oldest, as soon as there is one; `None` when there will be no more. To be asked by one task alone.
    pub(super) async fn next(&self) -> Option<Alert> {
        loop {
            match self.pop() {
                (None, false) => self.changed.notified().await,
                (alert, _) => return alert,
            }
        }
    }

    /// No more are waited for.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    pub(super) fn len(&self) -> usize {
        self.lock().alerts.len()
    }

    pub(super) fn stats(&self) -> AlertStats {
        let (delivered, failed) =
            (self.delivered.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed));
        let waiting = self.lock();
        AlertStats { waiting: waiting.alerts.len() as u64, delivered, failed, dropped: waiting.dropped_ever }
    }

    /// The oldest, and whether there will be no more.
    fn pop(&self) -> (Option<Alert>, bool) {
        let mut waiting = self.lock();
        let alert = waiting.alerts.pop_front();
        let dropped = if waiting.alerts.is_empty() { std::mem::take(&mut waiting.dropped) } else { 0 };
        let closed = waiting.closed;
        drop(waiting);
        if dropped > 0 {
            tracing::warn!(dropped, "alerts were dropped because the queue was full");
        }
        (alert, closed)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use mainstay::{Event, Severity};

    use super::*;
    use crate::alerts::tests::Log;

    fn alert(number: usize) -> Alert {
        let event = Event::new("a", Severity::Alert).with("number", number.to_string());
        Alert { at: Timestamp::UNIX_EPOCH, event }
    }

    fn number(alert: &Alert) -> &str {
        &alert.event.attributes[0].1
    }

    #[test]
    fn a_full_queue_drops_the_oldest_and_tells_it_once() {
        let log = Log::begin();
        let queue = Queue::new(3);
        (0..10).for_each(|number| queue.push(alert(number)));
        assert_eq!(queue.len(), 3);
        let rest = std::iter::from_fn(|| queue.pop().0);
        assert_eq!(rest.map(|alert| number(&alert).to_owned()).collect::<Vec<_>>(), ["7", "8", "9"]);
        let log = log.text();
        assert_eq!(log.matches("the oldest are dropped").count(), 1, "{log}");
        assert_eq!(log.matches("dropped=7").count(), 1, "{log}");
        assert_eq!(queue.stats(), AlertStats { dropped: 7, ..AlertStats::default() });
    }

    #[tokio::test]
    async fn who_waits_is_woken_and_a_closed_queue_is_emptied_first() {
        let queue = Queue::new(3);
        let waits = async { number(&queue.next().await.unwrap()).to_owned() };
        let ((), first) = tokio::join!(async { queue.push(alert(1)) }, waits);
        assert_eq!(first, "1");
        queue.push(alert(2));
        queue.close();
        assert_eq!(number(&queue.next().await.unwrap()), "2");
        assert!(queue.next().await.is_none());
    }
}

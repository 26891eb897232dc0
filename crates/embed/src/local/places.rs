//! How many passes run at once, and how many may wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

#[derive(Clone)]
pub(super) struct Places(Arc<Inner>);

struct Inner {
    threads: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    QueueFull,
    TooLate,
}

impl Places {
    pub(super) fn new(threads: usize, queue: usize) -> Self {
        let threads = Arc::new(Semaphore::new(threads));
        Self(Arc::new(Inner { threads, waiting: AtomicUsize::new(0), queue }))
    }

    /// A place, which is given back when it is dropped.
    ///
    /// # Cancellation
    /// Dropping the future leaves the queue.
    pub(super) async fn take(&self, deadline: Option<Instant>) -> Result<OwnedSemaphorePermit, NoPlace> {
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(NoPlace::TooLate);
        }
        if let Ok(place) = self.0.threads.clone().try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = self.wait().ok_or(NoPlace::QueueFull)?;
        let place = self.0.threads.clone().acquire_owned();
        let place = match deadline {
            Some(deadline) => timeout_at(deadline, place).await.map_err(|_| NoPlace::TooLate)?,
            None => place.await,
        };
        Ok(place.expect("the semaphore is never closed"))
    }

    fn wait(&self) -> Option<Waiting<'_>> {
        let waiting = &self.0.waiting;
        let entered = waiting.fetch_add(1, Ordering::Relaxed) < self.0.queue;
        // Counted up already; dropping it counts down.
        let place = Waiting(waiting);
        entered.then_some(place)
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::task::{Context, Waker};
    use std::time::Duration;

    fn is_pending(future: Pin<&mut impl Future>) -> bool {
        future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded_and_a_dropped_wait_leaves_it() {
        let places = Places::new(1, 1);
        let held = places.take(None).await.unwrap();
        let mut waits = Box::pin(places.take(None));
        assert!(is_pending(waits.as_mut()));
        assert_eq!(places.take(None).await.unwrap_err(), NoPlace::QueueFull);
        drop(waits);
        let mut waits = Box::pin(places.take(None));
        assert!(is_pending(waits.as_mut()), "its place in the queue is free again");
        drop(held);
        drop(waits.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_beyond_the_deadline() {
        let places = Places::new(1, 8);
        let _held = places.take(None).await.unwrap();
        let deadline = Instant::now() + Duration::from_millis(50);
        assert_eq!(places.take(Some(deadline)).await.unwrap_err(), NoPlace::TooLate);
        assert_eq!(Instant::now(), deadline);
        assert_eq!(places.take(Some(deadline)).await.unwrap_err(), NoPlace::TooLate, "passed is passed");
    }
}

//! Readiness as a number of places: a handle that is polled ready has taken one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The places of one double, shared by all its handles.
#[derive(Clone)]
pub(super) struct Places(Arc<Mutex<Room>>);

struct Room {
    limit: usize,
    taken: usize,
    waiting: Vec<Waker>,
}

/// A place that was taken; dropping it gives it back.
pub(super) struct Place(Places);

impl Places {
    pub(super) fn unlimited() -> Self {
        Self(Arc::new(Mutex::new(Room { limit: usize::MAX, taken: 0, waiting: Vec::new() })))
    }

    pub(super) fn set_limit(&self, limit: usize) {
        self.change(|room| room.limit = limit);
    }

    pub(super) fn taken(&self) -> usize {
        self.lock().taken
    }

    pub(super) fn poll_take(&self, task: &mut Context<'_>) -> Poll<Place> {
        let mut room = self.lock();
        if room.taken < room.limit {
            room.taken += 1;
            return Poll::Ready(Place(self.clone()));
        }
        if !room.waiting.iter().any(|waker| waker.will_wake(task.waker())) {
            room.waiting.push(task.waker().clone());
        }
        Poll::Pending
    }

    /// Changes the room and wakes all who wait: who finds no place waits again.
    fn change(&self, change: impl FnOnce(&mut Room)) {
        let waiting = {
            let mut room = self.lock();
            change(&mut room);
            std::mem::take(&mut room.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Room> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.change(|room| room.taken -= 1);
    }
}

//! What a double records: the calls, and what became of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::watch;

use super::places::{Place, Places};

/// What was done to a double, by all its clones together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Calls made.
    pub calls: usize,
    /// Calls whose future neither resolved nor was dropped.
    pub in_flight: usize,
    /// The most calls in flight at any moment.
    pub most_in_flight: usize,
    /// Calls whose future was dropped before it resolved.
    pub cancelled: usize,
    /// Streams that neither ended nor were dropped.
    pub open_streams: usize,
    /// Streams that were dropped before their end.
    pub dropped_streams: usize,
    /// Calls on a handle that had not been polled ready. Such a call panics too.
    pub unready_calls: usize,
}

/// What all clones of a double share, but for the script.
pub(super) struct Stage<C> {
    calls: Mutex<Vec<C>>,
    counts: watch::Sender<Counts>,
    pub(super) places: Places,
}

impl<C: Clone> Stage<C> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            calls: Mutex::new(Vec::new()),
            counts: watch::Sender::new(Counts::default()),
            places: Places::unlimited(),
        })
    }

    pub(super) fn calls(&self) -> Vec<C> {
        self.lock().clone()
    }

    pub(super) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    pub(super) async fn when(&self, mut is_so: impl FnMut(&Counts) -> bool) -> Counts {
        let mut counts = self.counts.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        counts.wait_for(|counts| is_so(counts)).await.map_or_else(|_| self.counts(), |counts| *counts)
    }

    /// Takes a place for a handle that has none.
    pub(super) fn poll_ready(&self, place: &mut Option<Place>, task: &mut Context<'_>) -> Poll<()> {
        if place.is_none() {
            *place = Some(std::task::ready!(self.places.poll_take(task)));
        }
        Poll::Ready(())
    }

    /// Records a call and gives its number, from 1.
    ///
    /// # Panics
    /// When the handle has no place.
    pub(super) fn begin(self: &Arc<Self>, call: &C, place: &mut Option<Place>) -> (usize, InFlight<C>) {
        let Some(place) = place.take() else {
            self.change(|counts| counts.unready_calls += 1);
            panic!(
                "called on a handle that was not polled ready: a clone starts unready, so call the handle that \
                 was polled, and leave the clone in its place (std::mem::swap)"
            );
        };
        let number = {
            let mut calls = self.lock();
            calls.push(call.clone());
            calls.len()
        };
        self.change(|counts| {
            counts.calls += 1;
            counts.in_flight += 1;
            counts.most_in_flight = counts.most_in_flight.max(counts.in_flight);
        });
        (number, InFlight { stage: self.clone(), resolved: false, _place: place })
    }

    pub(super) fn open_stream(self: &Arc<Self>) -> OpenStream<C> {
        self.change(|counts| counts.open_streams += 1);
        OpenStream { stage: self.clone(), ended: false }
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<C>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call in flight; it holds the place that its handle took.
pub(super) struct InFlight<C: Clone> {
    stage: Arc<Stage<C>>,
    resolved: bool,
    _place: Place,
}

impl<C: Clone> InFlight<C> {
    pub(super) fn resolved(mut self) {
        self.resolved = true;
    }
}

impl<C: Clone> Drop for InFlight<C> {
    fn drop(&mut self) {
        self.stage.change(|counts| {
            counts.in_flight -= 1;
            counts.cancelled += usize::from(!self.resolved);
        });
    }
}

/// A stream that is being read.
pub(super) struct OpenStream<C: Clone> {
    stage: Arc<Stage<C>>,
    ended: bool,
}

impl<C: Clone> OpenStream<C> {
    pub(super) fn ended(&mut self) {
        self.ended = true;
    }
}

impl<C: Clone> Drop for OpenStream<C> {
    fn drop(&mut self) {
        self.stage.change(|counts| {
            counts.open_streams -= 1;
            counts.dropped_streams += usize::from(!self.ended);
        });
    }
}

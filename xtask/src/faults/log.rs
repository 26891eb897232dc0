//! What the upstreams saw and did, in one list with one clock.

use super::plan::Who;
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// One request for a chat as an upstream saw it.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) who: Who,
    /// When it had arrived, from the scenario's start.
    pub(crate) at: Duration,
    /// Its body.
    pub(crate) request: Value,
    /// What the upstream does to it.
    pub(crate) did: String,
    /// Whether a whole answer was sent to the end.
    pub(crate) answered: bool,
    /// When the upstream last wrote something.
    pub(crate) last_write: Option<Duration>,
    /// When the other side closed the connection before the upstream was through with it.
    pub(crate) left: Option<Duration>,
}

/// The list and the clock, shared by both upstreams and the client.
#[derive(Debug, Clone)]
pub(crate) struct Log(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    start: Instant,
    attempts: Vec<Attempt>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner { start: Instant::now(), attempts: Vec::new() })))
    }

    /// From now on times are counted.
    pub(crate) fn start(&self) {
        self.lock().start = Instant::now();
    }

    pub(crate) fn now(&self) -> Duration {
        self.lock().start.elapsed()
    }

    pub(crate) fn at(&self, since_start: Duration) -> Instant {
        self.lock().start + since_start
    }

    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.lock().attempts.clone()
    }

    /// Notes an attempt; `did` is told how many `who` had before, and when this one arrived. Returns its place.
    pub(super) fn arrived<T>(
        &self,
        who: Who,
        request: Value,
        decide: impl FnOnce(usize, Duration) -> (T, String),
    ) -> (usize, T) {
        let mut inner = self.lock();
        let at = inner.start.elapsed();
        let before = inner.attempts.iter().filter(|attempt| attempt.who == who).count();
        let (decision, did) = decide(before, at);
        let attempt = Attempt { who, at, request, did, answered: false, last_write: None, left: None };
        inner.attempts.push(attempt);
        (inner.attempts.len() - 1, decision)
    }

    pub(super) fn wrote(&self, place: usize) {
        self.change(place, |attempt, now| attempt.last_write = Some(now));
    }

    pub(super) fn answered(&self, place: usize) {
        self.change(place, |attempt, _| attempt.answered = true);
    }

    pub(super) fn left(&self, place: usize) {
        self.change(place, |attempt, now| attempt.left = Some(now));
    }

    fn change(&self, place: usize, change: impl FnOnce(&mut Attempt, Duration)) {
        let mut inner = self.lock();
        let now = inner.start.elapsed();
        if let Some(attempt) = inner.attempts.get_mut(place) {
            change(attempt, now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The attempts made for one call: the ledger that retry and router share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, ErrorKind};

/// One attempt that has ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Attempt {
    /// The deployment that was asked.
    pub deployment: Arc<str>,
    /// What went wrong; `None` when it answered.
    pub failure: Option<ErrorKind>,
    /// How long it took, to the head of the answer or to the failure.
    pub took: Duration,
}

/// An attempt that has begun.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Begun {
    /// Which attempt of the call it is, from 1.
    pub number: u32,
    /// When it began.
    pub at: Instant,
}

/// The attempts of one call, shared by all clones of its context.
#[derive(Debug, Clone, Default)]
pub struct Attempts(Arc<Mutex<Ledger>>);

#[derive(Debug, Default)]
struct Ledger {
    ended: Vec<Attempt>,
    errors: Vec<Error>,
    begun: u32,
}

impl Attempts {
    /// Notes that an attempt is made now.
    pub fn begin(&self) -> Begun {
        self.begin_at(Instant::now())
    }

    /// As [`begin`](Self::begin), for who has just looked at the clock.
    pub fn begin_at(&self, now: Instant) -> Begun {
        let mut ledger = self.lock();
        ledger.begun = ledger.begun.saturating_add(1);
        Begun { number: ledger.begun, at: now }
    }

    /// Notes how an attempt at `deployment` has ended now.
    pub fn end(&self, begun: Begun, deployment: impl Into<Arc<str>>, error: Option<&Error>) {
        self.end_at(begun, Instant::now(), deployment, error);
    }

    /// As [`end`](Self::end), for who has just looked at the clock.
    pub fn end_at(&self, begun: Begun, now: Instant, deployment: impl Into<Arc<str>>, error: Option<&Error>) {
        let (failure, took) = (error.map(Error::kind), now.saturating_duration_since(begun.at));
        let mut ledger = self.lock();
        ledger.ended.push(Attempt { deployment: deployment.into(), failure, took });
        ledger.errors.extend(error.cloned());
    }

    /// Notes that the answer of `deployment` broke off after its head had come: the attempt failed after all.
    pub fn broke_off(&self, deployment: &str, error: &Error) {
        let mut ledger = self.lock();
        let last = ledger.ended.iter_mut().rev().find(|attempt| &*attempt.deployment == deployment);
        if let Some(attempt) = last.filter(|attempt| attempt.failure.is_none()) {
            attempt.failure = Some(error.kind());
            ledger.errors.push(error.clone());
        }
    }

    /// How many attempts were begun.
    pub fn len(&self) -> u32 {
        self.lock().begun
    }

    /// Whether none was begun.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The attempts that have ended, oldest first.
    pub fn ended(&self) -> Vec<Attempt> {
        self.lock().ended.clone()
    }

    /// The errors of those that failed, oldest first: the list that the caller gets when all fail (S1.6).
    pub fn errors(&self) -> Vec<Error> {
        self.lock().errors.clone()
    }

    /// Looks at the errors of those that failed, oldest first, without copying them. `look` must not use the ledger.
    pub fn look<T>(&self, look: impl FnOnce(&[Error]) -> T) -> T {
        look(&self.lock().errors)
    }

    /// Whether `deployment` has failed in this call.
    pub fn has_failed(&self, deployment: &str) -> bool {
        let ledger = self.lock();
        ledger.ended.iter().any(|attempt| attempt.failure.is_some() && &*attempt.deployment == deployment)
    }

    /// Whether nobody else holds the ledger and nothing is in it.
    pub(crate) fn is_unused(&self) -> bool {
        Arc::strong_count(&self.0) == 1 && self.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        // The ledger is plain data: a panic elsewhere leaves it as good as it was.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The places of a deployment, shared by all handles.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_provider_core::{Error, ErrorKind, ReportHeadroom};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::config::BulkheadConfig;

#[derive(Debug)]
pub(super) struct Hull {
    config: BulkheadConfig,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    admitted: AtomicU64,
    waited: AtomicU64,
    refused: AtomicU64,
    /// How long a place is held of late, in microseconds; 0 until one came back.
    held: AtomicU64,
}

impl Hull {
    pub(super) fn new(config: BulkheadConfig) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(config.max_parallel));
        Arc::new(Self {
            config,
            places,
            waiting: AtomicUsize::new(0),
            admitted: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            held: AtomicU64::new(0),
        })
    }

    /// A place, if one is free and nobody waits for it.
    pub(super) fn try_enter(self: &Arc<Self>, now: Instant) -> Option<Place> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        self.admitted.fetch_add(1, Ordering::Relaxed);
        Some(Place { hull: self.clone(), since: now, _permit: permit })
    }

    /// A spot in the queue.
    ///
    /// # Errors
    /// The refusal, counted, when the queue is full or the call could not wait.
    pub(super) fn queue(self: &Arc<Self>, now: Instant, deadline: Option<Instant>) -> Result<Waiting, Error> {
        let until = now + self.config.max_wait;
        let until = deadline.map_or(until, |deadline| deadline.min(until));
        let joined = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            (waiting < self.config.max_queue && until > now).then_some(waiting + 1)
        });
        match joined {
            Ok(_) => Ok(Waiting { hull: self.clone(), until }),
            Err(_) => Err(self.refused()),
        }
    }

    /// The error for a call without a place, which is counted.
    fn refused(&self) -> Error {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let message = "as many calls as the deployment may have are under way";
        let mut error = Error::new(ErrorKind::LimitReached, message).with_retry_after(self.next_place());
        if !self.config.deployment.is_empty() {
            error = error.with_deployment(self.config.deployment.clone());
        }
        error
    }

    /// When a place is likely to be free: one comes back in each `held / max_parallel`, and some wait already.
    fn next_place(&self) -> Duration {
        let held = match self.held.load(Ordering::Relaxed) {
            0 => self.config.max_wait,
            held => Duration::from_micros(held),
        };
        let turn = self.waiting.load(Ordering::Relaxed).saturating_add(1);
        held.mul_f64(turn as f64 / self.config.max_parallel as f64)
    }
}

/// A place among the calls that run. Dropped, it is free.
#[derive(Debug)]
pub(super) struct Place {
    hull: Arc<Hull>,
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let held = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
        // Two at once may overwrite each other: it is a guess anyway.
        let before = self.hull.held.load(Ordering::Relaxed);
        let mean = if before == 0 { held } else { before - before / 8 + held / 8 };
        self.hull.held.store(mean.max(1), Ordering::Relaxed);
    }
}

/// A spot in the queue. Dropped, it is free.
#[derive(Debug)]
pub(super) struct Waiting {
    hull: Arc<Hull>,
    until: Instant,
}

impl Waiting {
    /// A place, in the order of coming.
    ///
    /// # Errors
    /// The refusal, counted, when none was free in time.
    pub(super) async fn place(self) -> Result<Place, Error> {
        let places = self.hull.places.clone();
        match tokio::time::timeout_at(self.until, places.acquire_owned()).await {
            Ok(Ok(permit)) => {
                self.hull.admitted.fetch_add(1, Ordering::Relaxed);
                self.hull.waited.fetch_add(1, Ordering::Relaxed);
                Ok(Place { hull: self.hull.clone(), since: Instant::now(), _permit: permit })
            }
            // Nobody closes the semaphore.
            Ok(Err(_)) | Err(_) => Err(self.hull.refused()),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.hull.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A bulkhead, to be read. Cloning copies a pointer.
#[derive(Clone)]
pub struct BulkheadHandle(Arc<Hull>);

impl BulkheadHandle {
    pub(super) fn new(hull: Arc<Hull>) -> Self {
        Self(hull)
    }

    /// The deployment's name.
    pub fn deployment(&self) -> &str {
        &self.0.config.deployment
    }

    /// What it counted, and how it stands.
    pub fn stats(&self) -> BulkheadStats {
        let hull = &*self.0;
        let free = hull.places.available_permits();
        BulkheadStats {
            max_parallel: hull.config.max_parallel,
            in_flight: hull.config.max_parallel.saturating_sub(free),
            waiting: hull.waiting.load(Ordering::Relaxed),
            admitted: hull.admitted.load(Ordering::Relaxed),
            waited: hull.waited.load(Ordering::Relaxed),
            refused: hull.refused.load(Ordering::Relaxed),
        }
    }
}

/// The share of the places that are free.
impl ReportHeadroom for BulkheadHandle {
    fn headroom(&self, _now: Instant) -> f32 {
        self.0.places.available_permits() as f32 / self.0.config.max_parallel as f32
    }
}

impl fmt::Debug for BulkheadHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkheadHandle")
            .field("deployment", &self.deployment())
            .field("stats", &self.stats())
            .finish()
    }
}

/// How a bulkhead stands, and what it counted since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BulkheadStats {
    /// How many calls may run at once.
    pub max_parallel: usize,
    /// How many run.
    pub in_flight: usize,
    /// How many wait.
    pub waiting: usize,
    /// Calls that got a place.
    pub admitted: u64,
    /// Those of them that had to wait for it.
    pub waited: u64,
    /// Calls refused for want of a place in time.
    pub refused: u64,
}

//! Breakers that must not all open.

use std::fmt;

use crate::sync::{Arc, AtomicUsize, Ordering};

/// The breakers of deployments that stand in for each other. Only a share of them may be open at once, at least one:
/// when most of a pool fails, the fault is likely elsewhere (a network, a bad rollout of the caller's), and serving
/// nobody is worse than trying (B11).
///
/// A breaker joins when it is built with [`BreakerBuilder::pool`](crate::BreakerBuilder::pool) and leaves when it is
/// dropped. Parked and forced breakers stay what they are, whatever the share; parked ones use it up.
#[derive(Clone)]
pub struct BreakerPool(Arc<Shared>);

struct Shared {
    share: f64,
    members: AtomicUsize,
    open: AtomicUsize,
}

impl BreakerPool {
    /// A pool of which `share` may be open: 0.1 is a tenth. It is held between 0 and 1; one may always be.
    pub fn new(share: f64) -> Self {
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        Self(Arc::new(Shared { share, members: AtomicUsize::new(0), open: AtomicUsize::new(0) }))
    }

    /// How many breakers are in it.
    pub fn members(&self) -> usize {
        self.0.members.load(Ordering::Acquire)
    }

    /// How many of them are open, half-open or parked.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Acquire)
    }

    pub(crate) fn join(&self) -> Seat {
        self.0.members.fetch_add(1, Ordering::AcqRel);
        Seat { pool: Some(self.clone()), taken: false }
    }

    fn most(&self) -> usize {
        // Members are far below 2^53, and the share is at most 1.
        ((self.members() as f64 * self.0.share) as usize).max(1)
    }
}

impl Default for BreakerPool {
    /// A tenth, at least one.
    fn default() -> Self {
        Self::new(0.1)
    }
}

impl fmt::Debug for BreakerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerPool")
            .field("share", &self.0.share)
            .field("members", &self.members())
            .field("open", &self.open())
            .finish()
    }
}

/// One breaker's membership, and whether it counts as open. Without a pool everything is allowed.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    pool: Option<BreakerPool>,
    taken: bool,
}

impl Seat {
    /// Counts as open from now on, if the pool allows it.
    pub(crate) fn take(&mut self) -> bool {
        let Some(pool) = self.pool.as_ref().filter(|_| !self.taken) else { return true };
        let most = pool.most();
        let one_more = |open: usize| (open < most).then_some(open + 1);
        self.taken = pool.0.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok();
        self.taken
    }

    /// Counts as open from now on, whatever the pool allows.
    pub(crate) fn claim(&mut self) {
        if let Some(pool) = self.pool.as_ref().filter(|_| !self.taken) {
            pool.0.open.fetch_add(1, Ordering::AcqRel);
            self.taken = true;
        }
    }

    /// No longer counts as open.
    pub(crate) fn leave(&mut self) {
        if let Some(pool) = self.pool.as_ref().filter(|_| self.taken) {
            pool.0.open.fetch_sub(1, Ordering::AcqRel);
            self.taken = false;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
        if let Some(pool) = &self.pool {
            pool.0.members.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

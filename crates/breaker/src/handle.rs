//! What an operator and a router hold of a breaker.

use std::fmt;

use mainstay_provider_core::{Availability, ErrorKind, ReportAvailability};
use tokio::time::Instant;

use crate::circuit::Circuit;
use crate::state::{Machine, State};
use crate::sync::Arc;

/// A breaker, to be read and to be forced. Cloning copies a pointer.
#[derive(Clone)]
pub struct BreakerHandle(Arc<Circuit>);

impl BreakerHandle {
    pub(crate) fn new(circuit: Arc<Circuit>) -> Self {
        Self(circuit)
    }

    /// The deployment's name.
    pub fn deployment(&self) -> &str {
        self.0.deployment()
    }

    /// What it does with calls just now.
    pub fn state(&self) -> State {
        self.0.state(Instant::now())
    }

    /// What it counted.
    pub fn stats(&self) -> BreakerStats {
        self.0.stats(Instant::now())
    }

    /// Refuses all calls until [`BreakerHandle::release`].
    pub fn force_open(&self) {
        self.0.change(|machine| ((), machine.force_open()));
    }

    /// Lets all calls through until [`BreakerHandle::release`], whatever becomes of them.
    pub fn force_closed(&self) {
        self.0.change(|machine| ((), machine.force_closed()));
    }

    /// Ends a forced state: the breaker is closed, with nothing counted against the deployment.
    pub fn release(&self) {
        let now = Instant::now();
        self.0.change(|machine| ((), machine.release(now)));
    }

    /// Closes it with nothing counted against the deployment; ends a pause and a parking too. A forced state stays.
    pub fn reset(&self) {
        let now = Instant::now();
        self.0.change(|machine| ((), machine.reset(now)));
    }

    /// Ends a parking: the key was changed, or the account put right.
    pub fn unpark(&self) {
        let now = Instant::now();
        self.0.change(|machine| ((), machine.unpark(now)));
    }
}

impl ReportAvailability for BreakerHandle {
    fn availability(&self, now: Instant) -> Availability {
        self.0.availability(now)
    }

    fn account_error(&self) -> Option<ErrorKind> {
        self.0.change(|machine| (machine.account_error(), None))
    }
}

impl fmt::Debug for BreakerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerHandle")
            .field("deployment", &self.deployment())
            .field("state", &self.state())
            .finish()
    }
}

/// What a breaker counted since it was made. Each admitted call ends in exactly one of `succeeded`, `failed`, `slow`,
/// `rate_limited`, `account_errors`, `not_counted` and `unseen`, or is still in `in_flight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerStats {
    /// What it does with calls just now.
    pub state: State,
    /// How often its state changed.
    pub generation: u64,
    /// Calls let through.
    pub admitted: u64,
    /// Calls refused.
    pub refused: u64,
    /// Calls let through and not judged yet.
    pub in_flight: u64,
    /// Complete answers.
    pub succeeded: u64,
    /// Failures of the deployment.
    pub failed: u64,
    /// Answers that came too slowly.
    pub slow: u64,
    /// 429s.
    pub rate_limited: u64,
    /// Errors of the account.
    pub account_errors: u64,
    /// Errors that say nothing of the deployment.
    pub not_counted: u64,
    /// Calls whose end nobody saw: dropped by the caller, or panicked.
    pub unseen: u64,
    /// Verdicts that came too late to matter, because the state had changed since the call was sent.
    pub late: u64,
    /// How often it opened.
    pub opened: u64,
    /// How often it would have opened, had its [pool](crate::BreakerPool) allowed it.
    pub held_closed: u64,
    /// Probes let through.
    pub probes: u64,
    /// Probes that did not end in time and lost their places.
    pub leases_expired: u64,
    /// Failures in a row, while it is closed.
    pub failures_in_a_row: u32,
    /// Calls in the sliding window; 0 without one.
    pub window_sent: u64,
    /// Those of them that failed.
    pub window_failed: u64,
}

impl BreakerStats {
    pub(crate) fn of(machine: &mut Machine, refused: u64, now: Instant) -> Self {
        let (counts, window) = (machine.counts(), machine.window(now));
        Self {
            state: machine.state(now),
            generation: machine.generation(),
            admitted: counts.admitted,
            refused,
            in_flight: counts.in_flight,
            succeeded: counts.succeeded,
            failed: counts.failed,
            slow: counts.slow,
            rate_limited: counts.rate_limited,
            account_errors: counts.account_errors,
            not_counted: counts.not_counted,
            unseen: counts.unseen,
            late: counts.late,
            opened: counts.opened,
            held_closed: counts.held_closed,
            probes: counts.probes,
            leases_expired: counts.leases_expired,
            failures_in_a_row: machine.failures_in_a_row(),
            window_sent: window.sent,
            window_failed: window.failed,
        }
    }
}

//! Whether a deployment takes calls just now: the breaker tells it, the router reads it.

use std::sync::Arc;

use tokio::time::Instant;

use crate::error::ErrorKind;

/// Whether a deployment takes calls just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Availability {
    /// It takes calls.
    Ready,
    /// It was down and takes one call as a trial. Somebody has to send it: without a trial it never comes back.
    HalfOpen,
    /// It refuses calls without touching the provider.
    Unavailable {
        /// When it may take calls again; `None` when only an operator's act ends it.
        until: Option<Instant>,
    },
}

impl Availability {
    /// Whether a call sent now is refused.
    pub fn is_unavailable(self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Tells whether it takes calls. Reading is cheap and changes nothing: a router reads it for each deployment at each
/// call.
pub trait ReportAvailability: Send + Sync {
    /// Whether it takes calls at `now`.
    fn availability(&self, now: Instant) -> Availability;

    /// The error of the account for which it takes no calls (a rejected key, credit used up), if that is why. Asked only
    /// when nobody takes a call, to tell the caller.
    fn account_error(&self) -> Option<ErrorKind> {
        None
    }
}

impl<T: ReportAvailability + ?Sized> ReportAvailability for Arc<T> {
    fn availability(&self, now: Instant) -> Availability {
        (**self).availability(now)
    }

    fn account_error(&self) -> Option<ErrorKind> {
        (**self).account_error()
    }
}

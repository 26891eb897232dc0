//! Where a call could go next: the router knows it, the retry layer acts on it.

use std::sync::Arc;

/// Where the next attempt of a call would go, as the router that made the failed one knows it. It overrules the
/// remedy of the error's kind: a retry layer waits before [`Next::Same`] and before nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Next {
    /// Another deployment of the same model takes the call at once.
    Peer,
    /// Only deployments that have failed in this call are left; one of them may be asked again after a back off.
    Same {
        /// Whether a fallback model takes the call instead, if it is asked for with [`Needs::fresh`].
        fallback: bool,
    },
    /// A deployment of a fallback model takes the call at once.
    Fallback,
    /// Nobody is left to be asked: the same call fails again whatever is done.
    Nowhere,
}

/// What a call needs of the deployment that is asked. A router leaves out all others; the default needs nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Needs {
    /// It has not failed in this call: the retries of those that have are used up.
    pub fresh: bool,
    /// It goes on with an assistant message that stands last (prefill).
    pub prefill: bool,
}

/// How much of a deployment's rate limits is left: the rate limiter tells it, the router reads it for each deployment
/// at each call, so reading is cheap and changes nothing.
pub trait ReportHeadroom: Send + Sync {
    /// The share that is left of the scarcest limit: 1 when nothing is used or nothing is known, 0 when a call sent
    /// now would be refused or wait. A limiter that foresees exhaustion lowers it before that.
    fn headroom(&self, now: tokio::time::Instant) -> f32;
}

impl<T: ReportHeadroom + ?Sized> ReportHeadroom for Arc<T> {
    fn headroom(&self, now: tokio::time::Instant) -> f32 {
        (**self).headroom(now)
    }
}

/// What is spent on attempts beyond the first: retries and hedges of all calls draw on the same (T1).
pub trait Allowance: Send + Sync {
    /// Takes one extra attempt out; `false` when nothing is left, and then none may be made. Atomic: of K callers on
    /// an allowance of M, M get one (T2).
    fn withdraw(&self) -> bool;
}

impl<T: Allowance + ?Sized> Allowance for Arc<T> {
    fn withdraw(&self) -> bool {
        (**self).withdraw()
    }
}

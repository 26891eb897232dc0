//! Who is to blame for an error.

use std::fmt;

use mainstay_provider_core::{Error, ErrorKind};

/// What an error says of the deployment. There is no word for success: a swallowed error can never count as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Blame {
    /// The deployment failed: counts in a row, and in the window.
    Deployment,
    /// Too many requests: with [`Error::retry_after`] the deployment is left alone for that time and nothing is
    /// counted; without it, it counts in the window, and never in a row.
    RateLimit,
    /// The account cannot be used: the breaker parks until the key is changed or the breaker reset.
    Account,
    /// It says nothing of the deployment: the request was wrong, or the call never got there.
    Nobody,
}

/// Says what an error means. The default is [`StandardPolicy`].
pub trait BreakerPolicy: Send + Sync {
    /// Who is to blame.
    fn blame(&self, error: &Error) -> Blame;
}

impl<F: Fn(&Error) -> Blame + Send + Sync> BreakerPolicy for F {
    fn blame(&self, error: &Error) -> Blame {
        self(error)
    }
}

/// By the error's kind:
///
/// | kind | blame |
/// |---|---|
/// | network, timeout, overloaded, server error, malformed response (a broken stream is one) | deployment |
/// | rate limited | rate limit |
/// | authentication, permission denied, quota exhausted | account |
/// | invalid request, context length, content filter, model not found, malformed tool call, our own limits and defects | nobody |
#[derive(Debug, Clone, Copy, Default)]
pub struct StandardPolicy;

impl BreakerPolicy for StandardPolicy {
    fn blame(&self, error: &Error) -> Blame {
        match error.kind() {
            ErrorKind::Network
            | ErrorKind::Timeout(_)
            | ErrorKind::Overloaded
            | ErrorKind::ServerError
            | ErrorKind::MalformedResponse => Blame::Deployment,
            ErrorKind::RateLimited => Blame::RateLimit,
            ErrorKind::Authentication | ErrorKind::PermissionDenied | ErrorKind::QuotaExhausted => {
                Blame::Account
            }
            // A 400 is the caller's fault: counted, one careless client would cut off a healthy deployment. A kind that
            // does not exist yet is not held against it either.
            _ => Blame::Nobody,
        }
    }
}

/// As [`StandardPolicy`], for a breaker beneath a rate limiter: a 429 that says for how long is the limiter's, which makes
/// calls wait in line instead of refusing them.
#[derive(Debug, Clone, Copy, Default)]
pub struct BehindRateLimit;

impl BreakerPolicy for BehindRateLimit {
    fn blame(&self, error: &Error) -> Blame {
        match StandardPolicy.blame(error) {
            Blame::RateLimit if error.retry_after().is_some() => Blame::Nobody,
            blame => blame,
        }
    }
}

impl fmt::Debug for dyn BreakerPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BreakerPolicy")
    }
}

//! What a provider says of its rate limits.

use std::time::Duration;

/// One limit, as the provider's headers give it. Unknown figures are `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// How many per window.
    pub limit: Option<u64>,
    /// How many are left in this window.
    pub remaining: Option<u64>,
    /// How long until the window is full again, counted from the answer.
    pub reset: Option<Duration>,
}

/// The limits in the headers of one answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimits {
    /// Requests.
    pub requests: RateLimit,
    /// Tokens of both kinds.
    pub tokens: RateLimit,
    /// Input tokens, where they are limited apart.
    pub input_tokens: RateLimit,
    /// Output tokens, where they are limited apart.
    pub output_tokens: RateLimit,
}

impl RateLimits {
    /// Whether the answer said nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

//! What one call wants of the cache: its directive, read once.

use std::time::Duration;

use mainstay_provider_core::{CacheDirective, CacheStatus, Error, ErrorKind};

use crate::config::ExactCacheConfig;
use crate::memory::Kept;

/// What one call wants of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wants {
    /// Entries are looked at.
    pub(crate) look: bool,
    /// The answer is kept.
    pub(crate) store: bool,
    /// Nobody is asked.
    pub(crate) only: bool,
    /// An answer that calls tools is kept too.
    pub(crate) tool_calls: bool,
    /// How long the answer is fresh.
    pub(crate) ttl: Duration,
    max_age: Option<Duration>,
    max_stale: Option<Duration>,
}

impl Wants {
    pub(crate) fn new(directive: CacheDirective, config: &ExactCacheConfig, tool_calls: bool) -> Self {
        let CacheDirective { no_cache, no_store, force, only_if_cached, max_age, max_stale, .. } = directive;
        // A call that takes no entry of any age asks anew, as with `no_cache`.
        let anew = no_cache || max_age == Some(Duration::ZERO);
        let max_age = max_age.filter(|age| !age.is_zero());
        Self {
            look: !anew,
            store: !no_store,
            only: only_if_cached,
            tool_calls: tool_calls || force,
            ttl: max_age.map_or(config.ttl, |age| age.min(config.max_ttl)),
            max_age,
            max_stale,
        }
    }

    /// Whether the call takes an entry, and what its reply says of that.
    pub(crate) fn takes(&self, kept: &Kept) -> Option<CacheStatus> {
        let age = kept.age();
        if !self.look || self.max_age.is_some_and(|oldest| age > oldest) {
            return None;
        }
        if age < kept.ttl {
            return Some(CacheStatus::Hit { age });
        }
        self.max_stale
            .is_some_and(|longest| age.saturating_sub(kept.ttl) <= longest)
            .then_some(CacheStatus::Stale { age })
    }
}

/// The answer to a call that wants a cached one or none, when there is none.
pub(crate) fn not_in_the_cache() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the cache has no answer for this call, and it asked for a cached one only",
    )
    .with_status(504)
    .with_code("not_in_cache")
    .with_retryable(false)
}

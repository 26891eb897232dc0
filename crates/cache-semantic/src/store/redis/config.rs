//! The settings of the log in Redis.

use std::fmt;
use std::time::{Duration, SystemTime};

use mainstay_provider_core::Digest;

use super::super::clock::Clock;

/// The settings of a [`RedisStore`](super::RedisStore).
#[derive(Clone)]
pub struct RedisConfig {
    pub(super) url: String,
    pub(super) embedder: String,
    pub(super) prefix: String,
    pub(super) max_entries: u64,
    pub(super) max_waiting: usize,
    pub(super) timeout: Duration,
    pub(super) clock: Clock,
}

impl RedisConfig {
    /// In the Redis at this address (`redis://host:6379/0`), of entries whose vectors are of this embedder (its whole
    /// identity). Each embedder has a stream of its own, so two never meet.
    pub fn new(url: impl Into<String>, embedder: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            embedder: embedder.into(),
            prefix: "mainstay:semantic".to_owned(),
            max_entries: 100_000,
            max_waiting: 16 << 20,
            timeout: Duration::from_millis(50),
            clock: Clock::default(),
        }
    }

    /// What the stream's name begins with; `mainstay:semantic` when not set.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How many changes the stream holds, about; 100,000 when not set. The oldest go.
    #[must_use]
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.max_entries = entries;
        self
    }

    /// How many bytes of new entries may wait for Redis; 16 MiB when not set. The others do not hear of more.
    #[must_use]
    pub fn max_waiting(mut self, bytes: usize) -> Self {
        self.max_waiting = bytes;
        self
    }

    /// How long a purge waits for Redis; 50 ms when not set.
    #[must_use]
    pub fn timeout(mut self, longest: Duration) -> Self {
        self.timeout = longest;
        self
    }

    /// Where the time of day comes from; the system when not set.
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Clock::of(now);
        self
    }

    /// The name of the stream.
    pub(super) fn stream(&self) -> String {
        format!("{}:{}", self.prefix, Digest::sha256(self.embedder.as_bytes()))
    }
}

/// The address may hold a password.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("embedder", &self.embedder)
            .field("prefix", &self.prefix)
            .field("max_entries", &self.max_entries)
            .field("max_waiting", &self.max_waiting)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRedis {
    /// No address.
    #[error("that is no address of a Redis")]
    Url(#[source] Box<dyn std::error::Error + Send + Sync>),
}

//! Where answers are kept.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use mainstay_provider_core::{BoxError, Recording};

use crate::key::{Key, Scope};

/// What a store gives back.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A second level behind the cache in memory, shared by several processes. The cache puts a timeout and a circuit around
/// it, so a store need not bound its time.
///
/// What is written under one key is never read under another, nor changed or removed by anything about another scope than
/// the key's. Feature `test-kit` has the contract suite that says so ([`contract`](crate::contract)).
pub trait ExactStore: Send + Sync + 'static {
    /// The entry of a key, fresh or stale; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for what is there and is not an entry of this key; it counts as a miss and is removed.
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Entry>>;

    /// Keeps an entry, for as long as [`Entry::kept_for`] says. What was there is replaced.
    fn put<'a>(&'a self, key: &'a Key, entry: &'a Entry) -> StoreFuture<'a, ()>;

    /// Forgets an entry.
    fn remove<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, ()>;

    /// Forgets all entries of a scope; says how many there were.
    fn clear<'a>(&'a self, scope: &'a Scope) -> StoreFuture<'a, u64>;

    /// Whether it answers.
    fn ping(&self) -> StoreFuture<'_, ()>;

    /// The cache has waited for an answer of the store for too long: what it waited on, a connection for instance, is not to
    /// be relied on.
    fn timed_out(&self) {}
}

/// An answer in a store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry {
    /// The answer.
    pub recording: Recording,
    /// How old it is.
    pub age: Duration,
    /// Up to which age it is fresh.
    pub ttl: Duration,
    /// How much longer it is kept, stale.
    pub stale_for: Duration,
}

impl Entry {
    /// A new entry.
    pub fn new(recording: Recording, ttl: Duration, stale_for: Duration) -> Self {
        Self { recording, age: Duration::ZERO, ttl, stale_for }
    }

    /// How long it is kept in all, from its beginning.
    pub fn kept_for(&self) -> Duration {
        self.ttl.saturating_add(self.stale_for)
    }

    /// Whether its time is not over.
    pub fn is_fresh(&self) -> bool {
        self.age < self.ttl
    }

    /// How long its time has been over.
    pub fn stale_since(&self) -> Duration {
        self.age.saturating_sub(self.ttl)
    }
}

/// Why a store did not do what it was asked. The cache makes a miss of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached, or failed.
    #[error("the store of the exact cache failed")]
    Failed(#[source] BoxError),
    /// It did not answer in time.
    #[error("the store of the exact cache did not answer in time")]
    TimedOut,
    /// What it gave is not an entry of this key.
    #[error("the store of the exact cache gave a damaged entry")]
    Damaged,
    /// It is left alone for a while because it failed.
    #[error("the store of the exact cache is left alone for a while, because it failed")]
    LeftAlone,
}

//! Where the questions and their answers are kept.

#[cfg(any(feature = "log", feature = "redis"))]
mod clock;
#[cfg(feature = "test-kit")]
pub mod contract;
#[cfg(feature = "log")]
mod log;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "log", feature = "redis"))]
mod record;
#[cfg(feature = "redis")]
mod redis;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mainstay_provider_core::{Namespace, Recording};

#[cfg(feature = "log")]
pub use self::log::{LogConfig, LogStats, LogStore, OpenError};
pub use self::memory::{InvalidMemory, MemoryConfig, MemoryStore};
#[cfg(feature = "postgres")]
pub use self::postgres::{InvalidPostgres, PgIndex, PostgresConfig, PostgresStore};
#[cfg(feature = "redis")]
pub use self::redis::{InvalidRedis, RedisConfig, RedisStats, RedisStore};
use crate::partition::Partition;

/// What a store gives back. A store in memory gives a future that is ready at once.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The questions and their answers. Nothing is ever found, changed or removed in another partition than the one that
/// is given.
pub trait SemanticStore: Send + Sync + 'static {
    /// The nearest questions of the partition, nearest first, at most `k`.
    fn nearest<'a>(
        &'a self,
        partition: &'a Partition,
        vector: &'a [f32],
        k: usize,
    ) -> StoreFuture<'a, Vec<Neighbour>>;

    /// The question of exactly this text.
    fn by_text<'a>(&'a self, partition: &'a Partition, text: &'a str) -> StoreFuture<'a, Option<Neighbour>>;

    /// The answer of an entry, which counts as a use of it.
    fn fetch<'a>(&'a self, partition: &'a Partition, id: EntryId) -> StoreFuture<'a, Option<Recording>>;

    /// Keeps an entry; one of the same text in the partition is replaced.
    fn insert<'a>(&'a self, partition: &'a Partition, entry: NewEntry) -> StoreFuture<'a, ()>;

    /// From now on the entry is for questions nearer than `above` only. It never falls.
    fn tighten<'a>(&'a self, partition: &'a Partition, id: EntryId, above: f32) -> StoreFuture<'a, ()>;

    /// Forgets an entry.
    fn remove<'a>(&'a self, partition: &'a Partition, id: EntryId) -> StoreFuture<'a, ()>;

    /// Forgets all of a namespace; says how many entries that were.
    fn purge<'a>(&'a self, namespace: &'a Namespace) -> StoreFuture<'a, u64>;

    /// How full it is.
    fn stats(&self) -> StoreStats;
}

/// The name of an entry: a random number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub u128);

/// An entry to be kept.
#[derive(Clone)]
pub struct NewEntry {
    /// Its name.
    pub id: EntryId,
    /// The question, normalised: the user's last turn.
    pub text: Arc<str>,
    /// Where it stands, of length 1.
    pub vector: Arc<[f32]>,
    /// The answer.
    pub recording: Recording,
    /// How long it is kept.
    pub ttl: Duration,
    /// What a hit is worth, for eviction: nano-USD, or tokens.
    pub saves: u64,
}

/// A question near to the one that was asked.
#[derive(Clone)]
pub struct Neighbour {
    /// Its entry.
    pub id: EntryId,
    /// How near it is: the cosine.
    pub score: f32,
    /// The question.
    pub text: Arc<str>,
    /// How old the entry is.
    pub age: Duration,
    /// Its own, higher threshold after a confirmed wrong hit.
    pub tightened: Option<f32>,
}

/// How full a store is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Entries.
    pub entries: u64,
    /// Partitions with entries.
    pub partitions: u64,
    /// Bytes, as far as the store knows.
    pub bytes: u64,
    /// Entries that had to go for others.
    pub evictions: u64,
    /// New entries that were not worth the place of an older one.
    pub refused: u64,
}

/// A store that did not answer, or not well. The layer makes a miss of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached.
    #[error("the store of the semantic cache cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It gave something that is not an entry.
    #[error("the store of the semantic cache gave a damaged entry")]
    Damaged,
    /// A vector of another length than the ones before it.
    #[error("a vector of length {given} does not fit an index of length {wanted}")]
    Dimensions {
        /// What was given.
        given: usize,
        /// What fits.
        wanted: usize,
    },
    /// A vector of nothing, or with a part that is no number.
    #[error("an embedding that is no vector")]
    NotAVector,
}

/// The future of what is there already.
fn at_once<'a, T: Send + 'a>(result: Result<T, StoreError>) -> StoreFuture<'a, T> {
    Box::pin(std::future::ready(result))
}

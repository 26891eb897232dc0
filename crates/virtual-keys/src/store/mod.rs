//! Where keys are kept.

mod file;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;

use std::future::Future;
use std::pin::Pin;

use mainstay_provider_core::BoxError;

pub use self::file::FileStore;
pub use self::memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use self::postgres::{PostgresConfig, PostgresStore};
#[cfg(feature = "redis")]
pub use self::redis::{RedisConfig, RedisStore};
use crate::id::KeyId;
use crate::record::VirtualKey;

/// What a store gives back.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where keys are kept: a number that grows with each change, and a record for each key.
///
/// No call waits for it: a [`KeyRing`](crate::KeyRing) reads it in the background and puts a timeout around it. Feature
/// `test-kit` has the contract suite of stores ([`contract`](crate::contract)).
pub trait KeyStore: Send + Sync + 'static {
    /// All keys, if they are not those of the state `known` any more; `None` when nothing has changed since.
    fn read(&self, known: Option<u64>) -> StoreFuture<'_, Option<Snapshot>>;

    /// Writes a record if the one that is there has [`VirtualKey::revision`], or if none is there and that is 0. Gives the
    /// record with its new revision.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody else was quicker.
    fn write(&self, key: VirtualKey) -> StoreFuture<'_, VirtualKey>;

    /// Forgets a key if its record has this revision.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody else was quicker, or there is none.
    fn delete<'a>(&'a self, id: &'a KeyId, revision: u64) -> StoreFuture<'a, ()>;
}

/// All keys at one time.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Snapshot {
    /// The state of the store. A later one is greater, and none comes twice, also if the store was made anew in between.
    pub revision: u64,
    /// The keys, in no order.
    pub keys: Vec<VirtualKey>,
    /// Records that cannot be read; their keys are not taken.
    pub damaged: usize,
}

impl Snapshot {
    /// All keys at one time.
    pub fn new(revision: u64, keys: Vec<VirtualKey>) -> Self {
        Self { revision, keys, damaged: 0 }
    }

    /// Reads each record; those that cannot be read are counted.
    #[cfg(any(feature = "postgres", feature = "redis"))]
    async fn of_texts(
        revision: u64,
        texts: Vec<String>,
        read: fn(&str) -> Option<VirtualKey>,
    ) -> Result<Self, StoreError> {
        off_the_runtime(texts.len(), move || {
            let keys: Vec<_> = texts.iter().filter_map(|text| read(text)).collect();
            Self { revision, damaged: texts.len() - keys.len(), keys }
        })
        .await
    }
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody else has changed the key in the meantime, or it is gone.
    #[error("the key was changed by somebody else in the meantime; read it again")]
    Conflict,
    /// The store cannot be reached, or failed.
    #[error("the store of the keys failed")]
    Failed(#[source] BoxError),
    /// It did not answer in time.
    #[error("the store of the keys did not answer in time")]
    TimedOut,
    /// What is there is no store of keys.
    #[error("what is there is no store of keys that can be read: {0}")]
    Damaged(String),
}

impl StoreError {
    pub(crate) fn failed(error: impl Into<BoxError>) -> Self {
        Self::Failed(error.into())
    }
}

/// Does what takes long with many keys where no call waits for it.
pub(crate) async fn off_the_runtime<T: Send + 'static>(
    keys: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    const FEW: usize = 500;
    match keys {
        ..=FEW => Ok(work()),
        _ => tokio::task::spawn_blocking(work).await.map_err(StoreError::failed),
    }
}

/// The revision after this one: the time in microseconds, so that a store that was emptied and filled again never comes to
/// one that it has had before.
fn next_revision(last: u64, now_ms: u64) -> u64 {
    last.saturating_add(1).max(now_ms.saturating_mul(1000))
}

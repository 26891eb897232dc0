//! Entries in this process that outlive it: a log on disk.

mod file;
mod frame;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use mainstay_provider_core::{Namespace, Recording};

use self::file::LogFile;
use self::writer::Writer;
use super::clock::Clock;
use super::memory::MemoryStore;
use super::record::{Kept, Record};
use super::{EntryId, Neighbour, NewEntry, SemanticStore, StoreError, StoreFuture, StoreStats, at_once};
use crate::partition::Partition;

/// A [`MemoryStore`] whose entries are there again after a restart.
///
/// Every change is added to the end of one file, with a checksum, by a thread of its own: an insert hands its bytes
/// over and goes on. What the power cut tore off is cut off when the file is opened, what is damaged in the middle is
/// left out; nothing that is not whole is ever answered with. When half of the file is about entries that are gone, it
/// is written anew beside the old one and put in its place.
///
/// # Cancellation
/// A dropped insert is in the file all the same. When the store is dropped, its thread writes what it was given and
/// ends; [`close`](Self::close) waits for that.
///
/// # How it fails
/// A disk that is full or slow costs entries after a restart, never an answer and never an error: what cannot be
/// written is counted in [`LogStats::lost`]. A purge alone says so when it did not reach the disk.
#[derive(Clone)]
pub struct LogStore(Arc<Inner>);

struct Inner {
    memory: MemoryStore,
    clock: Clock,
    writer: Writer,
    /// Held by whoever forgets, shared by whoever adds: so that the file tells both in the order in which they happened.
    order: RwLock<()>,
}

/// The settings of a [`LogStore`].
#[derive(Debug, Clone)]
pub struct LogConfig {
    path: PathBuf,
    embedder: String,
    sync_every: Duration,
    compact_from: u64,
    max_waiting: usize,
    clock: Clock,
}

impl LogConfig {
    /// A log in this file, of entries whose vectors are of this embedder (its whole identity: model, revision,
    /// quantisation, length).
    pub fn new(path: impl Into<PathBuf>, embedder: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            embedder: embedder.into(),
            sync_every: Duration::from_secs(1),
            compact_from: 4 << 20,
            max_waiting: 16 << 20,
            clock: Clock::default(),
        }
    }

    /// How often what was written is forced to the disk; 1 s when not set. That much is lost when the power fails.
    #[must_use]
    pub fn sync_every(mut self, interval: Duration) -> Self {
        self.sync_every = interval;
        self
    }

    /// A file smaller than this is never written anew; 4 MiB when not set.
    #[must_use]
    pub fn compact_from(mut self, bytes: u64) -> Self {
        self.compact_from = bytes;
        self
    }

    /// How many bytes may wait for the disk; 16 MiB when not set. More are not kept in the file.
    #[must_use]
    pub fn max_waiting(mut self, bytes: usize) -> Self {
        self.max_waiting = bytes;
        self
    }

    /// Where the time of day comes from; the system when not set.
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Clock::of(now);
        self
    }
}

/// What the log went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// Bytes of the file.
    pub bytes: u64,
    /// Entries read when it was opened.
    pub restored: u64,
    /// Bytes that were damaged or torn when it was opened.
    pub damaged: u64,
    /// Changes that could not be written.
    pub lost: u64,
    /// How often it was written anew.
    pub compactions: u64,
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The disk said no.
    #[error("the log {} of the semantic cache cannot be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: std::io::Error,
    },
    /// Its vectors are another embedder's, and mean nothing beside ours.
    #[error("{} holds vectors of the embedder {found}, not of {wanted}: use another file, or delete this one", path.display())]
    OtherEmbedder {
        /// The file.
        path: PathBuf,
        /// Whose vectors it holds.
        found: String,
        /// Whose were asked for.
        wanted: String,
    },
    /// It is something else, and is left alone.
    #[error("{} is no log of the semantic cache, or one of another version", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// Another process, or another store of this one, writes to it.
    #[error("{} is in use", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

impl LogStore {
    /// Reads the file, or makes it, and fills `memory` with the entries that are still good. It blocks as long as the
    /// disk needs.
    ///
    /// # Errors
    /// When the file is not ours, of another embedder, in use, or cannot be read and written.
    pub fn open(config: LogConfig, memory: MemoryStore) -> Result<Self, OpenError> {
        let LogConfig { path, embedder, clock, .. } = &config;
        let mut file = LogFile::open(path, embedder)?;
        let now = clock.millis();
        let read = file.replay(|record| record.apply(&memory, now)).map_err(|source| io(path, source))?;
        let stats = LogStats {
            bytes: file.len(),
            restored: memory.stats().entries,
            damaged: read.damaged,
            ..LogStats::default()
        };
        let clock = clock.clone();
        let writer = Writer::start(file, config, memory.clone(), stats)?;
        Ok(Self(Arc::new(Inner { memory, clock, writer, order: RwLock::new(()) })))
    }

    /// The entries.
    pub fn memory(&self) -> &MemoryStore {
        &self.0.memory
    }

    /// What the log went through.
    pub fn log_stats(&self) -> LogStats {
        self.0.writer.stats()
    }

    /// Waits until all that happened so far is on the disk.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.0.writer.flush().await
    }

    /// The same, and gives the file back. Later changes stay in memory.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.0.writer.close().await
    }

    fn adding<T>(&self, change: impl FnOnce(&Inner) -> T) -> T {
        let _shared = self.0.order.read().unwrap_or_else(PoisonError::into_inner);
        change(&self.0)
    }

    fn forgetting<T>(&self, change: impl FnOnce(&Inner) -> T) -> T {
        let _alone = self.0.order.write().unwrap_or_else(PoisonError::into_inner);
        change(&self.0)
    }
}

impl SemanticStore for LogStore {
    fn nearest<'a>(
        &'a self,
        partition: &'a Partition,
        vector: &'a [f32],
        k: usize,
    ) -> StoreFuture<'a, Vec<Neighbour>> {
        self.0.memory.nearest(partition, vector, k)
    }

    fn by_text<'a>(&'a self, partition: &'a Partition, text: &'a str) -> StoreFuture<'a, Option<Neighbour>> {
        self.0.memory.by_text(partition, text)
    }

    fn fetch<'a>(&'a self, partition: &'a Partition, id: EntryId) -> StoreFuture<'a, Option<Recording>> {
        self.0.memory.fetch(partition, id)
    }

    fn insert<'a>(&'a self, partition: &'a Partition, entry: NewEntry) -> StoreFuture<'a, ()> {
        let added = self.adding(|inner| {
            inner.memory.insert_now(partition, &entry)?;
            let kept = Kept { entry, at: inner.clock.millis(), tightened: None };
            inner.writer.write(&Record::Insert(partition.clone(), kept));
            Ok(())
        });
        at_once(added)
    }

    fn tighten<'a>(&'a self, partition: &'a Partition, id: EntryId, above: f32) -> StoreFuture<'a, ()> {
        self.adding(|inner| {
            if inner.memory.tighten_now(partition, id, above) {
                inner.writer.write(&Record::Tighten(partition.clone(), id, above));
            }
        });
        at_once(Ok(()))
    }

    fn remove<'a>(&'a self, partition: &'a Partition, id: EntryId) -> StoreFuture<'a, ()> {
        self.forgetting(|inner| {
            inner.memory.remove_now(partition, id);
            // Also when it is not there: it may have had to go for others, and would come back with the file.
            inner.writer.write(&Record::Remove(partition.clone(), id));
        });
        at_once(Ok(()))
    }

    fn purge<'a>(&'a self, namespace: &'a Namespace) -> StoreFuture<'a, u64> {
        let purged = self.forgetting(|inner| {
            let purged = inner.memory.purge_now(namespace);
            inner.writer.write(&Record::Purge(namespace.clone()));
            purged
        });
        Box::pin(async move {
            // The file written anew no longer holds what was purged.
            self.0.writer.compact().await?;
            Ok(purged)
        })
    }

    fn stats(&self) -> StoreStats {
        self.0.memory.stats()
    }
}

/// Questions and answers are the callers' data: only how many there are is shown.
impl fmt::Debug for LogStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogStore")
            .field("stats", &self.stats())
            .field("log", &self.log_stats())
            .finish_non_exhaustive()
    }
}

fn io(path: &Path, source: std::io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), source }
}

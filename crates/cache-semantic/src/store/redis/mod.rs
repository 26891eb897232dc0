//! Entries in this process, kept in step with those of others by a log in Redis.

mod books;
mod config;
mod follow;
mod outbox;
mod tasks;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mainstay_provider_core::{Namespace, Recording};
use tokio::sync::{oneshot, watch};

use self::books::Books;
pub use self::config::{InvalidRedis, RedisConfig};
use self::follow::{Follower, Id};
use self::outbox::Outbox;
use self::tasks::Tasks;
use super::clock::Clock;
use super::memory::MemoryStore;
use super::record::{Kept, Record};
use super::{EntryId, Neighbour, NewEntry, SemanticStore, StoreError, StoreFuture, StoreStats, at_once};
use crate::partition::Partition;

/// A [`MemoryStore`] that learns what the others learn: every change goes into one stream in Redis, and every gateway
/// follows it.
///
/// Questions are answered from this process alone, so Redis costs no time and its loss no answers: without it each
/// gateway goes on with what it knows, and what it learns meanwhile is told later (up to
/// [`RedisConfig::max_waiting`]). Who comes new reads the stream from its beginning. All agree in the end on the stream's
/// order: what was kept after a purge is there, what was kept before it is not. What one did oneself is so at once.
///
/// # How it fails
/// Whatever Redis gives that is no record of ours is left out and counted. Somebody who was away for so long that the
/// stream has lost what they did not read forgets everything and reads anew: an order to forget could have been in it.
/// While what others said before is read from the beginning, nothing is found: what is read first may have been forgotten since.
/// A purge is done here at once, and is an error when Redis did not hear of it within 50 ms; the others are told as soon
/// as it can be reached.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    memory: MemoryStore,
    clock: Clock,
    outbox: Outbox,
    state: Arc<State>,
    books: Arc<Mutex<Books>>,
    timeout: Duration,
    is_behind: watch::Receiver<bool>,
    tasks: Tasks,
}

/// What the tasks tell.
#[derive(Default)]
struct State {
    connected: AtomicBool,
    /// Whether a part only was read of what others said before, so that an order to forget it may come yet.
    is_part: AtomicBool,
    applied: AtomicU64,
    damaged: AtomicU64,
    resets: AtomicU64,
    unshared: AtomicU64,
}

/// How well it keeps in step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisStats {
    /// Whether the stream is being followed.
    pub connected: bool,
    /// Changes read from the stream.
    pub applied: u64,
    /// Values in the stream that were no changes.
    pub damaged: u64,
    /// How often everything was forgotten and read anew.
    pub resets: u64,
    /// Entries that others are not told of, since too many waited.
    pub unshared: u64,
}

impl RedisStore {
    /// Begins to follow the stream; outside a tokio runtime when it is first used in one. It does not wait for Redis: until it
    /// is there, this is a store in memory.
    ///
    /// # Errors
    /// When the settings are wrong.
    pub fn start(config: RedisConfig, memory: MemoryStore) -> Result<Self, InvalidRedis> {
        let client =
            redis::Client::open(config.url.as_str()).map_err(|error| InvalidRedis::Url(Box::new(error)))?;
        let stream = config.stream();
        let state = Arc::new(State::default());
        let (behind, is_behind) = watch::channel(true);
        let books = Arc::new(Mutex::new(Books::new()));
        let (outbox, sending) =
            outbox::new(client.clone(), stream.clone(), &config, state.clone(), books.clone());
        let follower = Follower {
            client,
            stream,
            memory: memory.clone(),
            clock: config.clock.clone(),
            state: state.clone(),
            books: books.clone(),
            behind,
            max_entries: config.max_entries,
            last: Id::default(),
        };
        let tasks = Tasks::new(sending, follower.run());
        tasks.begin();
        let RedisConfig { clock, timeout, .. } = config;
        Ok(Self(Arc::new(Inner { memory, clock, outbox, state, books, timeout, is_behind, tasks })))
    }

    /// The entries.
    pub fn memory(&self) -> &MemoryStore {
        &self.0.memory
    }

    /// How well it keeps in step.
    pub fn redis_stats(&self) -> RedisStats {
        let state = &*self.0.state;
        RedisStats {
            connected: state.connected.load(Ordering::Relaxed),
            applied: state.applied.load(Ordering::Relaxed),
            damaged: state.damaged.load(Ordering::Relaxed),
            resets: state.resets.load(Ordering::Relaxed),
            unshared: state.unshared.load(Ordering::Relaxed),
        }
    }

    /// Waits until all that is in the stream has been read once: before that, what others know may be missing.
    pub async fn caught_up(&self) {
        self.0.tasks.begin();
        // An error: nobody follows any more, and there is nothing to wait for.
        let _ = self.0.is_behind.clone().wait_for(|behind| !behind).await;
    }
}

impl Inner {
    /// Finds nothing as long as a part only is there. It is looked before and after: that may begin and end meanwhile.
    fn find<T>(&self, look: impl FnOnce(&MemoryStore) -> T) -> Option<T> {
        self.tasks.begin();
        let is_part = || self.state.is_part.load(Ordering::Acquire);
        if is_part() {
            return None;
        }
        let found = look(&self.memory);
        (!is_part()).then_some(found)
    }

    /// Does something here and tells the others.
    fn say<T>(
        &self,
        record: &Record,
        told: Option<oneshot::Sender<()>>,
        change: impl FnOnce(&MemoryStore) -> T,
    ) -> T {
        self.tasks.begin();
        let mut books = books(&self.books);
        let changed = change(&self.memory);
        self.outbox.post(&mut books, record, record.to_bytes(), told);
        changed
    }
}

fn books(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SemanticStore for RedisStore {
    fn nearest<'a>(
        &'a self,
        partition: &'a Partition,
        vector: &'a [f32],
        k: usize,
    ) -> StoreFuture<'a, Vec<Neighbour>> {
        let found = self.0.find(|memory| memory.nearest_now(partition, vector, k));
        at_once(found.unwrap_or_else(|| Ok(Vec::new())))
    }

    fn by_text<'a>(&'a self, partition: &'a Partition, text: &'a str) -> StoreFuture<'a, Option<Neighbour>> {
        at_once(Ok(self.0.find(|memory| memory.by_text_now(partition, text)).flatten()))
    }

    fn fetch<'a>(&'a self, partition: &'a Partition, id: EntryId) -> StoreFuture<'a, Option<Recording>> {
        self.0.memory.fetch(partition, id)
    }

    fn insert<'a>(&'a self, partition: &'a Partition, entry: NewEntry) -> StoreFuture<'a, ()> {
        let kept = Kept { entry: entry.clone(), at: self.0.clock.millis(), tightened: None };
        let record = Record::Insert(partition.clone(), kept);
        let bytes = record.to_bytes();
        self.0.tasks.begin();
        // Held for both, so that the books know of it before it can come back.
        let mut books = books(&self.0.books);
        let inserted = self.0.memory.insert_now(partition, &entry);
        if inserted.is_ok() && self.0.outbox.has_room() {
            self.0.outbox.post(&mut books, &record, bytes, None);
        }
        at_once(inserted)
    }

    fn tighten<'a>(&'a self, partition: &'a Partition, id: EntryId, above: f32) -> StoreFuture<'a, ()> {
        self.0.say(&Record::Tighten(partition.clone(), id, above), None, |memory| {
            memory.tighten_now(partition, id, above)
        });
        at_once(Ok(()))
    }

    fn remove<'a>(&'a self, partition: &'a Partition, id: EntryId) -> StoreFuture<'a, ()> {
        self.0.say(&Record::Remove(partition.clone(), id), None, |memory| memory.remove_now(partition, id));
        at_once(Ok(()))
    }

    fn purge<'a>(&'a self, namespace: &'a Namespace) -> StoreFuture<'a, u64> {
        let (told, heard) = oneshot::channel();
        let record = Record::Purge(namespace.clone());
        let purged = self.0.say(&record, Some(told), |memory| memory.purge_now(namespace));
        Box::pin(async move {
            let heard = tokio::time::timeout(self.0.timeout, heard).await;
            let heard = heard.map_err(|late| StoreError::Unreachable(Box::new(late)))?;
            heard.map_err(|closed| StoreError::Unreachable(Box::new(closed)))?;
            Ok(purged)
        })
    }

    fn stats(&self) -> StoreStats {
        self.0.tasks.begin();
        self.0.memory.stats()
    }
}

/// Addresses hold passwords: only how well it goes is shown.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("stats", &self.stats())
            .field("redis", &self.redis_stats())
            .finish_non_exhaustive()
    }
}

//! The first level: in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstay_provider_core::{Digest, Recording};
use moka::Expiry;
use moka::notification::RemovalCause;
use moka::sync::Cache;
use tokio::time::Instant;

use crate::key::{Key, Scope};
use crate::stats::Worth;
use crate::store::{Entry, ExactStore, StoreError, StoreFuture};
use crate::waiting::Waiting;

/// Answers in memory, bounded in bytes. What is asked often stays, what is asked once goes first (TinyLFU).
///
/// A clone is another handle of the same store.
#[derive(Clone)]
pub struct MemoryStore {
    entries: Cache<Digest, Arc<Kept>>,
    evictions: Arc<AtomicU64>,
    waiting: Arc<Waiting>,
}

/// An entry, and when it came here.
pub(crate) struct Kept {
    scope: Scope,
    pub(crate) recording: Recording,
    pub(crate) worth: Worth,
    since: Instant,
    /// How old it was then.
    age: Duration,
    pub(crate) ttl: Duration,
    stale_for: Duration,
}

impl Kept {
    pub(crate) fn new(key: &Key, entry: Entry, worth: Worth) -> Self {
        let Entry { recording, age, ttl, stale_for } = entry;
        Self { scope: key.scope().clone(), recording, worth, since: Instant::now(), age, ttl, stale_for }
    }

    /// The clock of the entry is tokio's, which tests can move. moka's own only gives the memory back.
    pub(crate) fn age(&self) -> Duration {
        self.age + self.since.elapsed()
    }

    fn entry(&self) -> Entry {
        let mut entry = Entry::new(self.recording.clone(), self.ttl, self.stale_for);
        entry.age = self.age();
        entry
    }
}

/// What an entry takes beside its answer, about: its key, its place and its counts.
const OVERHEAD: usize = 256;

impl MemoryStore {
    /// A store that holds about this many bytes at most.
    pub fn new(max_bytes: u64) -> Self {
        let evictions = Arc::new(AtomicU64::new(0));
        let counted = evictions.clone();
        let entries = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, kept: &Arc<Kept>| {
                u32::try_from(kept.recording.bytes() + kept.scope.name().len() + OVERHEAD).unwrap_or(u32::MAX)
            })
            .expire_after(Lifetime)
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            })
            .build();
        Self { entries, evictions, waiting: Arc::default() }
    }

    /// The entry of a key. That a digest is found is not enough: the entry must be of the key's scope too.
    pub(crate) fn find(&self, key: &Key) -> Option<Arc<Kept>> {
        let kept = self.entries.get(key.digest()).or_else(|| self.waiting.find(key.digest()))?;
        (kept.scope == *key.scope() && kept.age() < kept.ttl.saturating_add(kept.stale_for)).then_some(kept)
    }

    pub(crate) fn keep(&self, key: &Key, entry: Entry, worth: Worth) -> Arc<Kept> {
        let kept = Arc::new(Kept::new(key, entry, worth));
        // What waits under this key is older.
        self.waiting.forget(|digest, _| digest == key.digest());
        self.entries.insert(*key.digest(), kept.clone());
        kept
    }

    /// As [`MemoryStore::keep`], but not now: somebody waits for the entry itself. It is found at once; the work is done by
    /// [`MemoryStore::catch_up`].
    pub(crate) fn keep_later(&self, key: &Key, entry: Entry, worth: Worth) -> Arc<Kept> {
        let kept = Arc::new(Kept::new(key, entry, worth));
        if self.waiting.push(*key.digest(), kept.clone()) {
            self.catch_up();
        }
        kept
    }

    /// Puts in what waits. For whoever has nothing else to do.
    pub(crate) fn catch_up(&self) {
        self.waiting.take_each(|digest, kept| {
            if !self.has_younger(&digest, &kept) {
                self.entries.insert(digest, kept);
            }
        });
    }

    /// Whether an answer that was given meanwhile is there, younger than this one from the second level.
    fn has_younger(&self, digest: &Digest, than: &Kept) -> bool {
        // Nearly always nothing is there, and this look counts as no use.
        self.entries.contains_key(digest)
            && self.entries.get(digest).is_some_and(|there| there.age() < than.age())
    }

    pub(crate) fn forget(&self, key: &Key) {
        self.waiting.forget(|digest, _| digest == key.digest());
        self.entries.invalidate(key.digest());
    }

    pub(crate) fn forget_all_of(&self, scope: &Scope) -> u64 {
        // They are counted with the others.
        self.catch_up();
        let of_scope = self.entries.iter().filter(|(_, kept)| kept.scope == *scope);
        let digests: Vec<Digest> = of_scope.map(|(digest, _)| *digest).collect();
        digests.iter().filter(|digest| self.entries.remove(*digest).is_some()).count() as u64
    }

    /// Entries, bytes, and how many entries had to go for others. What was put just now is counted.
    pub(crate) fn size(&self) -> (u64, u64, u64) {
        self.catch_up();
        self.entries.run_pending_tasks();
        (self.entries.entry_count(), self.entries.weighted_size(), self.evictions.load(Ordering::Relaxed))
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").field("entries", &self.entries.entry_count()).finish_non_exhaustive()
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> StoreFuture<'a, T> {
    Box::pin(std::future::ready(Ok::<_, StoreError>(value)))
}

impl ExactStore for MemoryStore {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Entry>> {
        ready(self.find(key).map(|kept| kept.entry()))
    }

    fn put<'a>(&'a self, key: &'a Key, entry: &'a Entry) -> StoreFuture<'a, ()> {
        self.keep(key, entry.clone(), Worth::default());
        ready(())
    }

    fn remove<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, ()> {
        self.forget(key);
        ready(())
    }

    fn clear<'a>(&'a self, scope: &'a Scope) -> StoreFuture<'a, u64> {
        ready(self.forget_all_of(scope))
    }

    fn ping(&self) -> StoreFuture<'_, ()> {
        ready(())
    }
}

/// When the memory of an entry is given back: when nobody may be given it any more.
struct Lifetime;

impl Lifetime {
    fn left(kept: &Kept) -> Option<Duration> {
        Some(kept.ttl.saturating_add(kept.stale_for).saturating_sub(kept.age))
    }
}

impl Expiry<Digest, Arc<Kept>> for Lifetime {
    fn expire_after_create(&self, _: &Digest, kept: &Arc<Kept>, _: std::time::Instant) -> Option<Duration> {
        Self::left(kept)
    }

    fn expire_after_update(
        &self,
        _: &Digest,
        kept: &Arc<Kept>,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Self::left(kept)
    }
}

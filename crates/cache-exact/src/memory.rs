//! The first level: in this process.

use std::cell::Cell;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstay_provider_core::{Digest, Recording};
use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::key::{Key, Scope};
use crate::stats::Worth;
use crate::store::{Entry, ExactStore, StoreError, StoreFuture};

/// Answers in memory, bounded in bytes. What is asked often stays, what is asked once goes first (Clock-PRO).
///
/// The memory of an entry whose time is over is given back when somebody asks for it, and within a minute of use in any case.
///
/// A clone is another handle of the same store.
#[derive(Clone)]
pub struct MemoryStore {
    entries: Arc<Entries>,
    evictions: Evictions,
    began: Instant,
    /// When it was last swept, in seconds since it began.
    swept: Arc<AtomicU64>,
}

type Entries = Cache<Digest, Arc<Kept>, Weight, RandomState, Evictions>;

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
    /// The bytes that it takes, about.
    weight: u64,
}

impl Kept {
    pub(crate) fn new(key: &Key, entry: Entry, worth: Worth) -> Self {
        let Entry { recording, age, ttl, stale_for } = entry;
        let weight = (recording.bytes() + key.scope().name().len() + OVERHEAD) as u64;
        Self {
            scope: key.scope().clone(),
            recording,
            worth,
            since: Instant::now(),
            age,
            ttl,
            stale_for,
            weight,
        }
    }

    /// The clock of the entry is tokio's, which tests can move.
    pub(crate) fn age(&self) -> Duration {
        self.age + self.since.elapsed()
    }

    /// Whether nobody may be given it any more.
    fn is_over(&self) -> bool {
        self.age() >= self.ttl.saturating_add(self.stale_for)
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
        Self::for_entries_of(max_bytes, max_bytes)
    }

    /// As [`MemoryStore::new`], for entries that are no longer than this.
    pub(crate) fn for_entries_of(max_bytes: u64, largest: u64) -> Self {
        let evictions = Evictions::default();
        let options = OptionsBuilder::new()
            .weight_capacity(max_bytes)
            .estimated_items_capacity(usize::try_from(max_bytes / USUAL).unwrap_or(usize::MAX))
            .shards(shards(max_bytes, largest))
            .build()
            .expect("both capacities are set");
        let entries = Cache::with_options(options, Weight, RandomState::new(), evictions.clone());
        Self { entries: Arc::new(entries), evictions, began: Instant::now(), swept: Arc::default() }
    }

    /// The entry of a key. That a digest is found is not enough: the entry must be of the key's scope too.
    pub(crate) fn find(&self, key: &Key) -> Option<Arc<Kept>> {
        let kept = self.entries.get(key.digest())?;
        if kept.is_over() {
            self.entries.remove_if(key.digest(), |found| Arc::ptr_eq(found, &kept));
            return None;
        }
        (kept.scope == *key.scope()).then_some(kept)
    }

    pub(crate) fn keep(&self, key: &Key, entry: Entry, worth: Worth) -> Arc<Kept> {
        let kept = Arc::new(Kept::new(key, entry, worth));
        self.entries.insert(*key.digest(), kept.clone());
        self.sweep_sometimes(kept.since);
        kept
    }

    /// Once a minute those whose time is over go, and nobody waits for that.
    fn sweep_sometimes(&self, now: Instant) {
        let (now, last) = (now.duration_since(self.began).as_secs(), self.swept.load(Ordering::Relaxed));
        if now < last + SWEEP_EVERY_S
            || self.swept.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        let entries = self.entries.clone();
        let sweep = move || entries.retain(|_, kept| !kept.is_over());
        // An answer may end where no runtime is.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(sweep)),
            Err(_) => sweep(),
        }
    }

    pub(crate) fn forget(&self, key: &Key) {
        self.entries.remove(key.digest());
    }

    pub(crate) fn forget_all_of(&self, scope: &Scope) -> u64 {
        let forgotten = Cell::new(0);
        self.entries.retain(|_, kept| {
            let goes = kept.scope == *scope;
            forgotten.set(forgotten.get() + u64::from(goes && !kept.is_over()));
            !goes
        });
        forgotten.get()
    }

    /// Entries, bytes, and how many entries had to go for others.
    pub(crate) fn size(&self) -> (u64, u64, u64) {
        (self.entries.len() as u64, self.entries.weight(), self.evictions.0.load(Ordering::Relaxed))
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").field("entries", &self.entries.len()).finish_non_exhaustive()
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

#[derive(Clone)]
struct Weight;

impl Weighter<Digest, Arc<Kept>> for Weight {
    fn weight(&self, _: &Digest, kept: &Arc<Kept>) -> u64 {
        kept.weight
    }
}

/// Counts those that had to go though somebody might still have asked for them.
#[derive(Clone, Default)]
struct Evictions(Arc<AtomicU64>);

impl Lifecycle<Digest, Arc<Kept>> for Evictions {
    type RequestState = ();

    fn before_evict(&self, (): &mut (), _: &Digest, kept: &mut Arc<Kept>) {
        if !kept.is_over() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// In how many parts the memory is, each with a lock and a bound of its own. An entry must fit into one of them.
fn shards(max_bytes: u64, largest: u64) -> usize {
    let most = max_bytes / largest.saturating_mul(4).max(1);
    1 << most.clamp(1, MOST_SHARDS).ilog2()
}

const MOST_SHARDS: u64 = 16;

const SWEEP_EVERY_S: u64 = 60;

/// What an entry takes, about.
const USUAL: u64 = 2_048;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    // S4.1: an entry that may be kept has room, however the memory is divided.
    #[test]
    fn the_longest_entry_fits_into_a_part_of_the_memory() {
        for max_bytes in [1, 1 << 10, 1 << 20, 128 << 20, 1 << 30, 64 << 30, u64::MAX] {
            for largest in [0, 1, 1 << 20, 40 << 20, 1 << 30, u64::MAX / 2] {
                let shards = shards(max_bytes, largest) as u64;
                assert!(
                    shards == 1 || max_bytes / shards >= largest.saturating_mul(4),
                    "{max_bytes} {largest} {shards}"
                );
                assert!((1..=MOST_SHARDS).contains(&shards));
            }
        }
        assert_eq!(shards(128 << 20, 1 << 20), 16);
        assert_eq!(shards(128 << 20, 100 << 20), 1);
    }
}

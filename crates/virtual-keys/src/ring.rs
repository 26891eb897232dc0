//! The keys of a store, in memory, where each call finds its own.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use mainstay_provider_core::{Event, Events, Severity};
use tokio::time::Instant;

use crate::access::Access;
use crate::clock::Clock;
use crate::id::KeyId;
use crate::index::{Index, Refusal};
use crate::record::VirtualKey;
use crate::secret::{KeyHasher, KeySecret};
use crate::store::{KeyStore, Snapshot, StoreError};

/// How a ring follows its store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RingConfig {
    /// How long it waits before it looks at the store again; 250 ms. With [`timeout`](Self::timeout) it bounds how long a
    /// disabled key goes on.
    pub poll: Duration,
    /// The longest that it waits for the store; 500 ms. No call waits for it.
    pub timeout: Duration,
    /// Where the time of day comes from; from the system.
    pub clock: Clock,
    /// Where its events go; nowhere.
    pub events: Events,
}

impl Default for RingConfig {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(250),
            timeout: Duration::from_millis(500),
            clock: Clock::default(),
            events: Events::default(),
        }
    }
}

/// The keys of a store, in memory. A clone is another handle of the same ring; with the last the ring stops to follow the store.
///
/// A call asks this alone, never the store. When the store is gone the ring goes on with what it has read, and says so:
/// [`RingStats::is_stale`], event `keys.store_lost`.
#[derive(Clone)]
pub struct KeyRing(Arc<Ring>);

struct Ring {
    store: Arc<dyn KeyStore>,
    hasher: KeyHasher,
    config: RingConfig,
    /// `None` until the store has been read.
    index: RwLock<Option<Arc<Index>>>,
    /// One reads the store at a time.
    reading: tokio::sync::Mutex<()>,
    /// When it was read last.
    read_at: Mutex<Option<Instant>>,
    watchers: Mutex<Vec<Watcher>>,
    is_stale: AtomicBool,
    damaged: AtomicU64,
    refused: AtomicU64,
}

type Watcher = Arc<dyn Fn(KeyChange<'_>) + Send + Sync>;

/// What has become of a key, for those who keep something of it: its limits, for instance.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum KeyChange<'a> {
    /// It is new, or something about it has changed. Told before any call can use the key as it is now.
    Set(&'a VirtualKey),
    /// It is gone. Told when no call can use it any more.
    Removed(&'a KeyId),
}

/// How a ring is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RingStats {
    /// How many keys there are, those included that are disabled.
    pub keys: usize,
    /// Which state of the store they are; 0 when it has not been read.
    pub revision: u64,
    /// Records that cannot be read; their keys are not taken.
    pub damaged: u64,
    /// Whether the store could not be read when it was looked at last: the ring goes on with what it has.
    pub is_stale: bool,
    /// How long ago the store was read; `None` when it never was.
    pub age: Option<Duration>,
    /// How many keys that were shown were refused.
    pub refused: u64,
}

impl KeyRing {
    /// Reads the store and follows it. A store that cannot be read is no error: until it can be, every key is refused as
    /// [`Refusal::NotReady`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(store: Arc<dyn KeyStore>, hasher: KeyHasher, config: RingConfig) -> Self {
        let poll = config.poll;
        let ring = Arc::new(Ring {
            store,
            hasher,
            config,
            index: RwLock::new(None),
            reading: tokio::sync::Mutex::new(()),
            read_at: Mutex::new(None),
            watchers: Mutex::new(Vec::new()),
            is_stale: AtomicBool::new(false),
            damaged: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        // The ring says itself that the store is lost.
        let _read = ring.refresh().await;
        tokio::spawn(follow(Arc::downgrade(&ring), poll));
        Self(ring)
    }

    /// Whose key this is, by the ring's clock.
    ///
    /// What could be no key is refused before anything is done with it. Everything else is found by its whole digest, which is
    /// compared in constant time. Less than a microsecond, no allocation, nothing is waited for.
    ///
    /// # Errors
    /// Why the key is not taken.
    pub fn check(&self, shown: &str) -> Result<Arc<Access>, Refusal> {
        let found = self.0.find(shown);
        if found.is_err() {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// Reads the store now instead of when its time has come: after a change of one's own.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        self.0.refresh().await
    }

    /// Tells `watcher` of every key that there is, then of every change. It runs where the store is read and must not block.
    pub fn watch(&self, watcher: impl Fn(KeyChange<'_>) + Send + Sync + 'static) {
        let watcher: Watcher = Arc::new(watcher);
        // Held for both, so that no change falls in between.
        let mut watchers = self.0.watchers();
        if let Some(index) = self.0.index() {
            index.all().for_each(|access| watcher(KeyChange::Set(access.key())));
        }
        watchers.push(watcher);
    }

    /// The key of this name, whether it can be used or not.
    pub fn get(&self, id: &KeyId) -> Option<Arc<Access>> {
        self.0.index()?.get(id).cloned()
    }

    /// Whether the store could not be read when it was looked at last.
    pub fn is_stale(&self) -> bool {
        self.0.is_stale.load(Ordering::Relaxed)
    }

    /// How the ring is.
    pub fn stats(&self) -> RingStats {
        let ring = &*self.0;
        let index = ring.index();
        let read_at = *ring.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        RingStats {
            keys: index.as_ref().map_or(0, |index| index.len()),
            revision: index.as_ref().map_or(0, |index| index.revision()),
            damaged: ring.damaged.load(Ordering::Relaxed),
            is_stale: self.is_stale(),
            age: read_at.map(|at| at.elapsed()),
            refused: ring.refused.load(Ordering::Relaxed),
        }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyRing").field(&self.stats()).finish()
    }
}

impl Ring {
    fn find(&self, shown: &str) -> Result<Arc<Access>, Refusal> {
        if !KeySecret::is_well_formed(shown) {
            return Err(Refusal::Malformed);
        }
        let digest = self.hasher.digest(shown);
        let now = self.config.clock.now_ms();
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.as_ref().ok_or(Refusal::NotReady)?.find(&digest, now).cloned()
    }

    fn index(&self) -> Option<Arc<Index>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn watchers(&self) -> std::sync::MutexGuard<'_, Vec<Watcher>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn refresh(&self) -> Result<(), StoreError> {
        let _reading = self.reading.lock().await;
        let known = self.index().map(|index| index.revision());
        let read = tokio::time::timeout(self.config.timeout, self.store.read(known)).await;
        let taken = match read.unwrap_or(Err(StoreError::TimedOut)) {
            Ok(Some(snapshot)) => self.take(snapshot, known).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match taken {
            Ok(()) => {
                *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                if self.is_stale.swap(false, Ordering::Relaxed) {
                    self.config.events.send(|| Event::new("keys.store_back", Severity::Info));
                }
                Ok(())
            }
            Err(error) => {
                if !self.is_stale.swap(true, Ordering::Relaxed) {
                    let why = error.to_string();
                    self.config
                        .events
                        .send(|| Event::new("keys.store_lost", Severity::Alert).with("error", why));
                }
                Err(error)
            }
        }
    }

    async fn take(&self, snapshot: Snapshot, known: Option<u64>) -> Result<(), StoreError> {
        // Whatever is done to keys makes it greater. Taken at its word, an emptied store would lock everybody out.
        if known.is_some_and(|known| snapshot.revision < known) {
            let why =
                "its state is older than one that was read before: it was emptied, or put back from a copy";
            return Err(StoreError::Damaged(why.into()));
        }
        self.count_damaged(snapshot.damaged);
        self.replace(Index::of(snapshot).await?);
        Ok(())
    }

    /// Puts a new index in the place of the old one, and tells who watches: what is new before, what is gone after.
    fn replace(&self, new: Index) {
        let new = Arc::new(new);
        let old = self.index();
        let watchers = self.watchers();
        let tell = |change: KeyChange<'_>| watchers.iter().for_each(|watcher| watcher(change));
        for access in new.all() {
            let was = old.as_ref().and_then(|old| old.get(access.id()));
            if was.is_none_or(|was| was.key() != access.key()) {
                tell(KeyChange::Set(access.key()));
            }
        }
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = Some(new.clone());
        for access in old.iter().flat_map(|old| old.all()) {
            if new.get(access.id()).is_none() {
                tell(KeyChange::Removed(access.id()));
            }
        }
    }

    fn count_damaged(&self, damaged: usize) {
        let before = self.damaged.swap(damaged as u64, Ordering::Relaxed);
        if damaged as u64 > before {
            self.config
                .events
                .send(|| Event::new("keys.damaged", Severity::Alert).with("keys", damaged.to_string()));
        }
    }
}

/// Looks at the store again and again, for as long as somebody has the ring.
async fn follow(ring: Weak<Ring>, poll: Duration) {
    loop {
        tokio::time::sleep(poll).await;
        let Some(ring) = ring.upgrade() else { return };
        // The ring says itself that the store is lost.
        let _read = ring.refresh().await;
    }
}

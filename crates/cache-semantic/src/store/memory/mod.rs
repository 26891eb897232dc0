//! Entries in this process.

mod best;
mod config;
mod frequency;
#[cfg(feature = "hnsw")]
mod graph;
mod item;
mod kernel;
mod pool;
mod rows;
mod shelf;
mod sketch;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use mainstay_provider_core::{Namespace, Recording};
use tokio::time::Instant;

pub use self::config::{InvalidMemory, MemoryConfig};
use self::frequency::Frequency;
pub(crate) use self::item::Item;
use self::kernel::Kernel;
use self::pool::Pool;
use self::rows::Rows;
use self::shelf::{Content, Shelf, neighbour};
use self::sketch::Sketch;
use super::{EntryId, Neighbour, NewEntry, SemanticStore, StoreError, StoreFuture, StoreStats, at_once};
use crate::partition::Partition;

/// Entries in this process: bounded in bytes, searched in well under a millisecond. Clones share them.
///
/// Every operation is there as a plain function too (`nearest_now`, `insert_now`, ...), since none waits for anything
/// but another thread that is in the same partition.
///
/// # What is kept when it is full
/// What is worth most per byte: how often an entry was used (halved with each turn of the store in which it was not),
/// times what a use saves, by its size. A question that comes for the second time is remembered even if it was not
/// kept the first time; a flood of questions that come once drives out its own kind only.
#[derive(Clone)]
pub struct MemoryStore(Arc<Inner>);

struct Inner {
    config: MemoryConfig,
    kernel: Kernel,
    /// By the length of vectors.
    sketches: Mutex<HashMap<usize, Arc<Sketch>>>,
    /// Locked before a shelf, never after one.
    shelves: RwLock<HashMap<Partition, Arc<Shelf>>>,
    pool: Pool,
    frequency: Frequency,
    hasher: RandomState,
    /// Of all shelves in the store.
    bytes: AtomicUsize,
    evictions: AtomicU64,
    refused: AtomicU64,
}

impl MemoryStore {
    /// An empty one.
    ///
    /// # Errors
    /// When no entry would fit.
    pub fn new(config: MemoryConfig) -> Result<Self, InvalidMemory> {
        Ok(Self::checked(config.checked()?))
    }

    fn checked(config: MemoryConfig) -> Self {
        // An entry with its vector has about 4 KB.
        let questions = config.max_entries.min(config.max_bytes >> 12);
        Self(Arc::new(Inner {
            kernel: Kernel::detect(),
            sketches: Mutex::default(),
            shelves: RwLock::default(),
            pool: Pool::new(config.seed),
            frequency: Frequency::new(questions),
            hasher: RandomState::new(),
            bytes: AtomicUsize::new(0),
            evictions: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            config,
        }))
    }

    /// [`SemanticStore::nearest`], at once.
    ///
    /// # Errors
    /// When the vector is of another length than those of the partition.
    pub fn nearest_now(
        &self,
        partition: &Partition,
        vector: &[f32],
        k: usize,
    ) -> Result<Vec<Neighbour>, StoreError> {
        let Some(shelf) = self.0.shelf(partition) else { return Ok(Vec::new()) };
        shelf.read().nearest(vector, k, self.0.config.exact_up_to, Instant::now())
    }

    /// [`SemanticStore::by_text`], at once. Counts the question, whether it is there or not.
    pub fn by_text_now(&self, partition: &Partition, text: &str) -> Option<Neighbour> {
        self.0.frequency.count(self.0.hash(partition, text));
        let shelf = self.0.shelf(partition)?;
        let content = shelf.read();
        let now = Instant::now();
        let item = content.by_text(text).filter(|item| !item.is_expired(now))?;
        Some(neighbour(item, 1.0, now))
    }

    /// [`SemanticStore::fetch`], at once.
    pub fn fetch_now(&self, partition: &Partition, id: EntryId) -> Option<Recording> {
        let shelf = self.0.shelf(partition)?;
        let content = shelf.read();
        let item = content.by_id(id).filter(|item| !item.is_expired(Instant::now()))?;
        self.0.pool.touch(item);
        Some(item.recording.clone())
    }

    /// [`SemanticStore::insert`], at once.
    ///
    /// # Errors
    /// When the vector is of another length than those of the partition, or is none.
    pub fn insert_now(&self, partition: &Partition, entry: &NewEntry) -> Result<(), StoreError> {
        self.insert_aged(partition, entry, Duration::ZERO, None)
    }

    /// [`SemanticStore::tighten`], at once. Says whether the threshold rose.
    pub fn tighten_now(&self, partition: &Partition, id: EntryId, above: f32) -> bool {
        let Some(shelf) = self.0.shelf(partition) else { return false };
        shelf.read().by_id(id).is_some_and(|item| item.tighten(above))
    }

    /// [`SemanticStore::remove`], at once. Says whether it was there.
    pub fn remove_now(&self, partition: &Partition, id: EntryId) -> bool {
        let item = self.0.shelf(partition).and_then(|shelf| shelf.read().by_id(id).cloned());
        item.is_some_and(|item| self.0.remove(&item))
    }

    /// [`SemanticStore::purge`], at once.
    pub fn purge_now(&self, namespace: &Namespace) -> u64 {
        self.0.take_shelves(|partition| partition.namespace == *namespace)
    }

    /// A purge that leaves some entries out.
    #[cfg(feature = "redis")]
    pub(crate) fn purge_but(&self, namespace: &Namespace, stays: impl Fn(EntryId) -> bool) {
        let shelves = self.0.read();
        let theirs = shelves.values().filter(|shelf| shelf.partition.namespace == *namespace);
        let theirs: Vec<_> = theirs.cloned().collect();
        drop(shelves);
        for shelf in theirs {
            let items = shelf.read().items().to_vec();
            items.iter().filter(|item| !stays(item.id)).for_each(|item| _ = self.0.remove(item));
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.0.take_shelves(|_| true);
    }

    /// Waits until what is built behind the scenes is built: for measurements. It blocks.
    pub fn settled(&self) {
        #[cfg(feature = "hnsw")]
        {
            let shelves: Vec<_> = self.0.read().values().cloned().collect();
            let graphs = shelves.iter().filter_map(|shelf| shelf.read().graph());
            graphs.collect::<Vec<_>>().iter().for_each(|graph| graph.settle());
        }
    }

    /// An entry that was made elsewhere some time ago.
    pub(crate) fn insert_aged(
        &self,
        partition: &Partition,
        entry: &NewEntry,
        age: Duration,
        tightened: Option<f32>,
    ) -> Result<(), StoreError> {
        let inner = &*self.0;
        if entry.vector.is_empty() || !entry.vector.iter().all(|value| value.is_finite()) {
            return Err(StoreError::NotAVector);
        }
        let now = Instant::now();
        let hash = inner.hash(partition, &entry.text);
        let item = loop {
            let shelf = inner.shelf_to_fill(partition, entry.vector.len());
            let item = Item::new(entry, age, Arc::downgrade(&shelf), now);
            if item.weight > inner.config.max_bytes {
                inner.refused.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            if let Some(above) = tightened {
                item.tighten(above);
            }
            if let Some(item) = inner.put(&shelf, item, &entry.vector)? {
                break item;
            }
        };
        let asked = inner.frequency.of(hash).saturating_sub(1);
        for expired in inner.pool.enter(&item, asked, now) {
            inner.remove(&expired);
        }
        inner.make_room(&item, now);
        Ok(())
    }

    #[cfg(any(feature = "log", feature = "redis"))]
    pub(crate) fn has(&self, partition: &Partition, id: EntryId) -> bool {
        self.0.shelf(partition).is_some_and(|shelf| shelf.read().by_id(id).is_some())
    }

    /// The entry of this text.
    #[cfg(feature = "redis")]
    pub(crate) fn id_of(&self, partition: &Partition, text: &str) -> Option<EntryId> {
        let shelf = self.0.shelf(partition)?;
        shelf.read().by_text(text).map(|item| item.id)
    }

    /// Every entry, in no order.
    #[cfg(feature = "log")]
    pub(crate) fn items(&self) -> Vec<Arc<Item>> {
        self.0.pool.items()
    }

    /// The partition of an entry and a copy of its vector in `into`; `None` when it has gone.
    #[cfg(feature = "log")]
    pub(crate) fn vector_of(&self, item: &Arc<Item>, into: &mut Vec<f32>) -> Option<Partition> {
        let shelf = item.shelf.upgrade()?;
        let content = shelf.read();
        let vector = content.vector_of(item)?;
        into.clear();
        into.extend_from_slice(vector);
        Some(shelf.partition.clone())
    }
}

impl Inner {
    fn shelf(&self, partition: &Partition) -> Option<Arc<Shelf>> {
        self.read().get(partition).cloned()
    }

    fn shelf_to_fill(&self, partition: &Partition, dims: usize) -> Arc<Shelf> {
        if let Some(shelf) = self.shelf(partition) {
            return shelf;
        }
        let sketch = self.sketch(dims);
        let mut shelves = self.write();
        let shelf = shelves.entry(partition.clone()).or_insert_with(|| {
            let shelf = Shelf::new(partition.clone(), Rows::new(self.kernel, sketch));
            self.bytes.fetch_add(shelf.read().bytes(), Ordering::Relaxed);
            Arc::new(shelf)
        });
        shelf.clone()
    }

    fn sketch(&self, dims: usize) -> Arc<Sketch> {
        let mut sketches = self.sketches.lock().unwrap_or_else(PoisonError::into_inner);
        sketches.entry(dims).or_insert_with(|| Arc::new(Sketch::new(self.kernel, dims))).clone()
    }

    /// `None`: the shelf has left the store in the meantime.
    fn put(&self, shelf: &Arc<Shelf>, item: Item, vector: &[f32]) -> Result<Option<Arc<Item>>, StoreError> {
        let item = Arc::new(item);
        let replaced = {
            let mut content = shelf.write();
            if content.closed {
                return Ok(None);
            }
            content.fits(vector)?;
            self.counted(&mut content, |content| {
                let replaced = content.insert(&item, vector);
                #[cfg(feature = "hnsw")]
                content.keep_graph(shelf, self.config.graph_above);
                replaced
            })
        };
        for old in replaced {
            self.pool.forget(&old);
        }
        Ok(Some(item))
    }

    fn remove(&self, item: &Arc<Item>) -> bool {
        let Some(shelf) = item.shelf.upgrade() else { return false };
        let (was_there, is_empty) = {
            let mut content = shelf.write();
            let was_there = self.counted(&mut content, |content| content.remove(item));
            (was_there, content.len() == 0)
        };
        self.pool.forget(item);
        if is_empty {
            self.close_if_empty(&shelf);
        }
        was_there
    }

    fn make_room(&self, newcomer: &Arc<Item>, now: Instant) {
        let MemoryConfig { max_bytes, max_entries, .. } = self.config;
        while self.bytes.load(Ordering::Relaxed) > max_bytes || self.pool.len() > max_entries {
            let Some(least) = self.pool.least(newcomer, now) else { return };
            let has_expired = least.is_expired(now);
            if self.remove(&least) && !has_expired {
                let counter = if Arc::ptr_eq(&least, newcomer) { &self.refused } else { &self.evictions };
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn close_if_empty(&self, shelf: &Arc<Shelf>) {
        let mut shelves = self.write();
        let mut content = shelf.write();
        // A purge may have put another one in its place.
        let is_ours = shelves.get(&shelf.partition).is_some_and(|there| Arc::ptr_eq(there, shelf));
        if is_ours && content.len() == 0 {
            self.close(&mut content);
            shelves.remove(&shelf.partition);
        }
    }

    fn close(&self, content: &mut Content) -> Vec<Arc<Item>> {
        if content.closed {
            return Vec::new();
        }
        self.bytes.fetch_sub(content.bytes(), Ordering::Relaxed);
        content.close()
    }

    /// Forgets whole partitions; says how many entries that were.
    fn take_shelves(&self, mut which: impl FnMut(&Partition) -> bool) -> u64 {
        let taken: Vec<_> = self.write().extract_if(|partition, _| which(partition)).collect();
        let mut count = 0;
        for (_, shelf) in taken {
            let items = self.close(&mut shelf.write());
            count += items.len() as u64;
            items.iter().for_each(|item| self.pool.forget(item));
        }
        count
    }

    /// Keeps the sum of bytes right around a change of one shelf.
    fn counted<T>(&self, content: &mut Content, change: impl FnOnce(&mut Content) -> T) -> T {
        let before = content.bytes();
        let result = change(content);
        // Wraps to and fro: the sum itself is never negative.
        self.bytes.fetch_add(content.bytes().wrapping_sub(before), Ordering::Relaxed);
        result
    }

    fn hash(&self, partition: &Partition, text: &str) -> u64 {
        self.hasher.hash_one((partition, text))
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Partition, Arc<Shelf>>> {
        self.shelves.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Partition, Arc<Shelf>>> {
        self.shelves.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SemanticStore for MemoryStore {
    fn nearest<'a>(
        &'a self,
        partition: &'a Partition,
        vector: &'a [f32],
        k: usize,
    ) -> StoreFuture<'a, Vec<Neighbour>> {
        at_once(self.nearest_now(partition, vector, k))
    }

    fn by_text<'a>(&'a self, partition: &'a Partition, text: &'a str) -> StoreFuture<'a, Option<Neighbour>> {
        at_once(Ok(self.by_text_now(partition, text)))
    }

    fn fetch<'a>(&'a self, partition: &'a Partition, id: EntryId) -> StoreFuture<'a, Option<Recording>> {
        at_once(Ok(self.fetch_now(partition, id)))
    }

    fn insert<'a>(&'a self, partition: &'a Partition, entry: NewEntry) -> StoreFuture<'a, ()> {
        at_once(self.insert_now(partition, &entry))
    }

    fn tighten<'a>(&'a self, partition: &'a Partition, id: EntryId, above: f32) -> StoreFuture<'a, ()> {
        self.tighten_now(partition, id, above);
        at_once(Ok(()))
    }

    fn remove<'a>(&'a self, partition: &'a Partition, id: EntryId) -> StoreFuture<'a, ()> {
        self.remove_now(partition, id);
        at_once(Ok(()))
    }

    fn purge<'a>(&'a self, namespace: &'a Namespace) -> StoreFuture<'a, u64> {
        at_once(Ok(self.purge_now(namespace)))
    }

    fn stats(&self) -> StoreStats {
        StoreStats {
            entries: self.0.pool.len() as u64,
            partitions: self.0.read().len() as u64,
            bytes: self.0.bytes.load(Ordering::Relaxed) as u64,
            evictions: self.0.evictions.load(Ordering::Relaxed),
            refused: self.0.refused.load(Ordering::Relaxed),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::checked(MemoryConfig::default())
    }
}

/// Questions and answers are the callers' data: only how many there are is shown.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

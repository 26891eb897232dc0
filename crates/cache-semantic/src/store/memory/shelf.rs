//! One partition.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::time::Instant;

use super::best::Best;
#[cfg(feature = "hnsw")]
use super::graph::Graph;
use super::item::Item;
use super::rows::Rows;
use crate::partition::Partition;
use crate::store::{EntryId, Neighbour, StoreError};

pub(crate) struct Shelf {
    pub(super) partition: Partition,
    content: RwLock<Content>,
}

pub(super) struct Content {
    /// It was empty and has left the store: whoever wants to put something here must ask the store for another.
    pub(super) closed: bool,
    rows: Rows,
    /// By row.
    items: Vec<Arc<Item>>,
    by_id: HashMap<EntryId, Arc<Item>>,
    by_text: HashMap<Arc<str>, Arc<Item>>,
    /// Of the items without their vectors.
    weight: usize,
    #[cfg(feature = "hnsw")]
    graph: Option<Grown>,
}

#[cfg(feature = "hnsw")]
struct Grown {
    graph: Arc<Graph>,
    /// How many of its entries are no longer on the shelf.
    gone: usize,
}

/// What an empty partition costs.
const OVERHEAD: usize = 512;

impl Shelf {
    pub(super) fn new(partition: Partition, rows: Rows) -> Self {
        let content = Content {
            closed: false,
            rows,
            items: Vec::new(),
            by_id: HashMap::new(),
            by_text: HashMap::new(),
            weight: OVERHEAD,
            #[cfg(feature = "hnsw")]
            graph: None,
        };
        Self { partition, content: RwLock::new(content) }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Content> {
        self.content.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Content> {
        self.content.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.weight + self.rows.bytes() + self.graph_bytes()
    }

    #[cfg(not(feature = "hnsw"))]
    fn graph_bytes(&self) -> usize {
        0
    }

    #[cfg(any(feature = "hnsw", feature = "redis"))]
    pub(super) fn items(&self) -> &[Arc<Item>] {
        &self.items
    }

    pub(super) fn by_id(&self, id: EntryId) -> Option<&Arc<Item>> {
        self.by_id.get(&id)
    }

    pub(super) fn by_text(&self, text: &str) -> Option<&Arc<Item>> {
        self.by_text.get(text)
    }

    pub(super) fn fits(&self, vector: &[f32]) -> Result<(), StoreError> {
        let (given, wanted) = (vector.len(), self.rows.dims());
        if given == wanted { Ok(()) } else { Err(StoreError::Dimensions { given, wanted }) }
    }

    /// The nearest `k`, by looking at every row when there are at most `exact_up_to`.
    pub(super) fn nearest(
        &self,
        vector: &[f32],
        k: usize,
        exact_up_to: usize,
        now: Instant,
    ) -> Result<Vec<Neighbour>, StoreError> {
        if self.items.is_empty() {
            return Ok(Vec::new());
        }
        self.fits(vector)?;
        let counts = |row: usize| !self.items[row].is_expired(now);
        let mut best = Best::new(k, &counts);
        if self.items.len() <= exact_up_to {
            self.rows.exact(vector, &mut best);
        } else if !self.through_graph(vector, k, &mut best) {
            self.rows.sketched(vector, &mut best);
        }
        Ok(best.into_rows().map(|(row, score)| neighbour(&self.items[row], score, now)).collect())
    }

    #[cfg(not(feature = "hnsw"))]
    fn through_graph(&self, _vector: &[f32], _k: usize, _best: &mut Best<'_>) -> bool {
        false
    }

    /// Puts one on the shelf. Gives those whose place it takes: of the same text, of the same id.
    pub(super) fn insert(&mut self, item: &Arc<Item>, vector: &[f32]) -> Vec<Arc<Item>> {
        let replaced = [self.by_text.get(&item.text).cloned(), self.by_id.get(&item.id).cloned()];
        let replaced = replaced.into_iter().flatten().filter(|old| self.remove(old)).collect();
        item.set_row(self.items.len());
        self.rows.push(vector);
        self.items.push(item.clone());
        self.by_id.insert(item.id, item.clone());
        self.by_text.insert(item.text.clone(), item.clone());
        self.weight += item.weight - size_of_val(vector);
        #[cfg(feature = "hnsw")]
        if let Some(grown) = &self.graph {
            grown.graph.add(item);
        }
        replaced
    }

    /// Takes one from the shelf; says whether it was on it.
    pub(super) fn remove(&mut self, item: &Arc<Item>) -> bool {
        let row = item.row();
        if !self.items.get(row).is_some_and(|there| Arc::ptr_eq(there, item)) || !item.leave() {
            return false;
        }
        self.weight -= item.weight - self.rows.dims() * size_of::<f32>();
        self.rows.swap_remove(row);
        self.items.swap_remove(row);
        if let Some(moved) = self.items.get(row) {
            moved.set_row(row);
        }
        self.by_id.remove(&item.id);
        self.by_text.remove(&item.text);
        #[cfg(feature = "hnsw")]
        if let Some(grown) = &mut self.graph {
            grown.gone += 1;
        }
        true
    }

    /// Takes all from the shelf, for good.
    pub(super) fn close(&mut self) -> Vec<Arc<Item>> {
        self.closed = true;
        self.by_id.clear();
        self.by_text.clear();
        #[cfg(feature = "hnsw")]
        {
            self.graph = None;
        }
        let items = std::mem::take(&mut self.items);
        for item in &items {
            item.leave();
        }
        items
    }

    #[cfg(any(feature = "hnsw", feature = "log"))]
    pub(super) fn vector_of(&self, item: &Arc<Item>) -> Option<&[f32]> {
        let row = item.row();
        self.items.get(row).filter(|there| Arc::ptr_eq(there, item)).map(|_| self.rows.vector(row))
    }
}

#[cfg(feature = "hnsw")]
impl Content {
    /// Gives a partition of more than `above` entries a graph, another one when most of it is about entries that have
    /// gone, and takes it when the partition has shrunk to half of that.
    pub(super) fn keep_graph(&mut self, shelf: &Arc<Shelf>, above: usize) {
        let len = self.items.len();
        let is_worn = self.graph.as_ref().is_some_and(|grown| grown.gone > len);
        if is_worn || len <= above / 2 {
            self.graph = None;
        }
        if len > above && self.graph.is_none() {
            let graph = Graph::start(self.rows.kernel(), shelf, len);
            self.graph = Some(Grown { graph, gone: 0 });
        }
    }

    pub(super) fn graph(&self) -> Option<Arc<Graph>> {
        self.graph.as_ref().map(|grown| grown.graph.clone())
    }

    pub(super) fn code_of(&self, item: &Arc<Item>) -> Option<Vec<u64>> {
        self.vector_of(item).map(|_| self.rows.code(item.row()))
    }

    fn graph_bytes(&self) -> usize {
        if self.graph.is_some() { self.items.len() * super::graph::BYTES } else { 0 }
    }

    /// Whether there is a graph, and it could say something.
    fn through_graph(&self, vector: &[f32], k: usize, best: &mut Best<'_>) -> bool {
        let graph = self.graph.as_ref().map(|grown| &grown.graph);
        let Some(near) = graph.and_then(|graph| graph.near(&self.rows.code_for(vector), k)) else {
            return false;
        };
        let there = near.iter().filter(|item| self.vector_of(item).is_some());
        let mut rows: Vec<usize> = there.map(|item| item.row()).collect();
        rows.sort_unstable();
        rows.dedup();
        for row in rows {
            best.offer(row, self.rows.score(row, vector));
        }
        true
    }
}

pub(super) fn neighbour(item: &Item, score: f32, now: Instant) -> Neighbour {
    Neighbour { id: item.id, score, text: item.text.clone(), age: item.age(now), tightened: item.tightened() }
}

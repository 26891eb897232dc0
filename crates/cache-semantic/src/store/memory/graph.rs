//! A graph of the sketches of a large partition, built behind its back.
//!
//! An insert costs a graph ten times what it costs the store, so a thread of its own does it: what it has not come to
//! yet is looked at one by one. The graph knows sketches only; who is really nearest, the vectors tell.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::thread;

use hnsw_rs::prelude::{Distance, Hnsw};

use super::item::Item;
use super::kernel::Kernel;
use super::shelf::Shelf;

pub(super) struct Graph {
    graph: Hnsw<'static, u64, Hamming>,
    /// By the number under which the graph knows them.
    known: RwLock<Vec<Weak<Item>>>,
    queue: Mutex<Queue>,
    idle: Condvar,
}

struct Queue {
    waiting: VecDeque<Arc<Item>>,
    /// Whether all that was there when it began is in it.
    is_complete: bool,
    is_working: bool,
}

/// What an entry costs in the graph, about: 16 links in each direction, the sketch and the lists.
pub(super) const BYTES: usize = 2_600;

/// Links of an entry.
const LINKS: usize = 16;

/// How many are looked at to find an entry's links.
const LOOKED_AT_TO_BUILD: usize = 100;

/// How many are looked at to find the nearest.
const LOOKED_AT: usize = 128;

/// With more of them the sketches are faster.
const MOST_WAITING: usize = 4_096;

/// More layers are never needed.
const LAYERS: usize = 16;

impl Graph {
    /// Of all that is on the shelf, and of what is added from now on.
    pub(super) fn start(kernel: Kernel, shelf: &Arc<Shelf>, expected: usize) -> Arc<Self> {
        let graph = Hnsw::new(LINKS, expected, LAYERS, LOOKED_AT_TO_BUILD, Hamming(kernel));
        let queue = Queue { waiting: VecDeque::new(), is_complete: false, is_working: true };
        let graph = Arc::new(Self {
            graph,
            known: RwLock::default(),
            queue: Mutex::new(queue),
            idle: Condvar::new(),
        });
        graph.spawn(Some(Arc::downgrade(shelf)));
        graph
    }

    pub(super) fn add(self: &Arc<Self>, item: &Arc<Item>) {
        let mut queue = self.queue();
        queue.waiting.push_back(item.clone());
        if queue.is_complete && !queue.is_working {
            queue.is_working = true;
            drop(queue);
            self.spawn(None);
        }
    }

    /// Those that may be the nearest, some perhaps twice or gone by now. `None`: it is not that far yet.
    pub(super) fn near(&self, code: &[u64], k: usize) -> Option<Vec<Arc<Item>>> {
        let mut items: Vec<_> = {
            let queue = self.queue();
            if !queue.is_complete || queue.waiting.len() > MOST_WAITING {
                return None;
            }
            queue.waiting.iter().cloned().collect()
        };
        let looked_at = LOOKED_AT.max(4 * k);
        let found = self.graph.search(code, looked_at, looked_at);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        items.extend(found.iter().filter_map(|found| known.get(found.d_id)?.upgrade()));
        Some(items)
    }

    /// Waits until nothing waits.
    pub(super) fn settle(&self) {
        let mut queue = self.queue();
        while queue.is_working {
            queue = self.idle.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn spawn(self: &Arc<Self>, from: Option<Weak<Shelf>>) {
        let graph = self.clone();
        let thread = thread::Builder::new().name("semantic-cache-graph".to_owned());
        let spawned = thread.spawn(move || {
            if let Some(from) = from {
                // Not held on to: a store that is dropped need not wait for its graphs.
                let items = from.upgrade().map_or_else(Vec::new, |shelf| shelf.read().items().to_vec());
                items.iter().for_each(|item| graph.link(item));
                graph.queue().is_complete = true;
            }
            graph.work();
        });
        if spawned.is_err() {
            // Without a thread there is no graph, and the sketches do.
            self.queue().is_working = false;
        }
    }

    fn work(&self) {
        loop {
            let item = {
                let mut queue = self.queue();
                let Some(item) = queue.waiting.pop_front() else {
                    queue.is_working = false;
                    self.idle.notify_all();
                    return;
                };
                item
            };
            self.link(&item);
        }
    }

    fn link(&self, item: &Arc<Item>) {
        let code = item.shelf.upgrade().and_then(|shelf| shelf.read().code_of(item));
        let Some(code) = code else { return };
        let number = {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.push(Arc::downgrade(item));
            known.len() - 1
        };
        self.graph.insert_slice((&code, number));
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In how many bits two sketches differ.
struct Hamming(Kernel);

impl Distance<u64> for Hamming {
    fn eval(&self, a: &[u64], b: &[u64]) -> f32 {
        self.0.distance(a, b) as f32
    }
}

//! All entries of a store, whichever partition they are in: who has to go when it is full.
//!
//! Of 16 entries drawn by lot the one of the least worth goes: as good as a queue in order, in constant time and with
//! nothing to be kept in order. The newcomer is one of those who are looked at, so what is worth less than all of them
//! is not let in at the price of another.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::item::{Item, NOWHERE};

pub(super) struct Pool(Mutex<State>);

struct State {
    items: Vec<Arc<Item>>,
    rng: fastrand::Rng,
    /// How many came in so far: the pool's time.
    time: u64,
    /// Where the search for expired entries goes on.
    sweep: usize,
}

/// How many are drawn.
const DRAWN: usize = 16;

/// How many are asked at each insert whether they have expired.
const SWEPT: usize = 4;

impl Pool {
    pub(super) fn new(seed: Option<u64>) -> Self {
        let rng = seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        Self(Mutex::new(State { items: Vec::new(), rng, time: 0, sweep: 0 }))
    }

    pub(super) fn len(&self) -> usize {
        self.lock().items.len()
    }

    #[cfg(feature = "log")]
    pub(super) fn items(&self) -> Vec<Arc<Item>> {
        self.lock().items.clone()
    }

    /// Takes one in that was asked for `asked` times so far. Gives those that have expired, of a few.
    pub(super) fn enter(&self, item: &Arc<Item>, asked: u32, now: Instant) -> Vec<Arc<Item>> {
        let mut state = self.lock();
        state.time += 1;
        item.set_uses(asked, state.time);
        // Whoever removes an item marks it first and looks for it here second.
        if !item.is_gone() {
            item.place.store(state.items.len() as u32, Ordering::Relaxed);
            state.items.push(item.clone());
        }
        let mut expired = Vec::new();
        for _ in 0..SWEPT.min(state.items.len()) {
            state.sweep = (state.sweep + 1) % state.items.len();
            let swept = &state.items[state.sweep];
            if swept.is_expired(now) {
                expired.push(swept.clone());
            }
        }
        expired
    }

    /// Counts a use.
    pub(super) fn touch(&self, item: &Item) {
        item.use_once(self.lock().time);
    }

    /// Forgets one that left its shelf.
    pub(super) fn forget(&self, item: &Item) {
        let mut state = self.lock();
        let place = item.place.swap(NOWHERE, Ordering::Relaxed) as usize;
        if place < state.items.len() {
            state.items.swap_remove(place);
            if let Some(moved) = state.items.get(place) {
                moved.place.store(place as u32, Ordering::Relaxed);
            }
        }
    }

    /// Who has to go, while `newcomer` comes in. `None`: nobody is left.
    pub(super) fn least(&self, newcomer: &Arc<Item>, now: Instant) -> Option<Arc<Item>> {
        let mut state = self.lock();
        let State { items, rng, time, .. } = &mut *state;
        let lap = items.len() as u64;
        let drawn = (0..DRAWN.min(items.len())).map(|_| &items[rng.usize(..items.len())]);
        let newcomer = (!newcomer.is_gone()).then_some(newcomer);
        let worth = |item: &Item| if item.is_expired(now) { -1.0 } else { item.worth(*time, lap) };
        let of = |item: &Arc<Item>| (worth(item), item.clone());
        // Of two alike the older one goes: the newcomer is asked last, and only less takes its place.
        let least = drawn.map(of).chain(newcomer.map(of)).reduce(|a, b| if b.0 < a.0 { b } else { a });
        least.map(|(_, item)| item)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The second level, so held that it cannot hurt: a timeout, a circuit, and writes that nobody waits for.

use std::sync::Arc;
use std::time::Duration;

use mainstay_provider_core::{AskStore, Event, Events, Severity, StoreLook};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::circuit::Circuit;
use crate::key::{Key, Scope};
use crate::stats::{Counter, SecondLevel};
use crate::store::{Entry, ExactStore, StoreError};
use crate::timers::Timers;

/// A store behind the one in memory.
#[derive(Clone)]
pub(crate) struct Second(Arc<Inner>);

struct Inner {
    store: Arc<dyn ExactStore>,
    /// The most that anybody waits for it.
    longest: Duration,
    timers: Timers,
    circuit: Circuit,
    /// Writes that are under way: a store that is slow must not gather them without bound.
    writes: Arc<Semaphore>,
    counts: Counts,
    events: Events,
}

#[derive(Default)]
struct Counts {
    hits: Counter,
    misses: Counter,
    failures: Counter,
    timeouts: Counter,
    damaged: Counter,
    skipped: Counter,
}

const MOST_WRITES: u32 = 256;

/// What an operator's purge may take: it goes through all keys.
const LONGEST_CLEAR: Duration = Duration::from_secs(60);

impl Second {
    pub(crate) fn new(
        store: Arc<dyn ExactStore>,
        longest: Duration,
        trip_after: u32,
        events: Events,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            longest,
            timers: Timers::default(),
            circuit: Circuit::new(trip_after),
            writes: Arc::new(Semaphore::new(MOST_WRITES as usize)),
            counts: Counts::default(),
            events,
        }))
    }

    /// The entry of a key. Whatever goes wrong is a miss.
    pub(crate) async fn get(&self, key: &Key) -> Option<Entry> {
        let inner = &self.0;
        if !self.is_to_be_asked() {
            return None;
        }
        match inner.bounded(inner.store.get(key)).await {
            Ok(Some(entry)) => {
                inner.counts.hits.one();
                Some(entry)
            }
            Ok(None) => {
                inner.counts.misses.one();
                None
            }
            Err(StoreError::Damaged) => {
                inner.counts.damaged.one();
                self.remove_behind(key.clone());
                None
            }
            Err(_) => None,
        }
    }

    /// Keeps an entry; nobody waits for it.
    pub(crate) fn put_behind(&self, key: Key, entry: Entry) {
        self.behind(move |inner| async move { inner.bounded(inner.store.put(&key, &entry)).await.map(drop) });
    }

    pub(crate) fn remove_behind(&self, key: Key) {
        self.behind(move |inner| async move { inner.bounded(inner.store.remove(&key)).await.map(drop) });
    }

    fn behind<F>(&self, work: impl FnOnce(Arc<Inner>) -> F)
    where
        F: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        // A reply may be dropped where no runtime is; then the store does without this entry.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return self.0.counts.skipped.one() };
        if !self.is_to_be_asked() {
            return;
        }
        let Ok(place) = self.0.writes.clone().try_acquire_owned() else { return self.0.counts.skipped.one() };
        let work = work(self.0.clone());
        runtime.spawn(async move {
            // What goes wrong is counted, and there is nobody to tell.
            let _done = work.await;
            drop(place);
        });
    }

    /// Forgets a scope. An operator asks for it and wants to know, so it is tried whatever the circuit says.
    pub(crate) async fn clear(&self, scope: &Scope) -> Result<u64, StoreError> {
        self.written().await;
        match timeout(LONGEST_CLEAR, self.0.store.clear(scope)).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::TimedOut),
        }
    }

    pub(crate) async fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.written().await;
        self.0.bounded(self.0.store.remove(key)).await
    }

    /// Waits until what is being written now is written, or took too long: it must not come there after what was forgotten.
    async fn written(&self) {
        drop(self.0.writes.acquire_many(MOST_WRITES).await);
    }

    pub(crate) fn stats(&self) -> SecondLevel {
        let Counts { hits, misses, failures, timeouts, damaged, skipped } = &self.0.counts;
        SecondLevel {
            hits: hits.get(),
            misses: misses.get(),
            failures: failures.get(),
            timeouts: timeouts.get(),
            damaged: damaged.get(),
            skipped: skipped.get(),
            is_left_alone: self.0.circuit.is_open(),
        }
    }

    fn is_to_be_asked(&self) -> bool {
        let ask = self.0.circuit.ask();
        if ask != AskStore::Yes {
            self.0.counts.skipped.one();
        }
        if let AskStore::Look(look) = ask {
            self.look(look);
        }
        ask == AskStore::Yes
    }

    /// Sees whether the store answers again, in a task of its own: no caller waits for that.
    fn look(&self, look: StoreLook) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return self.0.circuit.looked_in_vain(look);
        };
        let inner = self.0.clone();
        // Made here: the task may be dropped before it has begun.
        let looking = Looking(inner.clone(), look);
        runtime.spawn(async move {
            if let Ok(Ok(())) = timeout(inner.longest, inner.store.ping()).await {
                if inner.circuit.look_succeeded(look) {
                    inner
                        .events
                        .send(|| Event::new("cache.store_back", Severity::Info).with("cache", "exact"));
                }
            } else {
                inner.store.timed_out();
            }
            drop(looking);
        });
    }
}

impl Inner {
    async fn bounded<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let done = self.timers.bounded(self.longest, work).await.unwrap_or(Err(StoreError::TimedOut));
        match &done {
            Ok(_) | Err(StoreError::Damaged) => self.circuit.succeeded(),
            Err(error) => {
                let timed_out = matches!(error, StoreError::TimedOut);
                if timed_out {
                    self.counts.timeouts.one()
                } else {
                    self.counts.failures.one()
                }
                self.store.timed_out();
                if self.circuit.failed() {
                    let reason = if timed_out { "timeout" } else { "failure" };
                    self.events.send(|| {
                        let event = Event::new("cache.store_lost", Severity::Warning);
                        event.with("cache", "exact").with("reason", reason)
                    });
                }
            }
        }
        done
    }
}

/// A look at the store that has not succeeded when this is dropped has failed, a panic included.
struct Looking(Arc<Inner>, StoreLook);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.circuit.looked_in_vain(self.1);
    }
}

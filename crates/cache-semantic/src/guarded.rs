//! A store that may fail: each call has its time, and after a few failures nobody waits for it (S2).

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use mainstay_provider_core::{Event, Events, Severity};
use tokio::time::Instant;

use crate::store::{SemanticStore, StoreError};

/// The store, as the layer sees it.
pub(crate) struct Guarded {
    store: Arc<dyn SemanticStore>,
    timeout: Duration,
    events: Events,
    failures: AtomicU32,
    /// Since `begun`, in milliseconds; before that time the store is left alone.
    left_alone_until: AtomicU64,
    begun: Instant,
}

/// So many failures in a row, and it is left alone.
const FAILURES: u32 = 3;
/// For so long; then one call tries it.
const PAUSE: Duration = Duration::from_secs(5);

impl Guarded {
    pub(crate) fn new(store: Arc<dyn SemanticStore>, timeout: Duration, events: Events) -> Self {
        Self {
            store,
            timeout,
            events,
            failures: AtomicU32::new(0),
            left_alone_until: AtomicU64::new(0),
            begun: Instant::now(),
        }
    }

    /// The store itself, for what needs no answer in time.
    pub(crate) fn store(&self) -> &dyn SemanticStore {
        &*self.store
    }

    /// What the store answers to `ask`; `None` when it is left alone, fails, or takes too long.
    pub(crate) async fn ask<'a, T, F>(&'a self, ask: impl FnOnce(&'a dyn SemanticStore) -> F) -> Option<T>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'a,
    {
        if !self.may_ask() {
            return None;
        }
        match tokio::time::timeout(self.timeout, ask(&*self.store)).await {
            Ok(Ok(answer)) => {
                self.succeeded();
                Some(answer)
            }
            Ok(Err(StoreError::Unreachable(why))) => {
                self.failed("unreachable", Some(&*why));
                None
            }
            // It answered: what it holds is damaged, or not for this index. That is a miss and no outage.
            Ok(Err(_)) => {
                self.succeeded();
                None
            }
            Err(_) => {
                self.failed("timeout", None);
                None
            }
        }
    }

    fn may_ask(&self) -> bool {
        if self.failures.load(Ordering::Relaxed) < FAILURES {
            return true;
        }
        let now = self.now();
        let until = self.left_alone_until.load(Ordering::Relaxed);
        // Whoever moves the time forward tries it, the others go on without.
        now >= until
            && self
                .left_alone_until
                .compare_exchange(until, now + millis(PAUSE), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) == 0 {
            return;
        }
        if self.failures.swap(0, Ordering::Relaxed) >= FAILURES {
            self.events.send(|| Event::new("semantic.store_back", Severity::Info));
        }
    }

    fn failed(&self, reason: &'static str, why: Option<&(dyn Error + Send + Sync + 'static)>) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        self.left_alone_until.store(self.now() + millis(PAUSE), Ordering::Relaxed);
        if failures == FAILURES {
            self.events.send(|| {
                let event = Event::new("semantic.store_down", Severity::Warning).with("reason", reason);
                match why {
                    Some(why) => event.with("error", told(why)),
                    None => event,
                }
            });
        }
    }

    fn now(&self) -> u64 {
        millis(self.begun.elapsed())
    }
}

/// The error with what caused it. The first line of each: what a server adds in others may quote what it was given.
fn told(error: &(dyn Error + 'static)) -> String {
    let first_line = |error: &dyn Error| error.to_string().lines().next().unwrap_or_default().to_owned();
    let mut text = first_line(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&first_line(error));
        cause = error.source();
    }
    text
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

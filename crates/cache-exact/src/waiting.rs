//! Entries that came from the second level and are not yet among those in memory.
//!
//! To put one there takes a good part of the time in which a store on the same machine answers, and the caller who brought it waits
//! for the entry alone. So it waits here until somebody waits for the second level anyway.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_provider_core::Digest;

use crate::memory::Kept;

/// So many wait at most.
const MOST: usize = 64;

/// The entries that wait, oldest first.
#[derive(Default)]
pub(crate) struct Waiting {
    entries: Mutex<Vec<(Digest, Arc<Kept>)>>,
    /// How many there are, so that most look-ups need no lock.
    length: AtomicUsize,
}

impl Waiting {
    /// Adds an entry; whether there are so many now that they must be taken.
    pub(crate) fn push(&self, digest: Digest, kept: Arc<Kept>) -> bool {
        let mut entries = self.lock();
        entries.push((digest, kept));
        self.length.store(entries.len(), Ordering::Release);
        entries.len() >= MOST
    }

    pub(crate) fn find(&self, digest: &Digest) -> Option<Arc<Kept>> {
        if self.is_empty() {
            return None;
        }
        // The last is the newest.
        self.lock().iter().rev().find(|(known, _)| known == digest).map(|(_, kept)| kept.clone())
    }

    pub(crate) fn forget(&self, which: impl Fn(&Digest, &Kept) -> bool) {
        if self.is_empty() {
            return;
        }
        let mut entries = self.lock();
        entries.retain(|(digest, kept)| !which(digest, kept));
        self.length.store(entries.len(), Ordering::Release);
    }

    /// Hands all of them over, under the lock: who forgets one meanwhile finds it in either place, never in neither.
    pub(crate) fn take_each(&self, mut take: impl FnMut(Digest, Arc<Kept>)) {
        if self.is_empty() {
            return;
        }
        let mut entries = self.lock();
        for (digest, kept) in entries.drain(..) {
            take(digest, kept);
        }
        self.length.store(0, Ordering::Release);
    }

    fn is_empty(&self) -> bool {
        self.length.load(Ordering::Acquire) == 0
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Digest, Arc<Kept>)>> {
        // A list is as good after a panic elsewhere as before.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

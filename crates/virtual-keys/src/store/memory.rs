//! Keys in this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{KeyStore, Snapshot, StoreError, StoreFuture, next_revision};
use crate::clock::Clock;
use crate::id::KeyId;
use crate::record::VirtualKey;

/// Keys in this process, gone with it. A clone is another handle of the same keys.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    revision: u64,
    keys: BTreeMap<KeyId, VirtualKey>,
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Every change is a single one: a panic elsewhere leaves the keys as good as they were.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn is_as(&self, id: &KeyId, revision: u64) -> Result<(), StoreError> {
        let there = self.keys.get(id).map_or(0, |key| key.revision);
        if there == revision { Ok(()) } else { Err(StoreError::Conflict) }
    }

    fn write(&mut self, mut key: VirtualKey) -> Result<VirtualKey, StoreError> {
        self.is_as(&key.id, key.revision)?;
        self.revision = next_revision(self.revision, Clock::default().now_ms());
        key.revision = self.revision;
        self.keys.insert(key.id.clone(), key.clone());
        Ok(key)
    }

    fn delete(&mut self, id: &KeyId, revision: u64) -> Result<(), StoreError> {
        self.is_as(id, revision.max(1))?;
        self.revision = next_revision(self.revision, Clock::default().now_ms());
        self.keys.remove(id);
        Ok(())
    }
}

impl KeyStore for MemoryStore {
    fn read(&self, known: Option<u64>) -> StoreFuture<'_, Option<Snapshot>> {
        let kept = self.kept();
        let snapshot = (known != Some(kept.revision))
            .then(|| Snapshot::new(kept.revision, kept.keys.values().cloned().collect()));
        Box::pin(std::future::ready(Ok(snapshot)))
    }

    fn write(&self, key: VirtualKey) -> StoreFuture<'_, VirtualKey> {
        Box::pin(std::future::ready(self.kept().write(key)))
    }

    fn delete<'a>(&'a self, id: &'a KeyId, revision: u64) -> StoreFuture<'a, ()> {
        Box::pin(std::future::ready(self.kept().delete(id, revision)))
    }
}

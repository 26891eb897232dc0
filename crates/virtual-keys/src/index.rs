//! All keys of a store, found by their digests. Plain functions from records to answers.

use std::collections::HashMap;
use std::sync::Arc;

use crate::access::{Access, Standing};
use crate::id::KeyId;
use crate::record::VirtualKey;
use crate::secret::KeyDigest;
use crate::store::{Snapshot, StoreError, off_the_runtime};

/// Why a key is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It could be no key; nothing was looked up.
    #[error("this is no key")]
    Malformed,
    /// There is no such key.
    #[error("there is no such key")]
    Unknown,
    /// It, or a key that has made it, is disabled or gone.
    #[error("the key is disabled")]
    Disabled,
    /// Its time is over, or that of a key that has made it.
    #[error("the key has expired")]
    Expired,
    /// It was replaced by another, and the time in which both were taken is over.
    #[error("the key was rotated; its new secret is needed")]
    Rotated,
    /// The store has not been read yet.
    #[error("the keys cannot be read at the moment")]
    NotReady,
}

/// How many keys one may have been made by, one by the other.
pub(crate) const DEEPEST: usize = 8;

/// All keys of a store.
#[derive(Debug)]
pub(crate) struct Index {
    by_digest: HashMap<KeyDigest, Place>,
    by_id: HashMap<KeyId, Arc<Access>>,
    revision: u64,
}

#[derive(Debug)]
struct Place {
    access: Arc<Access>,
    /// Until when this digest is taken.
    until_ms: u64,
}

impl Index {
    pub(crate) async fn of(snapshot: Snapshot) -> Result<Self, StoreError> {
        off_the_runtime(snapshot.keys.len(), || Self::made_of(snapshot)).await
    }

    fn made_of(snapshot: Snapshot) -> Self {
        let records: HashMap<_, _> =
            snapshot.keys.into_iter().map(|key| (key.id.clone(), Arc::new(key))).collect();
        let mut index = Self {
            by_digest: HashMap::with_capacity(records.len()),
            by_id: HashMap::with_capacity(records.len()),
            revision: snapshot.revision,
        };
        for key in records.values() {
            let access = Arc::new(Access::new(key.clone(), makers(key, &records)));
            index.by_id.insert(key.id.clone(), access.clone());
            if let Some(previous) = &key.previous {
                let place = Place { access: access.clone(), until_ms: previous.until_ms };
                index.by_digest.entry(previous.digest).or_insert(place);
            }
            // The digest that is in force comes before any that was.
            index.by_digest.insert(key.digest, Place { access, until_ms: u64::MAX });
        }
        index
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn get(&self, id: &KeyId) -> Option<&Arc<Access>> {
        self.by_id.get(id)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Access>> {
        self.by_id.values()
    }

    /// Whom this digest is of. Digests are compared whole and in constant time, by [`KeyDigest`] itself.
    pub(crate) fn find(&self, digest: &KeyDigest, now_ms: u64) -> Result<&Arc<Access>, Refusal> {
        let place = self.by_digest.get(digest).ok_or(Refusal::Unknown)?;
        if place.until_ms <= now_ms {
            return Err(Refusal::Rotated);
        }
        stands(&place.access, now_ms).map(|()| &place.access)
    }
}

/// Whether a key can be used now.
pub(crate) fn stands(access: &Access, now_ms: u64) -> Result<(), Refusal> {
    match access.standing() {
        Standing::Disabled | Standing::Orphaned => Err(Refusal::Disabled),
        Standing::Sound if access.has_expired(now_ms) => Err(Refusal::Expired),
        Standing::Sound => Ok(()),
    }
}

/// Who has made a key, from the nearest to the first; `None` when one of them is not there, or they are too many.
fn makers(key: &VirtualKey, records: &HashMap<KeyId, Arc<VirtualKey>>) -> Option<Vec<Arc<VirtualKey>>> {
    let (mut makers, mut next) = (Vec::new(), key.maker.as_ref());
    while let Some(id) = next {
        let maker = records.get(id)?;
        if makers.len() == DEEPEST {
            return None;
        }
        makers.push(maker.clone());
        next = maker.maker.as_ref();
    }
    Some(makers)
}

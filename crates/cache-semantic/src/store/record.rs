//! What happened to an entry, in bytes: for a log on disk and for one in Redis.
//!
//! A checksum stands before it: what was torn or changed on the way is nothing, never something else.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use mainstay_provider_core::{Digest, Namespace, Recording};

#[cfg(feature = "log")]
use super::memory::Item;
use super::memory::MemoryStore;
use super::{EntryId, NewEntry};
use crate::partition::Partition;

/// What happened.
pub(super) enum Record {
    /// An entry was kept.
    Insert(Partition, Kept),
    /// Its threshold rose.
    Tighten(Partition, EntryId, f32),
    /// It was forgotten.
    Remove(Partition, EntryId),
    /// All of a namespace was forgotten.
    Purge(Namespace),
}

/// An entry, and what became of it.
pub(super) struct Kept {
    pub(super) entry: NewEntry,
    /// When it was made: milliseconds since 1970.
    pub(super) at: u64,
    pub(super) tightened: Option<f32>,
}

/// The first byte after the checksum; it says what follows.
mod kind {
    pub(super) const INSERT: u8 = 1;
    pub(super) const TIGHTEN: u8 = 2;
    pub(super) const REMOVE: u8 = 3;
    pub(super) const PURGE: u8 = 4;
}

impl Record {
    /// The entry as it is kept now. `vector` is room for its vector.
    #[cfg(feature = "log")]
    pub(super) fn of(
        item: &Arc<Item>,
        memory: &MemoryStore,
        age: Duration,
        now: u64,
        vector: &mut Vec<f32>,
    ) -> Option<Self> {
        let partition = memory.vector_of(item, vector)?;
        let entry = NewEntry {
            id: item.id,
            text: item.text.clone(),
            vector: vector.as_slice().into(),
            recording: item.recording.clone(),
            ttl: item.ttl,
            saves: item.saves,
        };
        let at = now.saturating_sub(millis(age));
        Some(Self::Insert(partition, Kept { entry, at, tightened: item.tightened() }))
    }

    /// Makes it so. Whether it was known already, or is over, makes no difference.
    pub(super) fn apply(self, memory: &MemoryStore, now: u64) {
        match self {
            Self::Insert(partition, Kept { entry, at, tightened }) => {
                let age = Duration::from_millis(now.saturating_sub(at));
                if age >= entry.ttl {
                    return;
                }
                if memory.has(&partition, entry.id) {
                    if let Some(above) = tightened {
                        memory.tighten_now(&partition, entry.id, above);
                    }
                    return;
                }
                // An entry that does not fit the others is as good as none.
                let _ = memory.insert_aged(&partition, &entry, age, tightened);
            }
            Self::Tighten(partition, id, above) => {
                memory.tighten_now(&partition, id, above);
            }
            Self::Remove(partition, id) => {
                memory.remove_now(&partition, id);
            }
            Self::Purge(namespace) => {
                memory.purge_now(&namespace);
            }
        }
    }

    /// With its checksum.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        match self {
            Self::Insert(partition, kept) => insert(&mut out, partition, kept),
            Self::Tighten(partition, id, above) => {
                out.push(kind::TIGHTEN);
                put_partition(&mut out, partition);
                out.extend(id.0.to_le_bytes());
                out.extend(above.to_le_bytes());
            }
            Self::Remove(partition, id) => {
                out.push(kind::REMOVE);
                put_partition(&mut out, partition);
                out.extend(id.0.to_le_bytes());
            }
            Self::Purge(namespace) => {
                out.push(kind::PURGE);
                put(&mut out, namespace.as_str().as_bytes());
            }
        }
        let sum = crc32fast::hash(&out[4..]);
        out[..4].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// `None`: not what [`to_bytes`](Self::to_bytes) wrote.
    pub(super) fn from_bytes(bytes: Bytes) -> Option<Self> {
        let mut rest = Reader(bytes);
        if u32::from_le_bytes(rest.array()?) != crc32fast::hash(&rest.0) {
            return None;
        }
        let record = match rest.byte()? {
            kind::INSERT => {
                let partition = rest.partition()?;
                let (id, at) = (EntryId(u128::from_le_bytes(rest.array()?)), rest.u64()?);
                let (ttl, saves) = (Duration::from_millis(rest.u64()?), rest.u64()?);
                let above = f32::from_le_bytes(rest.array()?);
                let text = Arc::from(std::str::from_utf8(&rest.bytes()?).ok()?);
                let vector = rest.bytes()?;
                let (parts, []) = vector.as_chunks() else { return None };
                let vector = parts.iter().map(|part| f32::from_le_bytes(*part)).collect();
                // A copy: it would hold on to the whole record, vector and all.
                let recording = Recording::from_bytes(Bytes::copy_from_slice(&rest.bytes()?))?;
                let entry = NewEntry { id, text, vector, recording, ttl, saves };
                Self::Insert(partition, Kept { entry, at, tightened: (!above.is_nan()).then_some(above) })
            }
            kind::TIGHTEN => {
                let partition = rest.partition()?;
                let id = EntryId(u128::from_le_bytes(rest.array()?));
                Self::Tighten(partition, id, f32::from_le_bytes(rest.array()?))
            }
            kind::REMOVE => Self::Remove(rest.partition()?, EntryId(u128::from_le_bytes(rest.array()?))),
            kind::PURGE => Self::Purge(rest.namespace()?),
            _ => return None,
        };
        rest.0.is_empty().then_some(record)
    }
}

fn insert(out: &mut Vec<u8>, partition: &Partition, kept: &Kept) {
    let NewEntry { id, text, vector, recording, ttl, saves } = &kept.entry;
    let recording = recording.to_bytes();
    out.reserve(160 + text.len() + size_of_val::<[f32]>(vector) + recording.len());
    out.push(kind::INSERT);
    put_partition(out, partition);
    out.extend(id.0.to_le_bytes());
    out.extend(kept.at.to_le_bytes());
    out.extend(millis(*ttl).to_le_bytes());
    out.extend(saves.to_le_bytes());
    out.extend(kept.tightened.unwrap_or(f32::NAN).to_le_bytes());
    put(out, text.as_bytes());
    put_length(out, size_of_val::<[f32]>(vector));
    out.extend(vector.iter().flat_map(|value| value.to_le_bytes()));
    put(out, &recording);
}

fn put_partition(out: &mut Vec<u8>, partition: &Partition) {
    put(out, partition.namespace.as_str().as_bytes());
    out.extend(partition.digest.as_bytes());
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend(bytes);
}

/// A length that does not fit makes a record that is none when it is read.
fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

struct Reader(Bytes);

impl Reader {
    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let array = *self.0.first_chunk()?;
        self.0.advance(N);
        Some(array)
    }

    fn bytes(&mut self) -> Option<Bytes> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    fn namespace(&mut self) -> Option<Namespace> {
        Some(Namespace::new(std::str::from_utf8(&self.bytes()?).ok()?))
    }

    fn partition(&mut self) -> Option<Partition> {
        Some(Partition { namespace: self.namespace()?, digest: Digest::from_bytes(self.array()?) })
    }
}

//! What stands under a key.

use std::time::Duration;

use bytes::{Buf as _, Bytes};
use mainstay_provider_core::{Digest, Recording};

use crate::store::Entry;

/// What it is, the checksum of the head, whose key it is, when it was made, its times, how it is packed; then the answer, which
/// has a checksum of its own. That of the head covers an answer that is packed too.
const MAGIC: &[u8] = b"mainstay exact 2\n";
const CHECKSUM: usize = 4;
pub(super) const HEAD: usize = MAGIC.len() + CHECKSUM + 32 + 8 + 8 + 8 + 1;

/// No answer that was kept is larger when it is unpacked: what says so is not one of ours.
const MOST_UNPACKED: usize = 256 << 20;

/// The value of an entry that was made at this time of the server, in milliseconds since 1970.
pub(super) fn write(entry: &Entry, made: u64, key: &Digest, compress_over: usize) -> Vec<u8> {
    let answer = entry.recording.to_bytes();
    let packed = (answer.len() > compress_over).then(|| lz4_flex::compress_prepend_size(&answer));
    let body = packed.as_deref().unwrap_or(&answer);
    let mut value = Vec::with_capacity(HEAD + body.len());
    value.extend_from_slice(MAGIC);
    value.extend_from_slice(&[0; CHECKSUM]);
    value.extend_from_slice(key.as_bytes());
    value.extend_from_slice(&made.to_le_bytes());
    for time in [entry.ttl, entry.stale_for] {
        value.extend_from_slice(&u64::try_from(time.as_millis()).unwrap_or(u64::MAX).to_le_bytes());
    }
    value.push(u8::from(packed.is_some()));
    value.extend_from_slice(body);
    let (head, rest) = value.split_at_mut(MAGIC.len() + CHECKSUM);
    head[MAGIC.len()..].copy_from_slice(&checksum(rest, packed.is_some()));
    value
}

/// The entry and when it was made; `None` when it is not one of this key.
pub(super) fn read(mut value: Bytes, key: &Digest) -> Option<(Entry, u64)> {
    let (sum, covered) = value.strip_prefix(MAGIC)?.split_first_chunk::<CHECKSUM>()?;
    let (whose, rest) = covered.split_first_chunk::<32>()?;
    let (made, rest) = rest.split_first_chunk::<8>()?;
    let (ttl, rest) = rest.split_first_chunk::<8>()?;
    let (stale_for, rest) = rest.split_first_chunk::<8>()?;
    let is_packed = match rest.first()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    if *sum != checksum(covered, is_packed) || whose != key.as_bytes() {
        return None;
    }
    let (made, ttl, stale_for) = (u64::from_le_bytes(*made), time(*ttl), time(*stale_for));
    value.advance(HEAD);
    let answer = if is_packed { unpack(&value)?.into() } else { value };
    Some((Entry::new(Recording::from_bytes(answer)?, ttl, stale_for), made))
}

fn time(bytes: [u8; 8]) -> Duration {
    Duration::from_millis(u64::from_le_bytes(bytes))
}

pub(super) fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let (size, rest) = lz4_flex::block::uncompressed_size(packed).ok()?;
    (size <= MOST_UNPACKED).then(|| lz4_flex::decompress(rest, size).ok()).flatten()
}

/// CRC-32: it is there against damage; against a value of another key there is the digest. An answer that is not packed is
/// left out: it is not gone through twice.
fn checksum(covered: &[u8], is_packed: bool) -> [u8; CHECKSUM] {
    let head = HEAD - MAGIC.len() - CHECKSUM;
    let covered = if is_packed { covered } else { &covered[..head.min(covered.len())] };
    crc32fast::hash(covered).to_le_bytes()
}

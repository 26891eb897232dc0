//! A recording as bytes.

use std::sync::Arc;

use bytes::Bytes;

use super::{Packed, Place, Recorded, Recording, Streamed};
use crate::chat::{FinishReason, PlainAnswer};
use crate::usage::Usage;

impl Recording {
    /// It as bytes, with a version and a checksum.
    pub fn to_bytes(&self) -> Bytes {
        let recorded = &*self.0;
        let mut out = Vec::with_capacity(self.bytes() + 128);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[0; CHECKSUM]);
        for text in [&recorded.provider[..], &recorded.model, recorded.finish_reason.as_str()] {
            put(&mut out, text.as_bytes());
        }
        match recorded.usage {
            None => out.push(0),
            Some(Usage { input, output, cache_read, cache_write, cache_write_long, reasoning }) => {
                out.push(1);
                for number in [input, output, cache_read, cache_write, cache_write_long, reasoning] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
            }
        }
        out.push(u8::from(recorded.plain.is_some()));
        put(&mut out, &recorded.whole);
        match &recorded.streamed {
            None => out.push(0),
            Some(streamed) => {
                out.push(1);
                put_length(&mut out, streamed.chunks.len());
                for chunk in &streamed.chunks {
                    out.extend_from_slice(&chunk.end.to_le_bytes());
                    out.extend_from_slice(&chunk.plain.0.to_le_bytes());
                }
                put(&mut out, &streamed.text);
            }
        }
        let checksum = checksum(&out[MAGIC.len() + CHECKSUM..]);
        out[MAGIC.len()..MAGIC.len() + CHECKSUM].copy_from_slice(&checksum);
        out.into()
    }

    /// What [`Recording::to_bytes`] made; `None` when it is anything else, of another version, or damaged anywhere. The
    /// answer stays in `bytes`, uncopied.
    pub fn from_bytes(bytes: Bytes) -> Option<Self> {
        let (sum, covered) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<CHECKSUM>()?;
        if *sum != checksum(covered) {
            return None;
        }
        let mut rest = Reader(covered);
        let provider = rest.text()?.into();
        let model = rest.text()?.into();
        let finish_reason = FinishReason::from(rest.text()?);
        let usage = match rest.flag()? {
            true => Some(rest.usage()?),
            false => None,
        };
        // An answer that was cut off is never recorded.
        let plain = rest.flag()?.then_some(PlainAnswer { cut_off: false, usage });
        let whole = bytes.slice_ref(rest.piece()?);
        let streamed = match rest.flag()? {
            true => Some(rest.streamed(&bytes)?),
            false => None,
        };
        let recorded = Recorded { provider, model, finish_reason, usage, whole, plain, streamed };
        rest.0.is_empty().then(|| Self(Arc::new(recorded)))
    }
}

/// What it is and its version, before everything else.
const MAGIC: &[u8] = b"mainstay recording 1\n";
const CHECKSUM: usize = 4;

/// CRC-32: it is there against damage, not against malice.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    crc32fast::hash(bytes).to_le_bytes()
}

/// Nothing in a recording is longer than 4 GiB: it would not have been made.
fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Reads what was put, in place, and never more than is there.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).ok()
    }

    fn piece(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.piece()?).ok()
    }

    fn flag(&mut self) -> Option<bool> {
        match self.array()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.array()?))
    }

    fn usage(&mut self) -> Option<Usage> {
        Some(Usage {
            input: self.number()?,
            output: self.number()?,
            cache_read: self.number()?,
            cache_write: self.number()?,
            cache_write_long: self.number()?,
            reasoning: self.number()?,
        })
    }

    /// The chunks; their text is a part of `bytes`, which this reads.
    fn streamed(&mut self, bytes: &Bytes) -> Option<Streamed> {
        let count = self.length()?;
        // Each chunk has a place, so a count that is too large cannot ask for memory that is not there.
        let places = self.take(count.checked_mul(size_of::<Place>())?)?;
        let mut last = 0;
        let mut chunks = Vec::with_capacity(count);
        for place in places.chunks_exact(size_of::<Place>()) {
            let (end, plain) = place.split_at(4);
            let end = u32::from_le_bytes(end.try_into().ok()?);
            let plain = Packed(u32::from_le_bytes(plain.try_into().ok()?));
            if end < last {
                return None;
            }
            last = end;
            chunks.push(Place { end, plain });
        }
        let text = self.piece()?;
        let is_all = text.len() == usize::try_from(last).ok()?;
        is_all.then(|| Streamed { text: bytes.slice_ref(text), chunks: chunks.into() })
    }
}

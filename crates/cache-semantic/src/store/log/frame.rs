//! Where a record begins and ends in the file: four bytes that say so, its length, the record.
//!
//! A length that was damaged leads anywhere; the four bytes are how the next record is found again. The record's own
//! checksum says whether it is one.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use super::super::record::Record;

const MARK: [u8; 4] = [0xb5, b'r', b'e', b'c'];

/// Nothing longer is ever written: a whole answer of 16 MiB fits.
const LONGEST: usize = 64 << 20;

/// The record as it stands in the file; `None` when it is too long for one.
pub(super) fn framed(record: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(record.len()).ok().filter(|_| record.len() <= LONGEST)?;
    Some([MARK.as_slice(), &length.to_le_bytes(), record].concat())
}

/// What was found in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Where the last whole record ends.
    pub(super) end: u64,
    /// How many bytes are in no whole record.
    pub(super) damaged: u64,
}

/// Reads every whole record from `start` on.
pub(super) fn read_all(
    file: impl Read + Seek,
    start: u64,
    mut found: impl FnMut(Record),
) -> io::Result<Found> {
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let length = reader.seek(SeekFrom::End(0))?;
    let (mut at, mut end, mut damaged) = (start, start, 0);
    while at < length {
        reader.seek(SeekFrom::Start(at))?;
        if let Some((record, bytes)) = read_one(&mut reader, length - at)? {
            damaged += at - end;
            at += bytes;
            end = at;
            found(record);
        } else {
            reader.seek(SeekFrom::Start(at + 1))?;
            at = next_mark(&mut reader, at + 1)?.unwrap_or(length);
        }
    }
    Ok(Found { end, damaged: damaged + (length - end) })
}

/// A record and how many bytes it takes in the file, if there is one here.
fn read_one(reader: &mut impl Read, left: u64) -> io::Result<Option<(Record, u64)>> {
    let mut head = [0; 8];
    if left < head.len() as u64 {
        return Ok(None);
    }
    reader.read_exact(&mut head)?;
    let [m0, m1, m2, m3, l0, l1, l2, l3] = head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let bytes = head.len() as u64 + length as u64;
    if [m0, m1, m2, m3] != MARK || length > LONGEST || bytes > left {
        return Ok(None);
    }
    let mut record = vec![0; length];
    reader.read_exact(&mut record)?;
    Ok(Record::from_bytes(record.into()).map(|record| (record, bytes)))
}

/// Where the next mark begins.
fn next_mark(reader: &mut impl BufRead, from: u64) -> io::Result<Option<u64>> {
    let (mut at, mut seen) = (from, 0);
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(None);
        }
        for byte in bytes {
            at += 1;
            // The mark's first byte is nowhere else in it: a mark can begin only where another one broke off.
            seen = match *byte {
                byte if byte == MARK[seen] => seen + 1,
                byte => usize::from(byte == MARK[0]),
            };
            if seen == MARK.len() {
                return Ok(Some(at - MARK.len() as u64));
            }
        }
        let used = bytes.len();
        reader.consume(used);
    }
}

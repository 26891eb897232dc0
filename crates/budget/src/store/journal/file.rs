//! Files of records: each with its length and a checksum, so that what was torn off is known.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::record::Record;

/// The beginning of each file.
const MAGIC: &[u8; 8] = b"msbudg01";
/// No record is longer.
const LONGEST: usize = 64 << 20;

/// A record as it stands in a file.
pub(super) fn framed(record: &Record) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 8];
    serde_json::to_writer(&mut bytes, record)?;
    let length = u32::try_from(bytes.len() - 8).map_err(io::Error::other)?;
    let sum = crc32fast::hash(&bytes[8..]);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

/// What stands in a file.
pub(super) struct Contents {
    pub(super) records: Vec<Record>,
    /// Whether something at its end is torn off or damaged.
    pub(super) is_torn: bool,
    /// So many bytes are damaged that sound records come after.
    pub(super) left_out: usize,
}

/// Reads the sound records of a file.
pub(super) fn read(path: &Path) -> io::Result<Contents> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    let sound = bytes.strip_prefix(MAGIC);
    // Without it: nothing, a beginning that never reached the disk, or one that is damaged.
    let mut contents = Contents { records: Vec::new(), is_torn: sound.is_none(), left_out: 0 };
    let mut rest = sound.unwrap_or(&bytes);
    while !rest.is_empty() {
        if let Some((record, after)) = next(rest, LONGEST) {
            contents.records.push(record);
            rest = after;
        } else if let Some(sound) = next_sound(rest) {
            contents.left_out += sound;
            rest = &rest[sound..];
        } else {
            contents.is_torn = true;
            break;
        }
    }
    Ok(contents)
}

fn next(bytes: &[u8], longest: usize) -> Option<(Record, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|length| *length <= longest)?;
    let (payload, rest) = rest.split_at_checked(length)?;
    (crc32fast::hash(payload) == u32::from_le_bytes(*sum)).then_some(())?;
    Some((serde_json::from_slice(payload).ok()?, rest))
}

/// Where the next sound record begins behind one that is not. One of a usual size: what is damaged may look like any length, and each
/// is summed up.
fn next_sound(bytes: &[u8]) -> Option<usize> {
    const USUAL: usize = 1 << 20;
    (1..bytes.len()).find(|at| next(&bytes[*at..], USUAL).is_some())
}

/// A new file for records.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().create_new(true).append(true).open(path)?;
    file.write_all(MAGIC)?;
    Ok(file)
}

/// Writes a whole file: it is there with all of it, or not at all. Says how long it is.
pub(super) fn write_whole(path: &Path, records: impl Iterator<Item = Record>) -> io::Result<u64> {
    let new = path.with_extension("new");
    // What an earlier attempt left.
    if new.exists() {
        fs::remove_file(&new)?;
    }
    let mut file = io::BufWriter::with_capacity(1 << 20, create(&new)?);
    let mut length = MAGIC.len() as u64;
    for record in records {
        let bytes = framed(&record)?;
        length += bytes.len() as u64;
        file.write_all(&bytes)?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&new, path)?;
    sync_folder(path)?;
    Ok(length)
}

/// Has the names in a file's folder on the disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

pub(super) fn journal(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("{generation:012}.journal"))
}

/// Where a damaged journal is kept for who looks into it: nobody reads it again.
pub(super) fn aside(journal: &Path) -> PathBuf {
    journal.with_extension("journal.damaged")
}

pub(super) fn snapshot(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("{generation:012}.snapshot"))
}

/// The generations of the journals and of the snapshots in a folder, oldest first.
pub(super) fn generations(folder: &Path) -> io::Result<(Vec<u64>, Vec<u64>)> {
    let (mut journals, mut snapshots) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        let (Some(number), Some(kind)) = (number, path.extension().and_then(|kind| kind.to_str())) else {
            continue;
        };
        match kind {
            "journal" => journals.push(number),
            "snapshot" => snapshots.push(number),
            _ => {}
        }
    }
    journals.sort_unstable();
    snapshots.sort_unstable();
    Ok((journals, snapshots))
}

//! The file: a header that says whose vectors it holds, then records.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::super::record::Record;
use super::frame::{self, Found};
use super::{OpenError, io};

pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    header: Vec<u8>,
    /// Where the last whole record ends.
    end: u64,
}

/// What a file of ours begins with, and the version of what follows.
const MAGIC: [u8; 8] = *b"mssemlg1";

/// A longer name is no embedder's.
const LONGEST_NAME: usize = 4096;

impl LogFile {
    pub(super) fn open(path: &Path, embedder: &str) -> Result<Self, OpenError> {
        let failed = |source| io(path, source);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        lock(&file, path)?;
        let header = header(embedder);
        let mut opened = Self { path: path.to_owned(), file, header, end: 0 };
        if opened.file.metadata().map_err(failed)?.len() == 0 {
            opened.begin().map_err(failed)?;
        } else {
            opened.check(embedder)?;
        }
        opened.end = opened.header.len() as u64;
        Ok(opened)
    }

    pub(super) fn len(&self) -> u64 {
        self.end
    }

    /// Reads all records and cuts off a torn end.
    pub(super) fn replay(&mut self, found: impl FnMut(Record)) -> io::Result<Found> {
        let read = frame::read_all(&self.file, self.header.len() as u64, found)?;
        self.end = read.end;
        self.file.set_len(self.end)?;
        Ok(read)
    }

    /// Adds bytes at the end. What was half written is cut off again.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.seek(SeekFrom::Start(self.end)).and_then(|_| self.file.write_all(bytes));
        match written {
            Ok(()) => {
                self.end += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // When this fails too, the next opening does it.
                let _ = self.file.set_len(self.end);
                Err(error)
            }
        }
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// An empty file beside this one, to be put in its place.
    pub(super) fn successor(&self) -> io::Result<Self> {
        // The whole name with something behind it: two logs whose names differ in their last part only have one each.
        let mut path = self.path.clone().into_os_string();
        path.push(".new");
        let path = PathBuf::from(path);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        file.try_lock().map_err(io::Error::from)?;
        let mut successor = Self { path, file, header: self.header.clone(), end: 0 };
        successor.begin()?;
        successor.end = successor.header.len() as u64;
        Ok(successor)
    }

    /// Puts this file in the place of the one that it is the successor of.
    pub(super) fn take_place_of(mut self, old: &mut Self) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, &old.path)?;
        // The name must be on the disk too; where a folder cannot be opened, the system sees to it.
        if let Some(Ok(folder)) = old.path.parent().map(File::open) {
            let _ = folder.sync_all();
        }
        self.path = old.path.clone();
        *old = self;
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        self.file.write_all(&self.header)?;
        self.file.sync_all()
    }

    fn check(&mut self, wanted: &str) -> Result<(), OpenError> {
        let path = self.path.clone();
        let mut there = Vec::new();
        let longest = (MAGIC.len() + 8 + LONGEST_NAME) as u64;
        (&self.file).take(longest).read_to_end(&mut there).map_err(|source| io(&path, source))?;
        if there.starts_with(&self.header) {
            return Ok(());
        }
        // The power failed while the file was made.
        if self.header.starts_with(&there) {
            let again = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
            return again.and_then(|_| self.begin()).map_err(|source| io(&path, source));
        }
        match name(&there) {
            Some(found) => Err(OpenError::OtherEmbedder { path, found, wanted: wanted.to_owned() }),
            None => Err(OpenError::NotALog { path }),
        }
    }
}

fn lock(file: &File, path: &Path) -> Result<(), OpenError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::InUse { path: path.to_owned() },
        TryLockError::Error(source) => io(path, source),
    })
}

fn header(embedder: &str) -> Vec<u8> {
    let name = &embedder.as_bytes()[..embedder.len().min(LONGEST_NAME)];
    let length = (name.len() as u32).to_le_bytes();
    let sum = crc32fast::hash(name).to_le_bytes();
    [MAGIC.as_slice(), &length, &sum, name].concat()
}

/// Whose vectors a file holds that begins like this.
fn name(there: &[u8]) -> Option<String> {
    let rest = there.strip_prefix(&MAGIC)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let name = rest.get(..u32::from_le_bytes(*length) as usize)?;
    (crc32fast::hash(name) == u32::from_le_bytes(*sum)).then(|| String::from_utf8_lossy(name).into_owned())
}

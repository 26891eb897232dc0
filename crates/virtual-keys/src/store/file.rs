//! Keys in a file, for one machine.

use std::collections::BTreeMap;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{KeyStore, Snapshot, StoreError, StoreFuture, next_revision};
use crate::clock::Clock;
use crate::id::KeyId;
use crate::record::VirtualKey;
use crate::secret::{KeyHasher, hex};

/// Keys in a JSON file that several processes of one machine share.
///
/// Each change writes a new file beside it and puts that in its place, under a lock, so a reader never sees half of one and a
/// crash leaves the old or the new. Only its owner may read it (mode 0600). A clone is another handle.
#[derive(Debug, Clone)]
pub struct FileStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// What the file looked like when it was read last, and the revision in it.
    seen: Mutex<Option<(Stamp, u64)>>,
}

/// What changes when another file takes the place of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Document {
    /// The version of the form.
    mainstay_keys: u32,
    revision: u64,
    /// As they stand there: what cannot be read is kept as it is.
    keys: BTreeMap<String, Value>,
}

const VERSION: u32 = 1;

/// Five seconds in all.
const LOCK_TRIES: u32 = 1000;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

impl FileStore {
    /// The keys in this file, which is made when it is not there. For settings at the start: it waits for the disk.
    ///
    /// # Errors
    /// When the file cannot be made, or is no file of keys.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let store = Self(Arc::new(Inner { path: path.into(), seen: Mutex::new(None) }));
        let inner = &store.0;
        let _lock = inner.lock()?;
        if !inner.path.exists() {
            inner.replace(&Document { mainstay_keys: VERSION, revision: 0, keys: BTreeMap::new() })?;
        }
        inner.document()?;
        Ok(store)
    }

    /// Makes digests with the secret that lies beside the file (`keys.json.secret`), which is made when there are no keys yet.
    ///
    /// # Errors
    /// When others may read it, when it is missing although there are keys, when it cannot be read or made.
    pub fn hasher(&self) -> Result<KeyHasher, StoreError> {
        let inner = &self.0;
        let path = inner.beside("secret");
        let _lock = inner.lock()?;
        if !path.exists() {
            if !inner.document()?.keys.is_empty() {
                let why =
                    format!("{} is missing, without which none of the keys can be checked", path.display());
                return Err(StoreError::Damaged(why));
            }
            let mut bytes = Zeroizing::new([0; KeyHasher::LEAST]);
            getrandom::fill(&mut *bytes).map_err(StoreError::failed)?;
            write_new(&path, hex(&*bytes).as_bytes()).map_err(|error| at(&path, error))?;
        }
        let mut file = File::open(&path).map_err(|error| at(&path, error))?;
        let metadata = file.metadata().map_err(|error| at(&path, error))?;
        if others_may_read(&metadata) {
            let path = path.display();
            return Err(StoreError::Damaged(format!("others may read {path}; chmod 600 {path}")));
        }
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(|error| at(&path, error))?;
        KeyHasher::new(text.trim().as_bytes()).map_err(StoreError::failed)
    }
}

impl Inner {
    /// The file of this name with another ending behind its own.
    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(ending);
        name.into()
    }

    /// Nobody else changes the file while this lives.
    fn lock(&self) -> Result<File, StoreError> {
        let path = self.beside("lock");
        let lock = || {
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).write(true);
            let file = private(&mut options).open(&path)?;
            // Not for ever: whoever holds it may have been stopped, and this thread would keep the process from ending.
            for _ in 0..LOCK_TRIES {
                match file.try_lock() {
                    Ok(()) => return Ok(file),
                    Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOCK_PAUSE),
                    Err(TryLockError::Error(error)) => return Err(error),
                }
            }
            Err(io::Error::new(io::ErrorKind::TimedOut, "somebody else holds the lock"))
        };
        lock().map_err(|error| at(&path, error))
    }

    fn document(&self) -> Result<Document, StoreError> {
        let text = std::fs::read(&self.path).map_err(|error| at(&self.path, error))?;
        let damaged = |why: String| StoreError::Damaged(format!("{}: {why}", self.path.display()));
        let document: Document = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        match document.mainstay_keys {
            VERSION => Ok(document),
            other => Err(damaged(format!("version {other}; this program reads version {VERSION}"))),
        }
    }

    fn read(&self, known: Option<u64>) -> Result<Option<Snapshot>, StoreError> {
        let stamp = Stamp::of(&std::fs::metadata(&self.path).map_err(|error| at(&self.path, error))?);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_some_and(|(then, revision)| then == stamp && known == Some(revision)) {
            return Ok(None);
        }
        let document = self.document()?;
        *seen = Some((stamp, document.revision));
        if known == Some(document.revision) {
            return Ok(None);
        }
        let mut snapshot = Snapshot::new(document.revision, Vec::with_capacity(document.keys.len()));
        for value in document.keys.into_values() {
            match serde_json::from_value(value) {
                Ok(key) => snapshot.keys.push(key),
                Err(_) => snapshot.damaged += 1,
            }
        }
        Ok(Some(snapshot))
    }

    /// Changes one key, if its revision is this one.
    fn change<T>(
        &self,
        id: &KeyId,
        revision: u64,
        change: impl FnOnce(&mut BTreeMap<String, Value>, u64) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _lock = self.lock()?;
        let mut document = self.document()?;
        let there = document.keys.get(id.as_str());
        let there = there.map_or(0, |key| key.get("revision").and_then(Value::as_u64).unwrap_or(u64::MAX));
        if there != revision {
            return Err(StoreError::Conflict);
        }
        document.revision = next_revision(document.revision, Clock::default().now_ms());
        let changed = change(&mut document.keys, document.revision)?;
        self.replace(&document)?;
        Ok(changed)
    }

    fn write(&self, mut key: VirtualKey) -> Result<VirtualKey, StoreError> {
        let (id, revision) = (key.id.clone(), key.revision);
        self.change(&id, revision, |keys, revision| {
            key.revision = revision;
            let value = serde_json::to_value(&key).map_err(StoreError::failed)?;
            keys.insert(key.id.as_str().to_owned(), value);
            Ok(key)
        })
    }

    fn delete(&self, id: &KeyId, revision: u64) -> Result<(), StoreError> {
        self.change(id, revision.max(1), |keys, _| {
            keys.remove(id.as_str());
            Ok(())
        })
    }

    /// Puts a new file in the place of the old one; only under the lock.
    fn replace(&self, document: &Document) -> Result<(), StoreError> {
        let mut text = serde_json::to_vec_pretty(document).map_err(StoreError::failed)?;
        text.push(b'\n');
        let new = self.beside("new");
        let replace = || {
            match std::fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {} // what a crash has left, or nothing
            }
            write_new(&new, &text)?;
            keep_owner(&self.path, &new)?;
            std::fs::rename(&new, &self.path)?;
            sync_folder(&self.path)
        };
        replace().map_err(|error| at(&self.path, error))
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Self { modified: metadata.modified().ok(), length: metadata.len(), inode }
    }
}

/// Whoever changes the keys (root, by the command line), the file stays whose it was: the gateway has to read it.
#[cfg(unix)]
fn keep_owner(old: &Path, new: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let Ok(was) = std::fs::metadata(old) else { return Ok(()) }; // the first
    let is = std::fs::metadata(new)?;
    if (is.uid(), is.gid()) == (was.uid(), was.gid()) {
        return Ok(());
    }
    chown(new, Some(was.uid()), Some(was.gid()))
}

#[cfg(not(unix))]
fn keep_owner(_: &Path, _: &Path) -> io::Result<()> {
    Ok(())
}

/// A file that its owner alone may read; it must not be there yet.
fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = private(OpenOptions::new().create_new(true).write(true)).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(unix)]
fn others_may_read(metadata: &Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0
}

#[cfg(not(unix))]
fn others_may_read(_: &Metadata) -> bool {
    false
}

/// The new name itself is on disk only when its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    let _ = path;
    Ok(())
}

fn at(path: &Path, error: io::Error) -> StoreError {
    let text = format!("{}: {error}", path.display());
    StoreError::failed(io::Error::new(error.kind(), text))
}

/// Files are read and written on a thread that may wait.
async fn blocking<T: Send + 'static>(
    inner: &Arc<Inner>,
    work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let inner = inner.clone();
    tokio::task::spawn_blocking(move || work(&inner)).await.map_err(StoreError::failed)?
}

impl KeyStore for FileStore {
    fn read(&self, known: Option<u64>) -> StoreFuture<'_, Option<Snapshot>> {
        Box::pin(blocking(&self.0, move |inner| inner.read(known)))
    }

    fn write(&self, key: VirtualKey) -> StoreFuture<'_, VirtualKey> {
        Box::pin(blocking(&self.0, move |inner| inner.write(key)))
    }

    fn delete<'a>(&'a self, id: &'a KeyId, revision: u64) -> StoreFuture<'a, ()> {
        let id = id.clone();
        Box::pin(blocking(&self.0, move |inner| inner.delete(&id, revision)))
    }
}

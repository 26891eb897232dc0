//! Models from the network (feature `fetch`): each file by its checksum, into a folder of the user's.

mod download;
mod known;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use self::known::{known, known_names};

/// A model that can be fetched: where its files lie, and what each must be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Manifest {
    /// The model's name, which becomes the folder's.
    pub name: String,
    /// The address that the paths are put after.
    pub base: String,
    /// The files.
    pub files: Vec<ManifestFile>,
}

/// A file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ManifestFile {
    /// Where it lies, beneath the address and in the folder.
    pub path: String,
    /// How long it is.
    pub bytes: u64,
    /// What it is: SHA-256 in hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// Files of your own.
    pub fn new(name: impl Into<String>, base: impl Into<String>, files: Vec<ManifestFile>) -> Self {
        Self { name: name.into(), base: base.into(), files }
    }

    /// The same files from another place: a mirror, or a server of yours.
    #[must_use]
    pub fn from_base(mut self, base: impl Into<String>) -> Self {
        self.base = base.into();
        self
    }

    /// How long all files are.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Fetches what is not there yet into a folder beneath `models` and returns that folder. What is there and right is
    /// kept. `progress` is told after each piece.
    ///
    /// # Errors
    /// The network, the disk, or a file that is not what it must be: then nothing of that file is left behind.
    ///
    /// # Cancellation
    /// Dropping the future leaves the files that were complete, and nothing of the one that was not.
    pub async fn fetch(
        &self,
        models: &Path,
        mut progress: impl FnMut(Progress<'_>),
    ) -> Result<PathBuf, FetchError> {
        let folder = models.join(plain(&self.name)?);
        let client = download::client()?;
        for file in &self.files {
            download::file(&client, &self.base, file, &folder.join(plain(&file.path)?), &mut progress)
                .await?;
        }
        Ok(folder)
    }
}

impl ManifestFile {
    /// A file by its SHA-256 in hexadecimal digits.
    pub fn new(path: impl Into<String>, bytes: u64, sha256: impl Into<String>) -> Self {
        Self { path: path.into(), bytes, sha256: sha256.into() }
    }
}

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// Its path in the manifest.
    pub path: &'a str,
    /// How much of it is there.
    pub done: u64,
    /// How long it is.
    pub bytes: u64,
}

/// Where this user's models are kept: `mainstay/models` in the cache folder of the system, which is `XDG_CACHE_HOME` or
/// `~/.cache`, `~/Library/Caches` on macOS, `LOCALAPPDATA` on Windows. For programs; a layer is told its folder.
pub fn user_folder() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        folder("HOME").map(|home| home.join("Library/Caches"))
    } else {
        folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))
    };
    Some(caches?.join("mainstay").join("models"))
}

/// Why a model was not fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// A name or path in the manifest leads out of its folder.
    #[error("{path:?} leads out of the folder")]
    Path {
        /// The name or path.
        path: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up with the platform's certificates; install ca-certificates")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server cannot be reached, or stopped on the way.
    #[error("{url} cannot be fetched")]
    Network {
        /// The file's address.
        url: String,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server has no such file for us.
    #[error("{url}: HTTP {status}")]
    Status {
        /// The file's address.
        url: String,
        /// What the server said.
        status: u16,
    },
    /// The file is not what it must be. Nothing of it was kept.
    #[error("{url} is not the expected file: {what}")]
    NotTheFile {
        /// The file's address.
        url: String,
        /// Its length or its checksum.
        what: String,
    },
    /// The disk.
    #[error("{} cannot be written", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A path that stays beneath the folder it is joined to.
fn plain(path: &str) -> Result<&Path, FetchError> {
    let is_plain = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
    let as_path = Path::new(path);
    if path.is_empty() || path.contains('\\') || !as_path.components().all(is_plain) {
        return Err(FetchError::Path { path: path.to_owned() });
    }
    Ok(as_path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_its_folder() {
        assert!(plain("1_Pooling/config.json").is_ok());
        for path in ["", "..", "a/../../b", "/etc/passwd", "a\\b", "./a"] {
            assert!(plain(path).is_err(), "{path:?}");
        }
    }
}

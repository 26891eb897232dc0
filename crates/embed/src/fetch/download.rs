//! One file: asked for, hashed while it comes, and moved to its place when it is right.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::{FetchError, ManifestFile, Progress};

pub(super) fn client() -> Result<reqwest::Client, FetchError> {
    use rustls_platform_verifier::BuilderVerifierExt as _;
    let tls = |error: rustls::Error| FetchError::Tls(error.into());
    // The provider is named here and not installed for the process: that is the binary's choice.
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .with_platform_verifier()
        .map_err(tls)?
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(30))
        .build()
        .map_err(|error| FetchError::Tls(error.into()))
}

pub(super) async fn file(
    client: &reqwest::Client,
    base: &str,
    file: &ManifestFile,
    place: &Path,
    progress: &mut impl FnMut(Progress<'_>),
) -> Result<(), FetchError> {
    let mut tell = |done| progress(Progress { path: &file.path, done, bytes: file.bytes });
    if is_there(file, place).await {
        tell(file.bytes);
        return Ok(());
    }
    let url = format!("{}/{}", base.trim_end_matches('/'), file.path);
    let network = |source: reqwest::Error| FetchError::Network { url: url.clone(), source: source.into() };
    let not_it = |what: String| FetchError::NotTheFile { url: url.clone(), what };
    let disk = |source| FetchError::Disk { path: place.to_owned(), source };

    let mut answer = client.get(&url).send().await.map_err(network)?;
    if !answer.status().is_success() {
        return Err(FetchError::Status { url, status: answer.status().as_u16() });
    }
    let folder = place.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder).map_err(disk)?;
    // Removed when it is dropped; so a stop on the way leaves nothing.
    let mut part = NamedTempFile::new_in(folder).map_err(disk)?;
    let (mut hash, mut done) = (Sha256::new(), 0);
    while let Some(piece) = answer.chunk().await.map_err(network)? {
        done += piece.len() as u64;
        if done > file.bytes {
            return Err(not_it(format!("longer than {} bytes", file.bytes)));
        }
        hash.update(&piece);
        part.write_all(&piece).map_err(disk)?;
        tell(done);
    }
    if done < file.bytes {
        return Err(not_it(format!("{done} bytes of {}", file.bytes)));
    }
    let found = hex(hash);
    if !found.eq_ignore_ascii_case(&file.sha256) {
        return Err(not_it(format!("its SHA-256 is {found}, expected {}", file.sha256)));
    }
    readable(&part).map_err(disk)?;
    part.persist(place).map_err(|error| disk(error.error))?;
    Ok(())
}

async fn is_there(file: &ManifestFile, place: &Path) -> bool {
    if !place.metadata().is_ok_and(|found| found.is_file() && found.len() == file.bytes) {
        return false;
    }
    let place: PathBuf = place.to_owned();
    let hashed = tokio::task::spawn_blocking(move || {
        let mut hash = Sha256::new();
        std::io::copy(&mut std::fs::File::open(place)?, &mut hash)?;
        Ok::<_, std::io::Error>(hex(hash))
    });
    matches!(hashed.await, Ok(Ok(found)) if found.eq_ignore_ascii_case(&file.sha256))
}

/// A temporary file is for its owner alone; a model is for whoever may see the folder.
fn readable(part: &NamedTempFile) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        part.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    part.as_file().sync_all()
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

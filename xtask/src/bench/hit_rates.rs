//! What the semantic cache serves of a labelled stream, and what of it is wrong, beside GPTCache's figures there.

use super::figures::{self, Figure};
use crate::tools::OPTIMISED;
use anyhow::Result;
use xshell::{Shell, cmd};

/// Prints the table of `cargo xtask workload --hit-rates`.
pub(super) fn run(sh: &Shell) -> Result<Vec<Figure>> {
    let file = tempfile::NamedTempFile::new()?;
    let out = file.path();
    let profile = OPTIMISED;
    cmd!(sh, "cargo run --quiet --package xtask --features workload {profile...} -- workload --hit-rates --json {out}").run()?;
    // Nothing is written where there is no labelled stream.
    if std::fs::metadata(out)?.len() == 0 { Ok(Vec::new()) } else { figures::read(out) }
}

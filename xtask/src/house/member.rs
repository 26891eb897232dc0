//! A member of the workspace with what only its folder can tell.

use crate::metadata::{Metadata, Package};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

pub(super) const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// What the rules look at.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) package: Package,
    /// `[lints] workspace = true`
    pub(super) inherits_lints: bool,
    pub(super) has_readme: bool,
    pub(super) has_changelog: bool,
    /// The licence files that are missing or differ from the workspace's.
    pub(super) wrong_licences: Vec<String>,
    /// `None`: no library.
    pub(super) docs_are_readme: Option<bool>,
}

impl Member {
    pub(super) fn read(package: &Package, metadata: &Metadata) -> Result<Self> {
        let folder = package.folder();
        let has = |file: &str| folder.join(file).is_file();
        Ok(Self {
            package: package.clone(),
            inherits_lints: inherits_lints(&package.manifest_path)?,
            has_readme: has("README.md"),
            has_changelog: has("CHANGELOG.md"),
            wrong_licences: wrong_licences(folder, &metadata.workspace_root),
            docs_are_readme: package
                .target_of_kind("lib")
                .map(|lib| shows_readme(&lib.src_path))
                .transpose()?,
        })
    }
}

/// `cargo metadata` does not tell this, so the manifest is read.
fn inherits_lints(manifest: &Path) -> Result<bool> {
    let text = fs::read_to_string(manifest).with_context(|| manifest.display().to_string())?;
    let table: toml::Table = text.parse().with_context(|| manifest.display().to_string())?;
    let inherits = table.get("lints").and_then(|lints| lints.get("workspace"));
    Ok(inherits.and_then(toml::Value::as_bool).unwrap_or(false))
}

fn wrong_licences(folder: &Path, workspace: &Path) -> Vec<String> {
    let same = |file: &str| match (fs::read(folder.join(file)), fs::read(workspace.join(file))) {
        (Ok(copy), Ok(original)) => copy == original,
        _ => false,
    };
    LICENCES.into_iter().filter(|file| !same(file)).map(str::to_owned).collect()
}

fn shows_readme(lib: &Path) -> Result<bool> {
    let text = fs::read_to_string(lib).with_context(|| lib.display().to_string())?;
    Ok(text.contains("include_str!(\"../README.md\")"))
}

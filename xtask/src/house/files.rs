//! How long the source files are. Told, not enforced: a long table is no fault, a long file of code often is one.

use crate::metadata::Metadata;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

const LONG: usize = 500;

/// One line per file that is longer than a reader likes, the longest first, then the sums.
pub(super) fn report(metadata: &Metadata) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for package in &metadata.packages {
        rust_files(package.folder(), &mut files)?;
    }
    files.sort();
    files.dedup();
    let lengths = files.iter().map(|path| Ok((length(path)?, path))).collect::<Result<Vec<_>>>()?;
    Ok(told(lengths, &metadata.workspace_root))
}

fn told(mut lengths: Vec<(usize, &PathBuf)>, root: &Path) -> Vec<String> {
    let (count, lines) = (lengths.len(), lengths.iter().map(|(length, _)| length).sum::<usize>());
    lengths.retain(|(length, _)| *length > LONG);
    lengths.sort_by(|a, b| b.cmp(a));
    let short = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
    let mut told: Vec<String> = lengths
        .iter()
        .map(|(length, path)| format!("long file: {length:>5} lines  {}", short(path)))
        .collect();
    told.push(format!("{count} Rust files, {lines} lines, {} longer than {LONG}", lengths.len()));
    told
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "target" | "node_modules") && !name.starts_with('.') {
            rust_files(&path, found)?;
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    Ok(())
}

fn length(path: &Path) -> Result<usize> {
    Ok(fs::read_to_string(path).with_context(|| path.display().to_string())?.lines().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_named_longest_first_beneath_the_workspace() {
        let [short, long, longest] = ["/w/a.rs", "/w/src/b.rs", "/w/src/c.rs"].map(PathBuf::from);
        let told = told(vec![(500, &short), (501, &long), (900, &longest)], Path::new("/w"));
        assert_eq!(
            told,
            [
                "long file:   900 lines  src/c.rs",
                "long file:   501 lines  src/b.rs",
                "3 Rust files, 1901 lines, 2 longer than 500"
            ]
        );
    }
}

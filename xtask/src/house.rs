//! `cargo xtask house`: the rules of the house, and how long its files are.

mod files;
mod member;
mod rules;

use crate::metadata::Metadata;
use anyhow::{Context, Result, bail};
use member::{LICENCES, Member};
use std::fs;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Copy the licence files of the workspace into every published crate first.
    #[arg(long)]
    fix: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let metadata = Metadata::load()?;
    if options.fix {
        copy_licences(&metadata)?;
    }
    check(&metadata)
}

/// Prints what breaks a rule; an error if anything does. Long files are told, and are no error.
pub(crate) fn check(metadata: &Metadata) -> Result<()> {
    let members = metadata.packages.iter().map(|p| Member::read(p, metadata)).collect::<Result<Vec<_>>>()?;
    for line in files::report(metadata)? {
        println!("{line}");
    }
    let broken = rules::broken(&members);
    for line in &broken {
        println!("house: {line}");
    }
    if !broken.is_empty() {
        bail!("{} rules of the house are broken", broken.len());
    }
    println!("house: {} members keep every rule", members.len());
    Ok(())
}

fn copy_licences(metadata: &Metadata) -> Result<()> {
    for package in metadata.packages.iter().filter(|package| package.is_published()) {
        for licence in LICENCES {
            let (from, to) = (metadata.workspace_root.join(licence), package.folder().join(licence));
            fs::copy(&from, &to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
        }
    }
    Ok(())
}

//! `cargo xtask release-check`: what takes long, or needs more than a bare machine.

use crate::metadata::Metadata;
use crate::steps::Steps;
use crate::tools::{self, Tool};
use anyhow::{Result, ensure};
use std::path::PathBuf;
use xshell::{Shell, cmd};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The tag or commit that semver checks compare with; without it, the latest release on crates.io.
    #[arg(long)]
    baseline: Option<String>,
    /// How long each fuzz target runs.
    #[arg(long, default_value_t = 300)]
    fuzz_seconds: u32,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let metadata = Metadata::load()?;
    let sh = Shell::new()?;
    sh.change_dir(&metadata.workspace_root);

    let mut steps = Steps::new(false);
    with_tool(&mut steps, "licences and advisories", &tools::DENY, || {
        Ok(cmd!(sh, "cargo deny --all-features check --config xtask/deny.toml").run()?)
    });
    with_tool(&mut steps, "semver", &tools::SEMVER_CHECKS, || semver(&sh, options.baseline.as_deref()));
    with_tool(&mut steps, "minimum Rust version", &tools::MSRV, || minimum_rust(&sh, &metadata));
    match fuzz_folders(&metadata) {
        folders if folders.is_empty() => steps.skip("fuzzing", "no crate has a fuzz folder"),
        folders => {
            with_tool(&mut steps, "fuzzing", &tools::FUZZ, || fuzz(&sh, &folders, options.fuzz_seconds))
        }
    }
    steps.finish()
}

fn with_tool(steps: &mut Steps, name: &str, tool: &Tool, work: impl FnOnce() -> Result<()>) {
    steps.run(name, || {
        tool.require()?;
        work()
    });
}

fn semver(sh: &Shell, baseline: Option<&str>) -> Result<()> {
    let baseline = baseline.map(|rev| ["--baseline-rev", rev]).into_iter().flatten();
    Ok(cmd!(sh, "cargo semver-checks --workspace {baseline...}").run()?)
}

/// Each published crate is compiled with the Rust version that its manifest promises.
fn minimum_rust(sh: &Shell, metadata: &Metadata) -> Result<()> {
    for package in metadata.packages.iter().filter(|package| package.is_published()) {
        let promised = package.rust_version.as_deref();
        ensure!(
            promised.is_some(),
            "{} promises no rust-version; inherit it from the workspace",
            package.name
        );
        let manifest = &package.manifest_path;
        cmd!(sh, "cargo msrv verify --manifest-path {manifest} -- cargo check --all-features").run()?;
    }
    Ok(())
}

fn fuzz_folders(metadata: &Metadata) -> Vec<PathBuf> {
    let folders = metadata.packages.iter().map(|package| package.folder().to_owned());
    folders.filter(|folder| folder.join("fuzz/Cargo.toml").is_file()).collect()
}

/// cargo-fuzz needs the nightly compiler for its sanitizers.
fn fuzz(sh: &Shell, folders: &[PathBuf], seconds: u32) -> Result<()> {
    let seconds = format!("-max_total_time={seconds}");
    for folder in folders {
        let _at = sh.push_dir(folder);
        for target in cmd!(sh, "cargo +nightly fuzz list").read()?.lines() {
            cmd!(sh, "cargo +nightly fuzz run {target} -- {seconds}").run()?;
        }
    }
    Ok(())
}

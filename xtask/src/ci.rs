//! `cargo xtask ci`: what must hold before a change goes in.

use crate::features::{self, Check};
use crate::house;
use crate::loom;
use crate::metadata::Metadata;
use crate::steps::Steps;
use crate::tools;
use anyhow::{Result, bail};
use std::path::Path;
use xshell::{Shell, cmd};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Stop at the first failed step.
    #[arg(long)]
    fail_fast: bool,
    /// Build the packed crates too, not only pack them. Slow: every crate is compiled once more.
    #[arg(long)]
    verify_packages: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let metadata = Metadata::load()?;
    let sh = Shell::new()?;
    sh.change_dir(&metadata.workspace_root);

    let mut steps = Steps::new(options.fail_fast);
    steps.run("format", || Ok(cmd!(sh, "cargo fmt --all --check").run()?));
    steps.run("house", || house::check(&metadata));
    steps.run("clippy", || {
        Ok(cmd!(sh, "cargo clippy --quiet --workspace --all-targets --all-features -- -D warnings").run()?)
    });
    steps.run("docs", || docs(&sh));
    steps.run("features", || each_feature_alone(&sh, &metadata));
    steps.run("loom", || loom::run(&sh, &metadata));
    steps.run("publish dry run", || publish_dry_run(&sh, options.verify_packages));
    steps.run("faults", || faults(&sh, &metadata));
    steps.run("simulation", || simulation(&sh));
    match metadata.shared("fixtures") {
        Some(folder) => steps.run("conformance", || conformance(&sh, &metadata, &folder)),
        None => steps
            .skip("conformance", "no recorded exchanges at ../shared/fixtures or $MAINSTAY_SHARED/fixtures"),
    }
    steps.finish()
}

/// Libraries only: the binary `mainstay` and the library `mainstay` would be documented at the same place.
fn docs(sh: &Shell) -> Result<()> {
    let _flags = sh.push_env("RUSTDOCFLAGS", "-D warnings");
    Ok(cmd!(sh, "cargo doc --quiet --workspace --lib --no-deps --all-features").run()?)
}

fn each_feature_alone(sh: &Shell, metadata: &Metadata) -> Result<()> {
    let plan = features::plan(metadata);
    let mut failed = Vec::new();
    for check in &plan {
        match check_alone(sh, check) {
            Ok(()) => eprintln!("   ok  {check}"),
            Err(error) => {
                eprintln!("FAILED  {check}\n{error:#}");
                failed.push(check.to_string());
            }
        }
    }
    if !failed.is_empty() {
        bail!("{} of {} feature sets do not build cleanly: {}", failed.len(), plan.len(), failed.join(", "));
    }
    Ok(())
}

/// A warning of the crate itself fails too. `RUSTFLAGS=-Dwarnings` would do it, and would compile every dependency anew.
fn check_alone(sh: &Shell, check: &Check) -> Result<()> {
    let output = cmd!(sh, "cargo").args(check.args()).quiet().ignore_status().output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || check.warned(&told) {
        let said = told.lines().filter(|line| !line.trim_start().starts_with("Checking "));
        bail!("{}", said.collect::<Vec<_>>().join("\n"));
    }
    Ok(())
}

fn publish_dry_run(sh: &Shell, verify: bool) -> Result<()> {
    let dirty = !cmd!(sh, "git status --porcelain").quiet().read()?.is_empty();
    if dirty {
        eprintln!("note: the work tree has changes that are not committed; they are packed as they are");
    }
    let allow_dirty = dirty.then_some("--allow-dirty");
    let no_verify = (!verify).then_some("--no-verify");
    Ok(cmd!(sh, "cargo publish --quiet --workspace --dry-run {allow_dirty...} {no_verify...}").run()?)
}

/// The sixteen bad days, in the quick profile.
fn faults(sh: &Shell, metadata: &Metadata) -> Result<()> {
    tools::build_all(sh)?;
    let (xtask, gateway) = (tools::built(metadata, "xtask")?, tools::built(metadata, "mainstay-gateway")?);
    Ok(cmd!(sh, "{xtask} faults --strict --gateway {gateway}").run()?)
}

/// A tenth of the seeds that `cargo xtask sim` takes.
fn simulation(sh: &Shell) -> Result<()> {
    let optimised = tools::OPTIMISED;
    Ok(cmd!(sh, "cargo run --quiet --package xtask --features sim {optimised...} -- sim --seeds 1000")
        .run()?)
}

/// Recorded exchanges through the adapters, and through the whole gateway.
fn conformance(sh: &Shell, metadata: &Metadata, folder: &Path) -> Result<()> {
    tools::build_all(sh)?;
    let (xtask, gateway) = (tools::built(metadata, "xtask")?, tools::built(metadata, "mainstay-gateway")?);
    cmd!(sh, "{xtask} conformance {folder}").run()?;
    Ok(cmd!(sh, "{xtask} conformance {folder} --through-gateway {gateway}").run()?)
}

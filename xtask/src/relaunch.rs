//! Commands that xtask was built without: what they are linked with is compiled when they are first used.

use crate::tools::OPTIMISED;
use anyhow::{Result, bail};
use std::process::Command;

/// What follows the command; this build only hands it on.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Starts xtask again, built with the feature that has the command and its name.
pub(crate) fn run(command: &str, options: &Options) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["run", "--quiet", "--package", "xtask", "--features", command])
        .args(profile(command))
        .args(["--", command])
        .args(&options.arguments)
        .status()?;
    if !status.success() {
        bail!("{command} ended with {status}");
    }
    Ok(())
}

fn profile(command: &str) -> &'static [&'static str] {
    if matches!(command, "sim" | "workload") { &OPTIMISED } else { &[] }
}

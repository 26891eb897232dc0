//! `cargo xtask conformance` where xtask was built without it: the command is linked with every adapter, and compiled
//! when it is first used.

use anyhow::{Result, bail};
use std::process::Command;

/// What follows the command; this build only hands it on.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Starts xtask again, built with the feature that has the command.
pub(crate) fn run(options: &Options) -> Result<()> {
    let command = "conformance";
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["run", "--quiet", "--package", "xtask", "--features", command, "--", command])
        .args(&options.arguments)
        .status()?;
    if !status.success() {
        bail!("{command} ended with {status}");
    }
    Ok(())
}

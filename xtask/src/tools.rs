//! Programs that a chore needs: is it here, and what installs it?

use crate::metadata::Metadata;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use xshell::{Shell, cmd};

/// A program outside the workspace.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    /// Answers quickly and with success when the tool is there.
    pub(crate) probe: &'static [&'static str],
    /// The one command that installs it.
    pub(crate) install: &'static str,
}

pub(crate) const NEXTEST: Tool = Tool {
    name: "cargo-nextest",
    probe: &["cargo", "nextest", "--version"],
    install: "cargo install --locked cargo-nextest",
};
pub(crate) const DENY: Tool = Tool {
    name: "cargo-deny",
    probe: &["cargo", "deny", "--version"],
    install: "cargo install --locked cargo-deny",
};
pub(crate) const SEMVER_CHECKS: Tool = Tool {
    name: "cargo-semver-checks",
    probe: &["cargo", "semver-checks", "--version"],
    install: "cargo install --locked cargo-semver-checks",
};
pub(crate) const MSRV: Tool = Tool {
    name: "cargo-msrv",
    probe: &["cargo", "msrv", "--version"],
    install: "cargo install --locked cargo-msrv",
};
pub(crate) const FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    probe: &["cargo", "fuzz", "--version"],
    install: "cargo install --locked cargo-fuzz",
};
pub(crate) const PYTHON: Tool = Tool {
    name: "python3 with venv",
    probe: &["python3", "-c", "import venv, ensurepip"],
    install: "apt-get install -y python3 python3-venv",
};
pub(crate) const NPM: Tool =
    Tool { name: "npm", probe: &["npm", "--version"], install: "apt-get install -y nodejs npm" };

impl Tool {
    pub(crate) fn is_here(&self) -> bool {
        Command::new(self.probe[0])
            .args(&self.probe[1..])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// An error that names the cure when the tool is missing.
    pub(crate) fn require(&self) -> Result<()> {
        if !self.is_here() {
            bail!("{} is missing; install it with: {}", self.name, self.install);
        }
        Ok(())
    }
}

/// What computes for long is optimised, in a profile of its own, so that nothing else is compiled anew for it.
pub(crate) const OPTIMISED: [&str; 6] = [
    "--config",
    "profile.optimised.inherits='dev'",
    "--config",
    "profile.optimised.opt-level=2",
    "--profile",
    "optimised",
];

/// Builds the binaries exactly as the tests are built, with every feature, so that nothing is compiled twice.
pub(crate) fn build_all(sh: &Shell) -> Result<()> {
    Ok(cmd!(sh, "cargo build --quiet --workspace --all-features --bins --tests").run()?)
}

/// The binary of a package after [`build_all`].
pub(crate) fn built(metadata: &Metadata, package: &str) -> Result<PathBuf> {
    Ok(metadata.target_directory.join("debug").join(binary_name(metadata, package)?))
}

pub(crate) fn binary_name<'a>(metadata: &'a Metadata, package: &str) -> Result<&'a str> {
    let binary = metadata.package(package).and_then(|package| package.target_of_kind("bin"));
    Ok(&binary.with_context(|| format!("the workspace has no package {package} with a binary"))?.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_an_error_that_names_the_command_to_install_it() {
        let tool =
            Tool { name: "unheard-of", probe: &["unheard-of", "--version"], install: "cargo install it" };
        let error = tool.require().unwrap_err().to_string();
        assert_eq!(error, "unheard-of is missing; install it with: cargo install it");
    }
}

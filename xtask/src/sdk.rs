//! Sessions of the real clients against the real gateway: the `openai` SDK of Python and of npm, and LangChain.
//!
//! The clients are unmodified and pinned (`xtask/sdk/requirements.txt`, `xtask/sdk/package-lock.json`); all that they
//! are told is a base URL. The gateway serves its built-in `sim` provider, so no key and no network is needed once the
//! packages are there.

mod gateway;
pub(crate) mod packages;

use crate::metadata::Metadata;
use crate::tools;
use anyhow::{Context, Result, bail};
use gateway::Gateway;
use packages::{Node, Python};
use std::path::Path;
use std::process::Command;
use xshell::Shell;

pub(crate) fn run(sh: &Shell, metadata: &Metadata) -> Result<()> {
    tools::PYTHON.require()?;
    tools::NPM.require()?;
    let scripts = metadata.workspace_root.join("xtask/sdk");
    let home = metadata.target_directory.join("sdk");
    let python = Python::prepare(sh, &scripts, "requirements.txt", &home)?;
    let node = Node::prepare(sh, &scripts, &home)?;
    tools::build_all(sh)?;
    let gateway = Gateway::start(&tools::built(metadata, "mainstay-gateway")?)?;

    let sessions = [
        ("openai (Python)", python.script("openai_session.py")),
        ("langchain (Python)", python.script("langchain_session.py")),
        ("openai (npm)", node.script("openai_session.mjs")),
    ];
    let mut failed = Vec::new();
    for (name, command) in sessions {
        eprintln!("-- {name}");
        if let Err(error) = session(command, &gateway) {
            eprintln!("-- {name} failed: {error:#}");
            failed.push(name);
        }
    }
    let log = gateway.stop()?;
    if !failed.is_empty() {
        eprintln!("-- the gateway's log:\n{log}");
        bail!("sessions failed: {}", failed.join(", "));
    }
    Ok(())
}

/// One script is one session; it prints a line per promise and fails with the first that is not kept.
fn session(mut command: Command, gateway: &Gateway) -> Result<()> {
    let status = command
        .env("MAINSTAY_BASE_URL", gateway.base_url())
        // A client must not find another address or a proxy in the environment.
        .env_remove("OPENAI_BASE_URL")
        .env_remove("OPENAI_API_KEY")
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .env("NO_PROXY", "127.0.0.1")
        .status()
        .with_context(|| format!("{} did not start", Path::new(command.get_program()).display()))?;
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}

//! `cargo xtask test`: the whole test command of the README.

use crate::metadata::Metadata;
use crate::steps::Steps;
use crate::{model, pgserver, sdk, tools};
use anyhow::Result;
use xshell::{Shell, cmd};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only the sessions of the real clients.
    #[arg(long, conflicts_with = "no_sdk")]
    sdk: bool,
    /// Leave the sessions of the real clients out (they need python3, npm and their registries once).
    #[arg(long)]
    no_sdk: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let metadata = Metadata::load()?;
    let sh = Shell::new()?;
    sh.change_dir(&metadata.workspace_root);
    if metadata.shared("fixtures").is_none() {
        eprintln!(
            "note: no shared fixtures (../shared, or MAINSTAY_SHARED); the repository's own fixtures are tested"
        );
    }

    let mut steps = Steps::new(false);
    if !options.sdk {
        if let Err(error) = model::fetch(&sh, &metadata) {
            eprintln!("note: no embedding model ({error:#}); the tests that need the real one are skipped");
        }
        if let Err(error) = pgserver::fetch(&sh, &metadata) {
            eprintln!("note: no PostgreSQL ({error:#}); the tests that need one are skipped");
        }
        steps.run("tests", || workspace_tests(&sh));
        steps.run("doc tests", || Ok(cmd!(sh, "cargo test --quiet --doc --workspace --all-features").run()?));
    }
    if !options.no_sdk {
        steps.run("real clients", || sdk::run(&sh, &metadata));
    }
    steps.finish()
}

fn workspace_tests(sh: &Shell) -> Result<()> {
    if tools::NEXTEST.is_here() {
        cmd!(sh, "cargo nextest run --workspace --all-features --no-fail-fast").run()?;
    } else {
        eprintln!(
            "note: {} is missing, cargo test runs instead; faster: {}",
            tools::NEXTEST.name,
            tools::NEXTEST.install
        );
        cmd!(sh, "cargo test --workspace --all-features --no-fail-fast --lib --bins --tests").run()?;
    }
    Ok(())
}

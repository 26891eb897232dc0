//! `cargo xtask faults`: the gateway as a black box between a plain client and an upstream that has bad days.
//!
//! docs/faults.md tells what is asked, what counts as rescued, and how to read the table.

mod answer;
mod cases;
mod client;
mod gateway;
mod log;
mod plan;
mod report;
mod run;
mod scale;
#[cfg(test)]
mod tests;
mod upstream;
mod verdict;

use self::cases::Case;
use self::run::{Stage, Target};
use self::scale::Profile;
use crate::metadata::Metadata;
use crate::tools;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use xshell::{Shell, cmd};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only the scenarios whose name contains this; several are possible.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Real times, or all of them divided by ten.
    #[arg(long, value_enum, default_value = "fast")]
    profile: Profile,
    /// Drive this binary; without it the gateway of the workspace is built.
    #[arg(long, value_name = "BIN")]
    gateway: Option<PathBuf>,
    /// No gateway: the client asks the primary itself. The baseline, which fails nearly everything.
    #[arg(long, conflicts_with = "gateway")]
    direct: bool,
    /// Fail too where the caller got a clear error instead of the answer.
    #[arg(long)]
    strict: bool,
    /// Write all that was seen.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Tell every attempt and every call of each scenario, and what the gateway logged.
    #[arg(long)]
    verbose: bool,
    /// Print the configuration that the gateway gets, and do nothing.
    #[arg(long)]
    print_config: bool,
    /// How many scenarios run at once. Default: all in the full profile, 8 in the fast one.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.print_config {
        print!("{}", sample_config(options.profile));
        return Ok(());
    }
    let cases = chosen(&options.only)?;
    let target = match &options.gateway {
        _ if options.direct => Target::Direct,
        Some(binary) => Target::Gateway(binary.canonicalize().with_context(|| binary.display().to_string())?),
        None => Target::Gateway(build_gateway()?),
    };
    let jobs = options.jobs.unwrap_or(match options.profile {
        Profile::Full => usize::MAX,
        Profile::Fast => 8,
    });
    let stage = Stage { target, scale: options.profile.scale(), jobs };
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let results = runtime.block_on(run::all(&stage, cases));
    // A stalled connection must not keep the command waiting.
    runtime.shutdown_background();

    if options.verbose {
        print!("{}", report::details(&results));
    }
    println!("{}", report::table(&results, options.profile));
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&report::json(&results, &stage, options.profile))?;
        std::fs::write(file, json).with_context(|| file.display().to_string())?;
    }
    let sum = report::Sum::of(&results);
    println!("\n{sum}");
    if sum.failed > 0 || (options.strict && sum.safe > 0) {
        bail!("not every scenario was rescued");
    }
    Ok(())
}

fn chosen(only: &[String]) -> Result<Vec<Case>> {
    let mut cases = cases::all();
    if !only.is_empty() {
        cases.retain(|case| only.iter().any(|name| case.name().contains(name.as_str())));
    }
    if cases.is_empty() {
        let all = cases::all();
        bail!("no such scenario; there are: {}", cases::scenarios(all.iter()).join(", "));
    }
    Ok(cases)
}

fn build_gateway() -> Result<PathBuf> {
    let metadata = Metadata::load()?;
    let sh = Shell::new()?;
    sh.change_dir(&metadata.workspace_root);
    cmd!(sh, "cargo build --quiet --package mainstay-gateway").run()?;
    tools::built(&metadata, "mainstay-gateway")
}

fn sample_config(profile: Profile) -> String {
    let [primary, fallback] = [9001, 9002].map(|port| ([127, 0, 0, 1], port).into());
    gateway::config(primary, ("openai", fallback), profile.scale())
}

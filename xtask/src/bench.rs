//! `cargo xtask bench`: criterion benchmarks, our layers beside others', and the load runs of the gateway beside nginx.

mod criterion;
mod embed;
mod figures;
mod hit_rates;
mod peers;
mod semantic_crossover;
mod semantic_search;

use crate::metadata::Metadata;
use crate::steps::Steps;
use crate::tools;
use anyhow::{Context, Result};
use figures::Figure;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use xshell::{Shell, cmd};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write every figure: name, value, unit, and the ratio to its reference.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Short runs: to see that all works, not to compare figures.
    #[arg(long)]
    quick: bool,
    /// One part only.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Keep the figures as benches/results/<commit>.json.
    #[arg(long)]
    keep: bool,
    /// Fail when a target of the layers or of the load runs is missed.
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// All benchmarks but `peers`.
    Criterion,
    /// What our layers add to a call, beside tower, tower-resilience and failsafe.
    Peers,
    /// Time per short query of the local embedder, beside ONNX Runtime.
    Embed,
    /// The search of the semantic cache, beside faiss flat and hnswlib.
    SemanticSearch,
    /// From how many entries on a graph is quicker than the bits. Minutes; run only when it is asked for.
    SemanticCrossover,
    /// What the semantic cache serves of a labelled stream, and what of it is wrong, beside GPTCache.
    HitRates,
    Load,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let metadata = Metadata::load()?;
    let sh = Shell::new()?;
    let started_in = sh.current_dir();
    sh.change_dir(&metadata.workspace_root);

    let mut steps = Steps::new(false);
    let mut figures = Vec::new();
    let wanted = |part| options.only.is_none_or(|only| only == part);
    if wanted(Part::Criterion) {
        steps.run("criterion", || {
            figures.extend(run_criterion(&sh, &metadata, options.quick)?);
            Ok(())
        });
    }
    if wanted(Part::Peers) {
        steps.run("peers", || {
            let found = run_peers(&sh, &metadata, options.quick)?;
            println!("\n{}", peers::table(&found));
            figures.extend(found);
            Ok(())
        });
    }
    if wanted(Part::Embed) {
        steps.run("embed", || {
            let found = embed::run(&sh, &metadata, options.quick)?;
            println!("\n{}", embed::table(&found));
            figures.extend(found);
            Ok(())
        });
    }
    if wanted(Part::SemanticSearch) {
        steps.run("semantic search", || {
            let found = semantic_search::run(&sh, &metadata, options.quick)?;
            println!("\n{}", semantic_search::table(&found));
            figures.extend(found);
            Ok(())
        });
    }
    if options.only == Some(Part::SemanticCrossover) {
        steps.run("semantic crossover", || {
            let found = semantic_crossover::run(&sh, &metadata, options.quick)?;
            println!("\n{}", semantic_crossover::table(&found));
            figures.extend(found);
            Ok(())
        });
    }
    if wanted(Part::HitRates) {
        steps.run("hit rates", || {
            figures.extend(hit_rates::run(&sh)?);
            Ok(())
        });
    }
    if wanted(Part::Load) {
        steps.run("load", || {
            figures.extend(run_load(&sh, &metadata, options)?);
            Ok(())
        });
    }
    if options.strict {
        steps.run("targets", || figures::all_reached(&figures));
    }
    if let Some(file) = &options.json {
        figures::write(&started_in.join(file), &commit(&sh)?, &figures)?;
    }
    if options.keep {
        let commit = commit(&sh)?;
        figures::write(
            &metadata.workspace_root.join(format!("benches/results/{commit}.json")),
            &commit,
            &figures,
        )?;
    }
    steps.finish()
}

fn run_criterion(sh: &Shell, metadata: &Metadata, quick: bool) -> Result<Vec<Figure>> {
    let started = SystemTime::now();
    let short: &[&str] = if quick { &["--quick"] } else { &[] };
    cmd!(sh, "cargo bench --package benches --benches -- {short...}").run()?;
    criterion::figures(&metadata.target_directory.join("criterion"), started)
}

fn run_peers(sh: &Shell, metadata: &Metadata, quick: bool) -> Result<Vec<Figure>> {
    let started = SystemTime::now();
    // Fewer rounds. Criterion's own quick mode takes samples so long that they hold what else the machine does.
    let rounds: &[&str] = if quick { &["^peers/[1-3]/"] } else { &[] };
    cmd!(sh, "cargo bench --package benches --features peers --bench peers -- {rounds...}").run()?;
    peers::figures(&criterion::medians(&metadata.target_directory.join("criterion"), started)?)
}

fn run_load(sh: &Shell, metadata: &Metadata, options: &Options) -> Result<Vec<Figure>> {
    install_nginx(sh)?;
    let gateway = build_gateway(sh, metadata)?;
    let file = tempfile::NamedTempFile::new()?;
    let out = file.path();
    let short: &[&str] = if options.quick { &["--quick"] } else { &[] };
    cmd!(sh, "cargo run --quiet --release --package benches --bin load -- --gateway {gateway} --json {out} {short...}")
        .run()?;
    figures::read(out)
}

fn build_gateway(sh: &Shell, metadata: &Metadata) -> Result<PathBuf> {
    cmd!(sh, "cargo build --quiet --release --package mainstay-gateway").run()?;
    Ok(metadata.target_directory.join("release").join(tools::binary_name(metadata, "mainstay-gateway")?))
}

/// The yardstick of the load runs. Installed without being started: the runs start their own.
fn install_nginx(sh: &Shell) -> Result<()> {
    if Path::new("/usr/sbin/nginx").exists() {
        return Ok(());
    }
    let _quiet = (sh.push_env("DEBIAN_FRONTEND", "noninteractive"), sh.push_env("RUNLEVEL", "1"));
    cmd!(sh, "apt-get update --quiet=2").run().context("nginx is missing; as root: apt-get install nginx")?;
    cmd!(sh, "apt-get install --quiet=2 --yes --no-install-recommends nginx")
        .run()
        .context("nginx is missing; as root: apt-get install nginx")
}

fn commit(sh: &Shell) -> Result<String> {
    let short =
        cmd!(sh, "git rev-parse --short=12 HEAD").quiet().read().context("the commit of these figures")?;
    let changed = !cmd!(sh, "git status --porcelain --untracked-files=no").quiet().read()?.is_empty();
    Ok(if changed { format!("{short}-changed") } else { short })
}

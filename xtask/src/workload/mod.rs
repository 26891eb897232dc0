//! `cargo xtask workload`: what the two caches do for a customer support desk (S4.7), and how often the semantic one is
//! wrong on labelled streams (S11.3).

mod bill;
mod desk;
mod negatives;
mod plot;
mod quality;
mod run;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use mainstay_cache_semantic::Embedding;
use mainstay_embed::{Identified as _, LocalEmbedder};
use xshell::Shell;

use crate::metadata::Metadata;
use crate::model;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many questions the desk is asked.
    #[arg(long, default_value_t = 2_000, value_name = "NUMBER")]
    questions: usize,
    /// By which chance they are drawn.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    seed: u64,
    /// A labelled stream to measure wrong hits on; the shared one when not given and there.
    #[arg(long, value_name = "FILE.jsonl")]
    stream: Option<PathBuf>,
    /// Where the plot goes; docs/lab when not given.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// The labelled stream only.
    #[arg(long)]
    hit_rates: bool,
    /// Write the figures of the labelled stream, and leave it to who reads them whether a target is missed.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let metadata = Metadata::load()?;
    let folder = model::fetch(&Shell::new()?, &metadata)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut missed = Vec::new();
    if !options.hit_rates {
        let out = options.out.clone().unwrap_or_else(|| metadata.workspace_root.join("docs/lab"));
        std::fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
        missed = runtime.block_on(support_desk(options, &folder, &out))?;
    }
    let shared = metadata.shared("data/semantic").map(|folder| folder.join("dev_stream.jsonl"));
    match options.stream.clone().or_else(|| shared.filter(|file| file.is_file())) {
        Some(stream) => missed.extend(runtime.block_on(hit_rates(options, &stream, &folder))?),
        None => println!(
            "note: no labelled stream (--stream FILE.jsonl): wrong hits are measured on the desk only"
        ),
    }
    if !missed.is_empty() {
        bail!("{}", missed.join("; "));
    }
    Ok(())
}

async fn support_desk(options: &Options, model: &Path, out: &Path) -> Result<Vec<String>> {
    let questions = desk::questions(options.questions, options.seed);
    println!(
        "A support desk (S4.7): {} questions about {} matters, each in up to {} wordings; caches empty at first\n\
         A call that reaches the provider takes 1.2 s and has a system prompt of {} tokens\n",
        questions.len(),
        desk::MATTERS.len(),
        desk::WORDINGS.len(),
        bill::SYSTEM_TOKENS,
    );
    let outcomes = run::all(&questions, model).await?;
    let bills = bill::all(&outcomes)?;
    println!("{}", run::table(&outcomes));
    println!("{}", bill::table(&bills));
    plot::draw(&out.join("support-desk.svg"), &outcomes, &bills)?;
    println!("plot: {}\n", out.join("support-desk.svg").display());
    Ok([run::missed(&outcomes), bill::missed(&bills)].concat())
}

/// The targets that the labelled stream misses; none where the figures are written for somebody else to judge.
async fn hit_rates(options: &Options, stream: &Path, model: &Path) -> Result<Vec<String>> {
    let local = LocalEmbedder::open(model)?;
    let (name, identity) = (local.name().to_owned(), local.identity().as_str().to_owned());
    let embedding = Embedding::new(local, identity).model(name);
    let quality = quality::measure(stream, &embedding).await?;
    println!("{}", quality.table(stream));
    let mut missed = quality.missed();
    let pairs = stream.with_file_name("dev_pairs.jsonl");
    if pairs.is_file() {
        let negatives = negatives::read(&pairs, &embedding).await?;
        for threshold in [Some(0.95), quality.threshold].into_iter().flatten() {
            let served = negatives.served(threshold);
            println!("{}", served.line(threshold));
            missed.extend(served.missed());
        }
    }
    let Some(file) = &options.json else { return Ok(missed) };
    let figures = serde_json::to_string_pretty(&quality.figures())?;
    std::fs::write(file, figures).with_context(|| file.display().to_string())?;
    Ok(Vec::new())
}

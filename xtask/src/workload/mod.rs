//! `cargo xtask workload`: what the two caches do for a customer support desk (S4.7), and how often the semantic one is
//! wrong on labelled streams (S11.3).

mod bill;
mod desk;
mod plot;
mod quality;
mod run;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
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
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let metadata = Metadata::load()?;
    let folder = model::fetch(&Shell::new()?, &metadata)?;
    let out = options.out.clone().unwrap_or_else(|| metadata.workspace_root.join("docs/lab"));
    std::fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut missed = runtime.block_on(support_desk(options, &folder, &out))?;
    let shared = metadata.workspace_root.join("../shared/data/semantic/dev_stream.jsonl");
    match options.stream.clone().or_else(|| shared.is_file().then_some(shared)) {
        Some(stream) => missed.extend(runtime.block_on(quality::measure(&stream, &folder))?),
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

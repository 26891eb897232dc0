//! The semantic cache rehearsed on labelled questions: `calibrate` and `replay-cache`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use mainstay::cache_semantic::{
    CalibrateOptions, Calibration, Embedding, Guards, Policy, ReplayOptions, calibrate, read_pairs,
    read_stream, replay,
};
use mainstay::embed::{Identified as _, LocalEmbedder, fetch};

use super::{ConfigFile, Failure, client, print, runtime};

/// What makes vectors of questions.
#[derive(clap::Args)]
pub(super) struct Questions {
    /// The folder of a local model. Without it: the configuration's semantic cache, or all-MiniLM-L6-v2 where
    /// `mainstay model fetch` has put it.
    #[arg(long, value_name = "FOLDER")]
    model: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
}

/// What is vetoed whatever the nearness.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum GuardsChoice {
    Standard,
    Strict,
    Off,
}

#[derive(clap::Args)]
pub(super) struct CalibrateArguments {
    /// Labelled pairs, at least 100: a line {"a": …, "b": …, "same_intent": true} each.
    pairs: PathBuf,
    #[command(flatten)]
    questions: Questions,
    /// The share of hits that must be right.
    #[arg(long, default_value_t = 0.99)]
    precision: f64,
    /// How sure that must be.
    #[arg(long, default_value_t = 0.95)]
    confidence: f64,
    #[arg(long, value_enum, default_value_t = GuardsChoice::Standard)]
    guards: GuardsChoice,
    #[command(flatten)]
    output: Output,
}

#[derive(clap::Args)]
pub(super) struct ReplayArguments {
    /// Questions in the order in which they were asked: a line {"query": …, "intent": …, "answer": …} each.
    stream: PathBuf,
    #[command(flatten)]
    questions: Questions,
    /// The share of hits that may be wrong, for the calibrated cache.
    #[arg(long, default_value_t = 0.01)]
    max_error_rate: f64,
    /// How sure that must be.
    #[arg(long, default_value_t = 0.95)]
    confidence: f64,
    #[arg(long, value_enum, default_value_t = GuardsChoice::Standard)]
    guards: GuardsChoice,
    /// Also print a cache with this threshold and the guards; may be given several times.
    #[arg(long, value_name = "COSINE")]
    threshold: Vec<f32>,
    /// What a call costs that no cache answers, in USD.
    #[arg(long, default_value_t = 0.0)]
    cost_per_call: f64,
    #[command(flatten)]
    output: Output,
}

#[derive(clap::Args)]
struct Output {
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Also draw the figures into this file.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Also write what was counted into this file, for `semantic_cache.calibration`.
    #[arg(long, value_name = "FILE.json")]
    save: Option<PathBuf>,
}

pub(super) fn calibrate_command(arguments: &CalibrateArguments) -> Result<(), Failure> {
    let pairs = read_pairs(&read(&arguments.pairs)?).map_err(|why| at(&arguments.pairs, &why))?;
    share("--precision", arguments.precision)?;
    share("--confidence", arguments.confidence)?;
    let embedding = arguments.questions.embedding()?;
    let mut options = CalibrateOptions::default();
    options.precision = arguments.precision;
    options.confidence = arguments.confidence;
    options.guards = arguments.guards.into();
    let report = runtime()?.block_on(calibrate(&pairs, &embedding, options)).map_err(|why| whole(&why))?;
    arguments.output.save(&report.calibration())?;
    arguments.output.plot(|| report.to_svg().map_err(|why| why.to_string()))?;
    arguments.output.print(&report, &report.to_json())
}

pub(super) fn replay_command(arguments: &ReplayArguments) -> Result<(), Failure> {
    let stream = read_stream(&read(&arguments.stream)?).map_err(|why| at(&arguments.stream, &why))?;
    share("--max-error-rate", arguments.max_error_rate)?;
    share("--confidence", arguments.confidence)?;
    let embedding = arguments.questions.embedding()?;
    let mut options = ReplayOptions::default();
    options.max_error_rate = arguments.max_error_rate;
    options.confidence = arguments.confidence;
    options.guards = arguments.guards.into();
    options.cost_per_call = arguments.cost_per_call;
    let more = arguments.threshold.iter().map(|threshold| Policy::guarded(*threshold, options.guards));
    options.policies.extend(more);
    let report = runtime()?.block_on(replay(&stream, &embedding, options)).map_err(|why| whole(&why))?;
    arguments.output.save(&report.calibration)?;
    arguments.output.plot(|| report.to_svg().map_err(|why| why.to_string()))?;
    arguments.output.print(&report, &report.to_json())
}

impl Questions {
    fn embedding(&self) -> Result<Embedding, Failure> {
        if let Some(folder) = &self.model {
            return local(folder);
        }
        if self.config.is_given() {
            let client = client(&self.config.read()?)?;
            let embedding = client.question_embedding().cloned();
            return embedding
                .ok_or_else(|| "the configuration has no [semantic_cache]; add one, or name --model".into());
        }
        let fetched = fetch::user_folder().map(|models| models.join("all-MiniLM-L6-v2"));
        match fetched.filter(|folder| folder.is_dir()) {
            Some(folder) => local(&folder),
            None => Err("no model makes vectors of the questions: get one with `mainstay model fetch all-MiniLM-L6-v2`, \
                         or name the folder of one with --model"
                .into()),
        }
    }
}

fn local(folder: &Path) -> Result<Embedding, Failure> {
    let local = LocalEmbedder::open(folder).map_err(|why| whole(&why))?;
    let (identity, name) = (local.identity().as_str().to_owned(), local.name().to_owned());
    Ok(Embedding::new(local, identity).model(name))
}

impl Output {
    fn save(&self, calibration: &Calibration) -> Result<(), Failure> {
        let Some(file) = &self.save else { return Ok(()) };
        let text = serde_json::to_string_pretty(&calibration.to_json()).map_err(|error| error.to_string())?;
        std::fs::write(file, text + "\n").map_err(|error| at(file, &error))
    }

    fn plot(&self, draw: impl FnOnce() -> Result<String, Failure>) -> Result<(), Failure> {
        let Some(file) = &self.plot else { return Ok(()) };
        std::fs::write(file, draw()?).map_err(|error| at(file, &error))
    }

    fn print(&self, report: &impl std::fmt::Display, json: &serde_json::Value) -> Result<(), Failure> {
        match self.json {
            true => print(&format!("{json:#}\n")),
            false => print(&format!("{report}\n")),
        }
    }
}

impl From<GuardsChoice> for Guards {
    fn from(choice: GuardsChoice) -> Self {
        match choice {
            GuardsChoice::Standard => Self::Standard,
            GuardsChoice::Strict => Self::Strict,
            GuardsChoice::Off => Self::Off,
        }
    }
}

fn share(option: &str, given: f64) -> Result<(), Failure> {
    match given > 0.0 && given < 1.0 {
        true => Ok(()),
        false => Err(format!("{option} is {given}; it must be between 0 and 1")),
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| at(file, &error))
}

fn at(file: &Path, why: &impl std::fmt::Display) -> Failure {
    format!("{}: {why}", file.display())
}

/// An error with its causes.
pub(crate) fn whole(error: &dyn std::error::Error) -> Failure {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}"); // writing to a String cannot fail
        source = cause.source();
    }
    text
}

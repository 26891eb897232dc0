//! Time per short query on one core: our BERT beside ONNX Runtime, in turns, so that both see the same machine.

use super::figures::{Figure, Reference};
use crate::metadata::Metadata;
use crate::model::{self, OnnxRuntime};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use xshell::{Shell, cmd};

pub(super) fn run(sh: &Shell, metadata: &Metadata, quick: bool) -> Result<Vec<Figure>> {
    let folder = model::fetch(sh, metadata)?;
    let onnx = OnnxRuntime::prepare(sh, metadata, &folder)?;
    cmd!(sh, "cargo build --quiet --release --package mainstay-embed --example time").run()?;
    let ours = metadata.target_directory.join("release/examples/time");
    let queries = metadata.workspace_root.join("xtask/model/queries.txt");
    let (turns, rounds) = if quick { (1, 5) } else { (5, 20) };

    let (mut our_turns, mut their_turns) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        our_turns.push(median_of(Command::new(&ours), &folder, &queries, rounds)?);
        their_turns.push(median_of(onnx.script("time_onnxruntime.py"), &folder, &queries, rounds)?);
    }
    let (ours, theirs) = (quietest(&our_turns), quietest(&their_turns));
    Ok(vec![
        Figure {
            name: "embed/short query/mainstay".to_owned(),
            value: ours,
            unit: "ms".to_owned(),
            ratio: Some(ours / theirs),
            reference: Some(Reference { name: ONNX_RUNTIME.to_owned(), value: theirs }),
            target: Some("at most 10 ms: a total hit takes less than 12".to_owned()),
            reached: Some(ours <= 10.0),
            rounds: our_turns,
        },
        Figure {
            name: format!("embed/short query/{ONNX_RUNTIME}"),
            value: theirs,
            unit: "ms".to_owned(),
            ratio: None,
            reference: None,
            target: None,
            reached: None,
            rounds: their_turns,
        },
    ])
}

const ONNX_RUNTIME: &str = "onnxruntime (PyPI)";

pub(super) fn table(figures: &[Figure]) -> String {
    let mut table =
        String::from("time per short query on one core (median of the quietest turn, ms)   all turns\n");
    for figure in figures {
        let turns: Vec<String> = figure.rounds.iter().map(|turn| format!("{turn:.2}")).collect();
        table += &format!("{:40} {:>8.2}        {}\n", figure.name, figure.value, turns.join(" "));
    }
    table
}

/// The median of all queries of all rounds, in milliseconds.
fn median_of(program: Command, model: &Path, queries: &Path, rounds: u32) -> Result<f64> {
    let name = program.get_program().to_owned();
    let mut command = on_one_core(program);
    let output = command.arg(model).arg(queries).arg(rounds.to_string()).output()?;
    ensure!(
        output.status.success(),
        "{}: {}",
        name.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let times: Vec<f64> = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{} printed no list of times", name.display()))?;
    Ok(median(&times) / 1e6)
}

/// Where `taskset` is, on the last core; the threads of one query are one in any case.
fn on_one_core(program: Command) -> Command {
    let last = std::thread::available_parallelism().map_or(1, usize::from) - 1;
    let mut pinned = Command::new("taskset");
    pinned.args(["--cpu-list", &last.to_string()]);
    let works = Command::new("taskset").args(["--cpu-list", &last.to_string(), "true"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        return program;
    }
    pinned.arg(program.get_program()).args(program.get_args());
    pinned
}

/// Others only ever add time; so the turn that they left alone is the figure.
fn quietest(turns: &[f64]) -> f64 {
    turns.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

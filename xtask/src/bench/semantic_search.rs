//! The search of the semantic cache beside faiss flat and hnswlib: one set of vectors, one thread, in turns.

use super::figures::{Figure, Reference};
use crate::metadata::Metadata;
use crate::sdk::packages::Python;
use crate::tools;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use xshell::{Shell, cmd};

/// What is measured, and how many microseconds at half of the queries are allowed.
const SIZES: [(usize, f64); 2] = [(10_000, 300.0), (100_000, 500.0)];
const RECALL: f64 = 0.995;
/// Microseconds.
const INSERT: f64 = 100.0;
const OURS: &str = "default";
const FLAT: &str = "faiss-cpu flat";

/// As both programs print them, one list per turn.
#[derive(Deserialize, Clone)]
pub(super) struct Measured {
    pub(super) entries: usize,
    pub(super) way: String,
    pub(super) p10: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) recall: f64,
    pub(super) insert_p50: f64,
    pub(super) insert_mean: f64,
    pub(super) insert_p99: f64,
    /// Zero: it does not count.
    pub(super) counted: f64,
    pub(super) resident: f64,
}

pub(super) fn run(sh: &Shell, metadata: &Metadata, quick: bool) -> Result<Vec<Figure>> {
    tools::PYTHON.require()?;
    let scripts = metadata.workspace_root.join("xtask/search");
    let python =
        Python::prepare(sh, &scripts, "requirements.txt", &metadata.target_directory.join("search"))?;
    let data = tempfile::tempdir()?;
    let sizes = SIZES.map(|(entries, _)| entries.to_string());

    let mut ours = example(sh, metadata)?;
    ours.arg(data.path()).arg(sizes.join(","));
    ours.args(if quick { ["default,exact", "200"] } else { ["default,exact,sketch,graph", "1000"] });
    let mut ours = Program::start(ours, "the example search")?;
    let mut theirs = python.script("search.py");
    theirs.arg(data.path()).args(&sizes);
    let mut theirs = Program::start(theirs, "search.py")?;

    let mut turns = Vec::new();
    for _ in 0..if quick { 1 } else { 5 } {
        let mut turn = ours.measure()?;
        turn.extend(theirs.measure()?);
        turns.push(turn);
    }
    Ok(figures(&turns))
}

/// The example `search`, built.
pub(super) fn example(sh: &Shell, metadata: &Metadata) -> Result<Command> {
    cmd!(
        sh,
        "cargo build --quiet --release --package mainstay-cache-semantic --features hnsw,test-kit --example search"
    )
    .run()?;
    Ok(Command::new(metadata.target_directory.join("release/examples/search")))
}

/// A program that fills its indexes, says `ready`, and measures once for each line that it is given.
pub(super) struct Program {
    name: &'static str,
    child: Child,
    orders: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Program {
    pub(super) fn start(mut command: Command, name: &'static str) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{name} did not start"))?;
        let (orders, told) = child.stdin.take().zip(child.stdout.take()).context("pipes were asked for")?;
        let mut program = Self { name, child, orders, told: BufReader::new(told) };
        let ready = program.line()?;
        ensure!(ready.trim() == "ready", "{name} said {ready:?}");
        Ok(program)
    }

    pub(super) fn measure(&mut self) -> Result<Vec<Measured>> {
        writeln!(self.orders, "go")?;
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| format!("{} said {line:?}", self.name))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.told.read_line(&mut line)?;
        ensure!(!line.is_empty(), "{} ended", self.name);
        Ok(line)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It measures nothing more; that it ends is all that matters.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn figures(turns: &[Vec<Measured>]) -> Vec<Figure> {
    let Some(first) = turns.first() else { return Vec::new() };
    let flat = |entries: usize| {
        let at = first.iter().position(|line| line.entries == entries && line.way == FLAT);
        at.map(|at| median(&all(turns, at, |line| line.p50)))
    };
    let mut figures = Vec::new();
    for (at, line) in first.iter().enumerate() {
        let Measured { entries, way, .. } = line;
        let name = |what: &str| format!("semantic-search/{entries}/{way}/{what}");
        let times = all(turns, at, |line| line.p50);
        let is_ours = way == OURS;
        let target = |words: String, reached: bool| (is_ours.then_some(words), is_ours.then_some(reached));
        let mut add =
            |what: &str, rounds: Vec<f64>, unit: &str, (target, reached), reference: Option<f64>| {
                let value = median(&rounds);
                figures.push(Figure {
                    name: name(what),
                    value,
                    unit: unit.to_owned(),
                    ratio: reference.map(|reference| value / reference),
                    reference: reference.map(|value| Reference { name: FLAT.to_owned(), value }),
                    target,
                    reached,
                    rounds,
                });
            };
        let below = SIZES.iter().find(|(size, _)| size == entries).map_or(f64::INFINITY, |(_, below)| *below);
        let judged = target(format!("below {below} us"), median(&times) < below);
        add("search", times, "us", judged, flat(*entries).filter(|_| way != FLAT));
        add("search, 10th of 100", all(turns, at, |line| line.p10), "us", (None, None), None);
        add("search, 99th of 100", all(turns, at, |line| line.p99), "us", (None, None), None);
        let judged = target(format!("at least {RECALL}"), line.recall >= RECALL);
        add("recall@1", vec![line.recall], "share", judged, None);
        let judged = target(format!("below {INSERT} us"), line.insert_mean < INSERT);
        add("insert", vec![line.insert_mean], "us", judged, None);
        add("insert, 50th of 100", vec![line.insert_p50], "us", (None, None), None);
        add("insert, 99th of 100", vec![line.insert_p99], "us", (None, None), None);
        add("memory per entry", vec![line.resident], "bytes", (None, None), None);
        if line.counted > 0.0 {
            add("memory per entry, as counted", vec![line.counted], "bytes", (None, None), None);
        }
    }
    figures
}

fn all(turns: &[Vec<Measured>], at: usize, of: impl Fn(&Measured) -> f64) -> Vec<f64> {
    turns.iter().filter_map(|turn| turn.get(at)).map(of).collect()
}

pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// For a reader.
pub(super) fn table(figures: &[Figure]) -> String {
    let of = |prefix: &str, what: &str| {
        let name = format!("{prefix}/{what}");
        figures.iter().find(|figure| figure.name == name)
    };
    let mut table = format!(
        "{:>8} {:16} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10} {:>10} {:>10}\n",
        "entries",
        "way",
        "search us",
        "p10 us",
        "p99 us",
        "recall@1",
        "insert us",
        "p99 us",
        "B/entry",
        "x flat"
    );
    for search in figures.iter().filter(|figure| figure.name.ends_with("/search")) {
        let prefix = search.name.trim_end_matches("/search");
        let mut parts = prefix.split('/').skip(1);
        let [entries, way] = std::array::from_fn(|_| parts.next().unwrap_or_default());
        let value = |what: &str| of(prefix, what).map_or(f64::NAN, |figure| figure.value);
        let ratio = search.ratio.map_or_else(String::new, |ratio| format!("{ratio:.3}"));
        table += &format!(
            "{entries:>8} {way:16} {:>9.1} {:>9.1} {:>9.1} {:>9.4} {:>9.1} {:>10.1} {:>10.0} {ratio:>10}\n",
            search.value,
            value("search, 10th of 100"),
            value("search, 99th of 100"),
            value("recall@1"),
            value("insert"),
            value("insert, 99th of 100"),
            value("memory per entry"),
        );
    }
    for figure in figures.iter().filter(|figure| figure.target.is_some()) {
        let reached = if figure.reached == Some(true) { "reached" } else { "MISSED" };
        let target = figure.target.as_deref().unwrap_or_default();
        table +=
            &format!("{}: {:.4} {}, wanted {target}: {reached}\n", figure.name, figure.value, figure.unit);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(way: &str, p50: f64, recall: f64) -> Measured {
        Measured {
            entries: 10_000,
            way: way.to_owned(),
            p10: p50 / 2.0,
            p50,
            p99: 2.0 * p50,
            recall,
            insert_p50: 4.0,
            insert_mean: 5.0,
            insert_p99: 9.0,
            counted: 0.0,
            resident: 2000.0,
        }
    }

    #[test]
    fn ours_is_judged_and_set_beside_flat() {
        let turns =
            [120.0, 100.0, 300.0].map(|ours| vec![line(OURS, ours, 0.99), line(FLAT, 2.0 * ours, 1.0)]);
        let figures = figures(&turns);
        let of = |name: &str| figures.iter().find(|figure| figure.name.ends_with(name)).unwrap();
        let search = of("default/search");
        assert_eq!((search.value, search.reached, search.ratio), (120.0, Some(true), Some(0.5)));
        assert_eq!(of("default/recall@1").reached, Some(false));
        assert_eq!(of("flat/search").reached, None);
        assert!(table(&figures).contains("MISSED"));
    }
}

//! From how many entries of a partition its graph is quicker than the bits of all of them.
//!
//! It takes minutes, nearly all of them to build the graphs, and is run only when it is asked for.

use super::figures::Figure;
use super::semantic_search::{self, Measured, Program, median};
use crate::metadata::Metadata;
use anyhow::Result;
use xshell::Shell;

const SIZES: &str = "100000,200000";
const SIZES_IN_SHORT: &str = "10000,20000";
const SKETCH: &str = "sketch";
const GRAPH: &str = "graph";
const CROSSOVER: &str = "semantic-search/crossover";

pub(super) fn run(sh: &Shell, metadata: &Metadata, quick: bool) -> Result<Vec<Figure>> {
    let (sizes, turns) = if quick { (SIZES_IN_SHORT, 1) } else { (SIZES, 5) };
    let mut example = semantic_search::example(sh, metadata)?;
    // Nobody else reads the vectors.
    example.args(["-", sizes, &format!("{SKETCH},{GRAPH}"), "300"]);
    let mut example = Program::start(example, "the example search")?;
    let turns = (0..turns).map(|_| example.measure()).collect::<Result<Vec<_>>>()?;

    let mut figures = semantic_search::figures(&turns);
    figures.extend(crossover(&times(&turns)).map(figure));
    Ok(figures)
}

/// For a reader.
pub(super) fn table(figures: &[Figure]) -> String {
    let table = semantic_search::table(figures);
    match figures.iter().find(|figure| figure.name == CROSSOVER) {
        Some(crossover) => format!("{table}the graph is quicker from {:.0} entries on\n", crossover.value),
        None => format!("{table}the graph is not quicker at the most entries that were measured\n"),
    }
}

/// Microseconds at half of the queries, at one size.
#[derive(Clone, Copy)]
struct Times {
    entries: f64,
    sketch: f64,
    graph: f64,
}

fn times(turns: &[Vec<Measured>]) -> Vec<Times> {
    let Some(first) = turns.first() else { return Vec::new() };
    let of = |entries: usize, way: &str| {
        let lines = turns.iter().flatten().filter(|line| line.entries == entries && line.way == way);
        median(&lines.map(|line| line.p50).collect::<Vec<_>>())
    };
    let sizes = first.iter().filter(|line| line.way == SKETCH).map(|line| line.entries);
    let at =
        |entries| Times { entries: entries as f64, sketch: of(entries, SKETCH), graph: of(entries, GRAPH) };
    sizes.map(at).collect()
}

/// From where on the graph is quicker, on straight lines between the sizes that were measured. `None`: not even at
/// the last. The first size: there already, and where before that is not known.
fn crossover(times: &[Times]) -> Option<f64> {
    let lead = |at: &Times| at.sketch - at.graph;
    let quicker = times.iter().rev().take_while(|at| lead(at) > 0.0).count();
    let first = times.get(times.len() - quicker)?;
    let Some(before) = times[..times.len() - quicker].last() else { return Some(first.entries) };
    let share = -lead(before) / (lead(first) - lead(before));
    Some(before.entries + share * (first.entries - before.entries))
}

fn figure(entries: f64) -> Figure {
    Figure {
        name: CROSSOVER.to_owned(),
        value: entries,
        unit: "entries".to_owned(),
        reference: None,
        ratio: None,
        target: None,
        reached: None,
        rounds: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(entries: f64, sketch: f64, graph: f64) -> Times {
        Times { entries, sketch, graph }
    }

    #[test]
    fn the_crossover_lies_between_the_sizes_around_it() {
        let (slower, quicker) = (at(100.0, 10.0, 20.0), at(200.0, 50.0, 20.0));
        assert_eq!(crossover(&[slower, quicker]), Some(125.0));
        assert_eq!(crossover(&[slower, quicker, at(400.0, 90.0, 20.0)]), Some(125.0));
    }

    #[test]
    fn a_lead_that_is_lost_again_is_none() {
        let times = [at(100.0, 30.0, 20.0), at(200.0, 10.0, 20.0), at(300.0, 30.0, 20.0)];
        assert_eq!(crossover(&times), Some(250.0));
        assert_eq!(crossover(&times[..2]), None);
        assert_eq!(crossover(&[]), None);
    }

    #[test]
    fn quicker_at_the_smallest_size_is_told_as_that_size() {
        assert_eq!(crossover(&[at(100.0, 30.0, 20.0)]), Some(100.0));
    }
}

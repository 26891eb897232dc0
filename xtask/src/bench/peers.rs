//! What our layers add to a bare service beside what others' add, from the medians of the bench `peers`.

use super::figures::{Figure, Reference};
use anyhow::{Result, ensure};
use std::fmt::Write as _;

/// In the order of the table: what is measured, and how many nanoseconds of ours are allowed.
const LINES: [Line; 14] = [
    Line::new("at once", "breaker", Some(300.0)),
    Line::new("at once", "breaker with a failure rate", Some(300.0)),
    Line::new("at once", "retry", Some(300.0)),
    Line::new("at once", "timeout", Some(300.0)),
    Line::new("after a wait", "timeout", None),
    Line::new("refusal", "open breaker", Some(1000.0)),
    Line::new("at once", "router", None),
    Line::new("at once", "rate limit", None),
    Line::new("at once", "rescue", None),
    Line::new("stream of 20", "breaker", None),
    Line::new("stream of 20", "retry", None),
    Line::new("stream of 20", "timeout", None),
    Line::new("stream of 20", "rescue", None),
    Line::new("at once", "bare again", None),
];

const OURS: &str = "mainstay";
const OTHERS: [&str; 3] = ["tower-resilience", "failsafe", "tower"];
const BARE: &str = "bare: tower";

struct Line {
    setting: &'static str,
    layer: &'static str,
    below: Option<f64>,
}

impl Line {
    const fn new(setting: &'static str, layer: &'static str, below: Option<f64>) -> Self {
        Self { setting, layer, below }
    }

    /// The nanoseconds that it adds, in each round: a difference is taken within a round. A refusal asks no service,
    /// and there is nothing to subtract.
    fn rounds(&self, medians: &[(String, f64)], whose: &str) -> Vec<f64> {
        let Self { setting, layer, .. } = self;
        let of = |round: u32, name: &str| {
            let name = format!("peers/{round}/{setting}/{name}");
            medians.iter().find(|(known, _)| *known == name).map(|(_, nanoseconds)| *nanoseconds)
        };
        let whole = (1..).map_while(|round| Some((round, of(round, &format!("{layer}: {whose}"))?)));
        whole.map(|(round, nanoseconds)| nanoseconds - of(round, BARE).unwrap_or(0.0)).collect()
    }

    fn figure(&self, medians: &[(String, f64)], whose: &str) -> Option<Figure> {
        let rounds = self.rounds(medians, whose);
        let name = format!("peers/{}/{}/{whose}", self.setting, self.layer);
        Some(Figure {
            name,
            value: median(&rounds)?,
            unit: "ns".to_owned(),
            reference: None,
            ratio: None,
            target: None,
            reached: None,
            rounds,
        })
    }

    /// Ours, and how many times as much each other one adds.
    fn figures(&self, medians: &[(String, f64)]) -> Vec<Figure> {
        let mut ours = self.figure(medians, OURS);
        let reference = ours.as_ref().filter(|ours| ours.value > 0.0);
        let reference = reference.map(|ours| Reference { name: OURS.to_owned(), value: ours.value });
        let others = OTHERS.iter().filter_map(|whose| self.figure(medians, whose)).map(|mut figure| {
            figure.ratio = reference.as_ref().map(|ours| figure.value / ours.value);
            figure.reference = reference.clone();
            figure
        });
        let others: Vec<_> = others.collect();
        if let (Some(ours), Some(below)) = (&mut ours, self.below) {
            ours.target = Some(format!("below {below} ns"));
            ours.reached = Some(ours.value < below);
        }
        ours.into_iter().chain(others).collect()
    }
}

/// From the medians by the bench's names.
///
/// # Errors
/// When a layer with a target was not measured.
pub(super) fn figures(medians: &[(String, f64)]) -> Result<Vec<Figure>> {
    let figures: Vec<_> = LINES.iter().flat_map(|line| line.figures(medians)).collect();
    let judged = figures.iter().filter(|figure| figure.reached.is_some()).count();
    let wanted = LINES.iter().filter(|line| line.below.is_some()).count();
    ensure!(judged == wanted, "{judged} of {wanted} layers with a target were measured");
    Ok(figures)
}

/// For a reader.
pub(super) fn table(figures: &[Figure]) -> String {
    let mut table =
        format!("{:14} {:28} {:18} {:>7} {:>9}  wanted\n", "answer", "layer", "whose", "ns", "x ours");
    for figure in figures {
        let mut parts = figure.name.split('/').skip(1);
        let [setting, layer, whose] = std::array::from_fn(|_| parts.next().unwrap_or_default());
        let ratio = figure.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let wanted = figure.target.as_deref().unwrap_or_default();
        let reached = figure.reached.map_or("", |reached| if reached { ": reached" } else { ": MISSED" });
        // Writing to a string does not fail.
        let _ = writeln!(
            table,
            "{setting:14} {layer:28} {whose:18} {:>7.0} {ratio:>9}  {wanted}{reached}",
            figure.value
        );
    }
    table.push_str("ns: added to the bare service, median of the rounds; a refusal is told whole");
    table
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], upper) } else { upper })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(of: &[(&str, f64)]) -> Vec<(String, f64)> {
        of.iter().map(|(name, nanoseconds)| ((*name).to_owned(), *nanoseconds)).collect()
    }

    const RETRY: Line = Line::new("at once", "retry", Some(300.0));

    #[test]
    fn the_bare_service_is_subtracted_within_each_round() {
        let medians = measured(&[
            ("peers/1/at once/bare: tower", 200.0),
            ("peers/1/at once/retry: mainstay", 250.0),
            ("peers/1/at once/retry: tower", 300.0),
            // The machine is busy, and all is slower.
            ("peers/2/at once/bare: tower", 400.0),
            ("peers/2/at once/retry: mainstay", 470.0),
            ("peers/2/at once/retry: tower", 540.0),
        ]);
        let [ours, tower] = RETRY.figures(&medians).try_into().unwrap();
        assert_eq!((ours.rounds, ours.value, ours.reached), (vec![50.0, 70.0], 60.0, Some(true)));
        assert_eq!((tower.value, tower.ratio, tower.reached), (120.0, Some(2.0), None));
    }

    #[test]
    fn a_layer_of_ours_that_adds_too_much_misses_its_target() {
        let medians =
            measured(&[("peers/1/at once/bare: tower", 200.0), ("peers/1/at once/retry: mainstay", 501.0)]);
        let figures = RETRY.figures(&medians);
        assert_eq!(figures[0].reached, Some(false));
        assert!(table(&figures).contains("below 300 ns: MISSED"));
    }

    #[test]
    fn a_refusal_is_told_whole() {
        let medians = measured(&[("peers/1/refusal/open breaker: mainstay", 120.0)]);
        let line = Line::new("refusal", "open breaker", Some(1000.0));
        assert_eq!(line.figures(&medians)[0].value, 120.0);
    }

    #[test]
    fn a_run_that_measured_nothing_is_an_error() {
        assert!(figures(&[]).is_err());
    }
}

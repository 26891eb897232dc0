//! The plots, as SVG.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::figures::{flatness, histogram, mean};
use super::outage::{self, Called, Run, Stack};
use super::provider::RATE;
use super::storm::{Strategy, Trial};
use super::table::BAR;

/// Told apart by the colour-blind too.
const BLUE: RGBColor = RGBColor(0, 114, 178);
const VERMILION: RGBColor = RGBColor(213, 94, 0);
const GREEN: RGBColor = RGBColor(0, 140, 105);
const GREY: RGBColor = RGBColor(110, 110, 110);
const PALE: RGBColor = RGBColor(225, 225, 225);

const WIDTH: u32 = 960;
const PANEL: u32 = 210;
const HEADING: u32 = 40;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// When the retries were made: a panel for each strategy, all on the same axes.
pub(super) fn retries(file: &Path, title: &str, drawn: &[(Strategy, Trial)]) -> Result<()> {
    let drawn = compared(drawn);
    let bars: Vec<Vec<u32>> = drawn.iter().map(|(_, trial)| histogram(&trial.retries(), BAR)).collect();
    let seconds = last(&drawn);
    let most = bars.iter().flatten().max().copied().unwrap_or(1) + 1;
    panels(file, title, drawn.len(), |at, area| {
        let (strategy, trial) = drawn[at];
        let busiest = bars[at].iter().max().copied().unwrap_or(0);
        let caption = format!(
            "{}: {} retries, busiest 100 ms {busiest}, flatness {:.2}",
            strategy.name(),
            trial.retries().len(),
            flatness(&bars[at]),
        );
        let mut chart = ChartBuilder::on(area)
            .caption(caption, ("sans-serif", 15))
            .margin_right(16)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..seconds, 0..most)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .disable_x_mesh()
            .x_desc("seconds")
            .y_labels(5)
            .draw()?;
        let bar = BAR.as_secs_f64();
        chart.draw_series(bars[at].iter().enumerate().filter(|(_, count)| **count > 0).map(
            |(place, count)| {
                let from = place as f64 * bar;
                Rectangle::new([(from, 0), (from + bar * 0.9, *count)], colour(*strategy).filled())
            },
        ))?;
        Ok(())
    })
}

/// How many attempts were made in each second, answered and refused.
pub(super) fn attempts(file: &Path, title: &str, drawn: &[(Strategy, Trial)]) -> Result<()> {
    let drawn = compared(drawn);
    let second = Duration::from_secs(1);
    let counted = |trial: &Trial, which: &dyn Fn(bool) -> bool| {
        let times: Vec<Duration> = trial
            .attempts
            .iter()
            .filter(|attempt| which(attempt.answered))
            .map(|attempt| attempt.at)
            .collect();
        histogram(&times, second)
    };
    let seconds = last(&drawn).ceil();
    let most = drawn.iter().flat_map(|(_, trial)| counted(trial, &|_| true)).max().unwrap_or(1) + 2;
    panels(file, title, drawn.len(), |at, area| {
        let (strategy, trial) = drawn[at];
        let (all, answered) = (counted(trial, &|_| true), counted(trial, &|answered| answered));
        let mut chart = ChartBuilder::on(area)
            .caption(
                format!(
                    "{}: {} attempts for {} calls, {} failed in the end",
                    strategy.name(),
                    trial.attempts.len(),
                    trial.calls(),
                    trial.failed
                ),
                ("sans-serif", 15),
            )
            .margin_right(16)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..seconds, 0..most)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .disable_x_mesh()
            .x_desc("seconds")
            .y_labels(5)
            .draw()?;
        for (counts, colour, name) in [(&all, VERMILION, "refused"), (&answered, BLUE, "answered")] {
            chart
                .draw_series(counts.iter().enumerate().filter(|(_, count)| **count > 0).map(
                    |(place, count)| {
                        Rectangle::new(
                            [(place as f64 + 0.04, 0), (place as f64 + 0.96, *count)],
                            colour.filled(),
                        )
                    },
                ))?
                .label(name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
        }
        let rate = RATE as u32;
        chart
            .draw_series(LineSeries::new([(0.0, rate), (seconds, rate)], GREY.stroke_width(1)))?
            .label("the provider's limit")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 12, y)], GREY));
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(PALE)
            .label_font(("sans-serif", 12))
            .draw()?;
        Ok(())
    })
}

/// Latency of the calls, by when they were made, and the share of them that failed.
pub(super) fn outage(file: &Path, runs: &[Run]) -> Result<()> {
    let shown = [Stack::Bare, Stack::QuickBreaker, Stack::FallbackBare, Stack::Fallback];
    let colours = [VERMILION, BLUE, GREY, GREEN];
    let runs: Vec<(&Run, RGBColor)> = shown
        .iter()
        .zip(colours)
        .filter_map(|(stack, colour)| Some((runs.iter().find(|run| run.stack == *stack)?, colour)))
        .collect();
    let length = outage::LENGTH.as_secs_f64();
    let slowest =
        runs.iter().flat_map(|(run, _)| &run.calls).map(|call| call.took.as_secs_f64()).fold(0.0, f64::max);
    panels_of(file, "A provider that is silent from 30 s to 90 s", 2, 300, |at, area| {
        let (caption, most, unit) = match at {
            0 => ("Latency: mean of the calls made in each 2 s", slowest.ceil(), "seconds"),
            _ => ("Error rate: share of the calls made in each 2 s that failed", 1.05, "share"),
        };
        let mut chart = ChartBuilder::on(area)
            .caption(caption, ("sans-serif", 15))
            .margin_right(16)
            .x_label_area_size(36)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..length, 0.0..most)?;
        let silent = [(outage::BEGIN.as_secs_f64(), 0.0), (outage::END.as_secs_f64(), most)];
        chart.draw_series([Rectangle::new(silent, PALE.mix(0.6).filled())])?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .disable_x_mesh()
            .x_desc("seconds; when the call was made")
            .y_desc(unit)
            .y_labels(6)
            .draw()?;
        for (run, colour) in &runs {
            let (colour, stack) = (*colour, run.stack);
            let points = in_stretches(&run.calls, |calls| match at {
                0 => mean(calls.iter().map(|call| call.took.as_secs_f64())),
                _ => mean(calls.iter().map(|call| f64::from(u8::from(!call.served)))),
            });
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(stack.name())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(PALE)
            .label_font(("sans-serif", 12))
            .draw()?;
        Ok(())
    })
}

fn in_stretches(calls: &[Called], figure: impl Fn(&[Called]) -> f64) -> Vec<(f64, f64)> {
    const STRETCH: u64 = 2;
    let place = |call: &Called| call.at.as_secs() / STRETCH;
    calls
        .chunk_by(|one, other| place(one) == place(other))
        .map(|calls| ((place(&calls[0]) * STRETCH + STRETCH / 2) as f64, figure(calls)))
        .collect()
}

/// Layers that give up early are in the table and not in the plots, which compare jitters.
fn compared(drawn: &[(Strategy, Trial)]) -> Vec<&(Strategy, Trial)> {
    drawn
        .iter()
        .filter(|(strategy, _)| !matches!(strategy, Strategy::Three | Strategy::Standard | Strategy::Stack))
        .collect()
}

fn colour(strategy: Strategy) -> RGBColor {
    match strategy {
        Strategy::Fixed => VERMILION,
        Strategy::Proportional => BLUE,
        Strategy::Full => GREEN,
        Strategy::Three | Strategy::Standard | Strategy::Stack => GREY,
    }
}

fn last(drawn: &[&(Strategy, Trial)]) -> f64 {
    let last = drawn.iter().flat_map(|(_, trial)| &trial.attempts).map(|attempt| attempt.at).max();
    last.unwrap_or_default().as_secs_f64() + 0.5
}

fn panels(
    file: &Path,
    title: &str,
    count: usize,
    draw: impl Fn(usize, &Area<'_>) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<()> {
    panels_of(file, title, count, PANEL, draw)
}

/// A title, and panels beneath one another.
fn panels_of(
    file: &Path,
    title: &str,
    count: usize,
    height: u32,
    draw: impl Fn(usize, &Area<'_>) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<()> {
    let drawn = || -> Result<(), Box<dyn std::error::Error>> {
        let root = SVGBackend::new(file, (WIDTH, HEADING + height * count as u32)).into_drawing_area();
        root.fill(&WHITE)?;
        let area = root.titled(title, ("sans-serif", 19))?;
        for (at, panel) in area.split_evenly((count, 1)).iter().enumerate() {
            draw(at, panel)?;
        }
        root.present()?;
        Ok(())
    };
    // Its errors need not be sendable, which anyhow's must be.
    drawn().map_err(|error| anyhow!("{}: {error}", file.display()))
}

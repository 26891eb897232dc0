//! The plot: how each question was answered and how long it took, and what all of them cost.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::bill::Bill;
use super::run::{Caches, Outcome, is_exact, is_miss, is_semantic};

/// Told apart by the colour-blind too.
const BLUE: RGBColor = RGBColor(0, 114, 178);
const VERMILION: RGBColor = RGBColor(213, 94, 0);
const GREEN: RGBColor = RGBColor(0, 140, 105);

pub(super) fn draw(file: &Path, outcomes: &[Outcome], bills: &[Bill]) -> Result<()> {
    let area = SVGBackend::new(file, (960, 640)).into_drawing_area();
    area.fill(&WHITE)?;
    let (above, below) = area.split_vertically(340);
    let both = outcomes.iter().find(|outcome| outcome.caches == Caches::Both);
    latencies(&above, both.ok_or_else(|| anyhow!("both caches were not run"))?)?;
    costs(&below, bills)?;
    area.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Every answer in its order, by its time on a scale of powers of ten.
fn latencies(area: &Area<'_>, outcome: &Outcome) -> Result<()> {
    let number = outcome.answered.len();
    let mut chart = ChartBuilder::on(area)
        .caption("Time to each answer, exact and semantic cache, empty at first", ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(0..number, (0.001_f64..100_000.0).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("question")
        .y_desc("milliseconds")
        .y_label_formatter(&|value| format!("{value}"))
        .draw()?;
    type Which = fn(&super::run::Answered) -> bool;
    let kinds: [(&str, RGBColor, Which); 3] = [
        ("provider", VERMILION, is_miss),
        ("semantic hit", BLUE, is_semantic),
        ("exact hit", GREEN, is_exact),
    ];
    for (name, colour, which) in kinds {
        let share = format!("{name}, {:.1} %", 100.0 * outcome.share(which));
        let points = outcome.answered.iter().enumerate().filter(|(_, answered)| which(answered));
        chart
            .draw_series(points.map(|(at, answered)| {
                Circle::new((at, answered.took.as_secs_f64() * 1e3), 2, colour.filled())
            }))?
            .label(share)
            .legend(move |(x, y)| Circle::new((x + 8, y), 4, colour.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(())
}

fn costs(area: &Area<'_>, bills: &[Bill]) -> Result<()> {
    let most: f64 = bills.iter().map(|bill| bill.usd).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption("What all questions cost, USD", ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(8)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..bills.len() as f64, 0.0..most * 1.25)?;
    chart.configure_mesh().light_line_style(WHITE).disable_x_mesh().x_labels(0).draw()?;
    for (at, bill) in bills.iter().enumerate() {
        let left = at as f64 + 0.15;
        let colour = if bill.prompt_caching { GREEN } else { BLUE };
        chart.draw_series([Rectangle::new([(left, 0.0), (left + 0.7, bill.usd)], colour.filled())])?;
        let lines = [
            format!("{:.2} USD, {:.0} % saved", bill.usd, 100.0 * bill.saved.abs()),
            bill.caches.name().to_owned(),
            if bill.prompt_caching { "and prompt caching".to_owned() } else { String::new() },
        ];
        for (line, text) in lines.into_iter().rev().filter(|line| !line.is_empty()).enumerate() {
            let above = most * (0.06 + 0.06 * line as f64);
            chart.draw_series([Text::new(text, (left - 0.05, bill.usd + above), ("sans-serif", 12))])?;
        }
    }
    Ok(())
}

//! Reports as plots, in SVG.

use plotters::prelude::*;

use super::pairs::{PairReport, Row, Stage};
use super::replay::ReplayReport;

/// Told apart by the colour-blind too.
const BLUE: RGBColor = RGBColor(0, 114, 178);
const VERMILION: RGBColor = RGBColor(213, 94, 0);
const GREEN: RGBColor = RGBColor(0, 140, 105);
const GREY: RGBColor = RGBColor(110, 110, 110);
const PALE: RGBColor = RGBColor(225, 225, 225);
const SIZE: (u32, u32) = (960, 420);

/// A plot that could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the plot could not be drawn: {0}")]
pub struct PlotError(String);

impl PairReport {
    /// Precision, recall and false hits of the whole decision by threshold, and the precision of nearness alone.
    ///
    /// # Errors
    /// What the drawing library says.
    #[cfg_attr(docsrs, doc(cfg(feature = "plot")))]
    pub fn to_svg(&self) -> Result<String, PlotError> {
        let rows = |wanted: Stage| {
            self.stages
                .iter()
                .find(|(stage, _)| *stage == wanted)
                .map(|(_, rows)| rows.as_slice())
                .unwrap_or_default()
        };
        let line = |rows: &[Row], value: fn(&Row) -> f64| {
            rows.iter().map(|row| (f64::from(row.threshold), value(row))).collect::<Vec<_>>()
        };
        let whole = rows(Stage::Guards);
        let lines = [
            ("precision of nearness alone", GREY, line(rows(Stage::Nearness), Row::precision)),
            ("precision with guards", BLUE, line(whole, Row::precision)),
            ("recall with guards", GREEN, line(whole, Row::recall)),
            ("false hits of different pairs", VERMILION, line(whole, Row::false_hit_rate)),
        ];
        let marked = self.recommended.ok().map(f64::from);
        draw(&format!("{} labelled pairs", self.pairs), 0.70..1.0, 0.0..1.0, marked, &lines)
    }
}

impl ReplayReport {
    /// The share of hits and of wrong hits among them by threshold, with the guards.
    ///
    /// # Errors
    /// What the drawing library says.
    #[cfg_attr(docsrs, doc(cfg(feature = "plot")))]
    pub fn to_svg(&self) -> Result<String, PlotError> {
        let steps = self.calibration.steps();
        let all = self.queries.max(1) as f64;
        let hits = steps.iter().map(|step| (f64::from(step.threshold), step.hits as f64 / all));
        // Ten times as large, so that a share of one in a hundred is seen beside one of a half.
        let wrong = steps
            .iter()
            .map(|step| (f64::from(step.threshold), 10.0 * step.wrong as f64 / step.hits.max(1) as f64));
        let bound = [(0.70, 10.0 * self.options.max_error_rate), (1.0, 10.0 * self.options.max_error_rate)];
        let lines = [
            ("hits of all questions", BLUE, hits.collect()),
            ("wrong hits of hits, times 10", VERMILION, wrong.collect()),
            ("the bound, times 10", GREY, bound.to_vec()),
        ];
        let marked = self.calibrated.ok().map(f64::from);
        draw(&format!("{} questions replayed", self.queries), 0.70..1.0, 0.0..1.0, marked, &lines)
    }
}

type Line<'a> = (&'a str, RGBColor, Vec<(f64, f64)>);

fn draw(
    title: &str,
    x: std::ops::Range<f64>,
    y: std::ops::Range<f64>,
    marked: Option<f64>,
    lines: &[Line<'_>],
) -> Result<String, PlotError> {
    let failed = |error: &dyn std::fmt::Display| PlotError(error.to_string());
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(|error| failed(&error))?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d(x, y.clone())
            .map_err(|error| failed(&error))?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(PALE)
            .x_desc("threshold")
            .x_label_formatter(&|x| format!("{x:.2}"))
            .y_label_formatter(&|y| format!("{y:.1}"))
            .draw()
            .map_err(|error| failed(&error))?;
        for (name, colour, points) in lines {
            let colour = *colour;
            chart
                .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))
                .map_err(|error| failed(&error))?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        if let Some(threshold) = marked {
            let points = [(threshold, y.start), (threshold, y.end)];
            chart
                .draw_series(LineSeries::new(points, GREY.stroke_width(1)))
                .map_err(|error| failed(&error))?
                .label(format!("threshold {threshold:.2}"))
                .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], GREY));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(PALE)
            .label_font(("sans-serif", 13))
            .draw()
            .map_err(|error| failed(&error))?;
        area.present().map_err(|error| failed(&error))?;
    }
    Ok(svg)
}

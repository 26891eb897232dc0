//! Reports as text and as JSON.

use std::fmt::{self, Write as _};

use serde_json::{Value, json};

use super::pairs::{PairReport, Row};
use super::replay::{ReplayReport, ReplayRow, Tally};
use super::{Calibration, NoSafeThreshold, Step, is_shown};

impl PairReport {
    /// The report as JSON.
    pub fn to_json(&self) -> Value {
        let stages = self.stages.iter().map(|(stage, rows)| {
            json!({ "stage": stage.as_str(), "thresholds": rows.iter().map(row_json).collect::<Vec<_>>() })
        });
        let sources = self.sources.iter().map(|(source, row)| (source.clone(), row_json(row)));
        let vetoes = self.vetoes.iter().map(|(name, (same, different))| {
            ((*name).to_owned(), json!({ "same": same, "different": different }))
        });
        json!({
            "pairs": self.pairs,
            "wanted_precision": self.options.precision,
            "confidence": self.options.confidence,
            "recommended_threshold": self.recommended.ok().map(round),
            "stages": stages.collect::<Vec<_>>(),
            "sources": Value::Object(sources.collect()),
            "vetoes": Value::Object(vetoes.collect()),
            "calibration": self.calibration().to_json(),
        })
    }
}

fn row_json(row: &Row) -> Value {
    json!({
        "threshold": round(row.threshold),
        "right": row.right,
        "wrong": row.wrong,
        "same": row.same,
        "different": row.different,
        "precision": row.precision(),
        "precision_95": row.precision_interval(),
        "recall": row.recall(),
        "recall_95": row.recall_interval(),
        "f1": row.f1(),
        "false_hit_rate": row.false_hit_rate(),
        "false_hit_rate_95": row.false_hit_interval(),
    })
}

/// Thresholds have four digits; as doubles they would show eight more.
fn round(threshold: f32) -> f64 {
    (f64::from(threshold) * 1e4).round() / 1e4
}

impl fmt::Display for PairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} labelled pairs. Intervals at 95 %.", self.pairs)?;
        for (stage, rows) in &self.stages {
            writeln!(f, "\n{}", stage.as_str())?;
            writeln!(
                f,
                "threshold  precision               recall                  F1     false hits of different pairs"
            )?;
            let is_recommended = |row: &&Row| Ok(row.threshold) == self.recommended;
            for row in rows.iter().filter(|row| is_shown(row.threshold) || is_recommended(row)) {
                let precision = with_interval(row.precision(), row.precision_interval());
                let recall = with_interval(row.recall(), row.recall_interval());
                let false_hits = with_interval(row.false_hit_rate(), row.false_hit_interval());
                writeln!(
                    f,
                    "{:<9}  {precision}   {recall}   {:.3}  {false_hits}",
                    round(row.threshold),
                    row.f1()
                )?;
            }
        }
        writeln!(f)?;
        let wanted = format!(
            "precision of at least {} at {} confidence",
            percent(self.options.precision),
            percent(self.options.confidence)
        );
        match self.recommended {
            Ok(threshold) => writeln!(f, "Recommended threshold for a {wanted}: {}", round(threshold))?,
            Err(refused) => writeln!(f, "For a {wanted}: {refused}")?,
        }
        let shown = self.recommended.unwrap_or(0.95);
        writeln!(f, "\nBy source, the whole decision at {}", round(shown))?;
        writeln!(f, "source                        same  served  different  served")?;
        for (source, row) in &self.sources {
            writeln!(
                f,
                "{source:<28}  {:>4}  {:>6}  {:>9}  {:>6}",
                row.same, row.right, row.different, row.wrong
            )?;
        }
        writeln!(f, "\nVetoes of pairs at least that near")?;
        writeln!(f, "guard         same  different")?;
        for (name, (same, different)) in &self.vetoes {
            writeln!(f, "{name:<12}  {same:>4}  {different:>9}")?;
        }
        Ok(())
    }
}

fn with_interval(value: f64, (low, high): (f64, f64)) -> String {
    format!("{value:.3} ({low:.3} to {high:.3})")
}

fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

impl ReplayReport {
    /// The report as JSON.
    pub fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let sources = row.sources.iter().map(|(source, tally)| (source.clone(), self.tally_json(tally)));
            let misses = row.misses.iter().map(|(why, count)| (why.clone(), Value::from(*count)));
            json!({
                "policy": row.policy.name,
                "threshold": row.policy.threshold.map(round),
                "all": self.tally_json(&row.all),
                "sources": Value::Object(sources.collect()),
                "misses": Value::Object(misses.collect()),
                "saved_usd": self.saved_cost(row),
                "mean_latency_ms": self.mean_latency(row).as_secs_f64() * 1e3,
            })
        });
        json!({
            "queries": self.queries,
            "max_error_rate": self.options.max_error_rate,
            "confidence": self.options.confidence,
            "calibrated_threshold": self.calibrated.ok().map(round),
            "policies": rows.collect::<Vec<_>>(),
            "calibration": self.calibration.to_json(),
        })
    }

    fn tally_json(&self, tally: &Tally) -> Value {
        json!({
            "queries": tally.queries,
            "exact_hits": tally.exact,
            "near_hits": tally.near,
            "wrong_hits": tally.wrong,
            "hit_rate": tally.hit_rate(),
            "wrong_of_hits": tally.wrong_rate(),
            "wrong_of_hits_at_most": tally.wrong_at_most(self.options.confidence),
        })
    }
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sure = percent(self.options.confidence);
        writeln!(f, "{} questions in their order, a cache that begins empty.\n", self.queries)?;
        writeln!(
            f,
            "policy                                  hits     exact  near   wrong  wrong of hits  at most ({sure})  saved      mean"
        )?;
        for row in &self.rows {
            writeln!(f, "{}", self.line(row))?;
        }
        writeln!(f)?;
        let wanted =
            format!("at most {} of hits wrong at {sure} confidence", percent(self.options.max_error_rate));
        match self.calibrated {
            Ok(threshold) => writeln!(f, "Loosest threshold with {wanted}: {}", round(threshold))?,
            Err(NoSafeThreshold) => writeln!(f, "With {wanted}: {NoSafeThreshold}")?,
        }
        if let Some(row) = self.rows.last() {
            writeln!(f, "\nBy source, {}", row.policy.name)?;
            writeln!(f, "source                        queries   hits     wrong of hits")?;
            for (source, tally) in &row.sources {
                let (hits, wrong) = (percent(tally.hit_rate()), percent(tally.wrong_rate()));
                writeln!(f, "{source:<28}  {:>7}  {hits:>8}  {wrong:>8} ({})", tally.queries, tally.wrong)?;
            }
            writeln!(f, "\nWhat decided the misses")?;
            for (why, count) in &row.misses {
                writeln!(f, "{why:<28}  {count:>7}")?;
            }
        }
        Ok(())
    }
}

impl ReplayReport {
    fn line(&self, row: &ReplayRow) -> String {
        let mut line = String::new();
        let Tally { exact, near, wrong, .. } = row.all;
        let hits = percent(row.all.hit_rate());
        let (rate, most) =
            (percent(row.all.wrong_rate()), percent(row.all.wrong_at_most(self.options.confidence)));
        let (saved, mean) = (self.saved_cost(row), self.mean_latency(row).as_millis());
        // Writing to a text does not fail.
        let _written = write!(
            line,
            "{:<38}  {hits:>7}  {exact:>5}  {near:>5}  {wrong:>5}  {rate:>13}  {most:>15}  ${saved:<8.2}  {mean} ms",
            row.policy.name
        );
        line
    }
}

impl Calibration {
    /// The evidence as JSON, to be kept and [read](Calibration::from_json) again.
    pub fn to_json(&self) -> Value {
        let steps = self.steps().iter().map(
            |step| json!({ "threshold": round(step.threshold), "hits": step.hits, "wrong": step.wrong }),
        );
        json!({ "steps": steps.collect::<Vec<_>>() })
    }

    /// Evidence from what [`Calibration::to_json`] gave, or from a report that holds it as `calibration`; `None` for anything
    /// else.
    pub fn from_json(value: &Value) -> Option<Self> {
        let value = value.get("calibration").unwrap_or(value);
        let steps = value.get("steps")?.as_array()?.iter().map(|step| {
            let hits = step.get("hits")?.as_u64()?;
            let wrong = step.get("wrong")?.as_u64()?;
            // A threshold has a few digits, which both kinds of number hold.
            #[allow(clippy::cast_possible_truncation)]
            let threshold = step.get("threshold")?.as_f64()? as f32;
            (wrong <= hits && threshold.is_finite()).then_some(Step { threshold, hits, wrong })
        });
        steps.collect::<Option<Vec<_>>>().map(Self::new)
    }
}

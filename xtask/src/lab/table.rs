//! The figures, as tables.

use std::time::Duration;

use super::figures::{flatness, histogram, mean, median, quantile};
use super::outage::Run;
use super::storm::{Hint, Strategy, Trial};

/// The width of a bar, in the plots and for flatness.
pub(super) const BAR: Duration = Duration::from_millis(100);

/// What came of the storms of one kind.
pub(super) struct Row {
    strategy: Strategy,
    hint: Hint,
    failed: f64,
    failed_worst: f64,
    median: f64,
    median_worst: f64,
    late: f64,
    amplification: f64,
    busiest: f64,
    flatness: f64,
}

impl Row {
    pub(super) fn of(strategy: Strategy, hint: Hint, trials: &[Trial]) -> Self {
        let bars: Vec<Vec<u32>> = trials.iter().map(|trial| histogram(&trial.retries(), BAR)).collect();
        let failed = |trial: &Trial| f64::from(trial.failed) / f64::from(trial.calls());
        let middle = |trial: &Trial| median(&trial.answered).as_secs_f64();
        let of_all = |figure: &dyn Fn(&Trial) -> f64| mean(trials.iter().map(figure));
        let worst = |figure: &dyn Fn(&Trial) -> f64| trials.iter().map(figure).fold(0.0, f64::max);
        Self {
            strategy,
            hint,
            failed: of_all(&failed),
            failed_worst: worst(&failed),
            median: of_all(&middle),
            median_worst: worst(&middle),
            late: of_all(&|trial| quantile(&trial.answered, 0.95).as_secs_f64()),
            amplification: of_all(&|trial| trial.attempts.len() as f64 / f64::from(trial.calls())),
            busiest: mean(bars.iter().map(|bars| f64::from(bars.iter().copied().max().unwrap_or(0)))),
            flatness: mean(bars.iter().map(|bars| flatness(bars))),
        }
    }

    /// S2.4 speaks of the bare layer, and its users of the whole stack.
    fn is_judged(&self) -> bool {
        matches!(self.strategy, Strategy::Proportional | Strategy::Stack)
    }

    /// What S2.4 asks for and this is not.
    pub(super) fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        if self.is_judged() && self.failed >= 0.05 {
            missed.push(format!("S2.4: {:.1} % failed in the end", self.failed * 100.0));
        }
        if self.is_judged() && self.median >= 3.0 {
            missed.push(format!("S2.4: the median is {:.2} s", self.median));
        }
        missed
    }
}

/// S2.4: the jittered retries are flatter than the fixed ones.
pub(super) fn flatter(rows: &[Row]) -> Vec<String> {
    let of = |strategy, hint| rows.iter().find(|row| row.strategy == strategy && row.hint == hint);
    [Hint::Seconds, Hint::None]
        .into_iter()
        .filter_map(|hint| {
            let (fixed, jittered) = (of(Strategy::Fixed, hint)?, of(Strategy::Proportional, hint)?);
            (jittered.flatness < 1.5 * fixed.flatness).then(|| {
                format!("S2.4: flatness {:.3} with jitter, {:.3} without", jittered.flatness, fixed.flatness)
            })
        })
        .collect()
}

pub(super) fn of(rows: &[Row]) -> String {
    let mut lines = vec![
        "| Retry-After | retries | failed in the end | median | 95 % | attempts per call | busiest 100 ms | flatness |"
            .to_owned(),
        "|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    for row in rows {
        lines.push(format!(
            "| {} | {} | {:.1} % ({:.0} %) | {:.2} s ({:.2} s) | {:.1} s | {:.2} | {:.1} | {:.3} |",
            row.hint.name(),
            row.strategy.name(),
            row.failed * 100.0,
            row.failed_worst * 100.0,
            row.median,
            row.median_worst,
            row.late,
            row.amplification,
            row.busiest,
            row.flatness,
        ));
    }
    lines.join("\n") + "\n"
}

pub(super) fn of_outages(runs: &[Run]) -> String {
    let mut lines = vec![
        "| stack | failed | failed in the outage | median in the outage | 95 % | attempts on the silent provider | \
         served again after |"
            .to_owned(),
        "|---|---|---|---|---|---|---|".to_owned(),
    ];
    for run in runs {
        let during = run.during();
        let times: Vec<Duration> = during.iter().map(|call| call.took).collect();
        let failed = during.iter().filter(|call| !call.served).count();
        lines.push(format!(
            "| {} | {} of {} | {} of {} | {:.1} s | {:.1} s | {} | {:.1} s |",
            run.stack.name(),
            run.calls.iter().filter(|call| !call.served).count(),
            run.calls.len(),
            failed,
            during.len(),
            median(&times).as_secs_f64(),
            quantile(&times, 0.95).as_secs_f64(),
            run.attempts_in_outage,
            run.served_again().as_secs_f64(),
        ));
    }
    lines.join("\n") + "\n"
}

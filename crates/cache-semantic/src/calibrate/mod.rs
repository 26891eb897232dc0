//! Which threshold is safe: counted on labelled pairs of questions, or on a stream of them replayed.

mod data;
mod pairs;
#[cfg(feature = "plot")]
mod plot;
mod replay;
mod report;

pub use self::data::{InvalidData, LabelledPair, ReplayQuery, read_pairs, read_stream};
pub use self::pairs::{
    CalibrateError, CalibrateOptions, PairReport, Row, ScoredPair, Stage, calibrate, calibrate_scored,
};
#[cfg(feature = "plot")]
pub use self::plot::PlotError;
pub use self::replay::{Policy, ReplayOptions, ReplayReport, ReplayRow, Tally, replay, replay_embedded};

pub(crate) use self::pairs::share;
use crate::bound::{fewest, upper_bound};

/// What was counted at each threshold: the evidence for a [`Bound`](crate::Bound).
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Calibration {
    /// What was counted, strictest threshold first.
    steps: Vec<Step>,
}

/// What was counted at one threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Step {
    /// The threshold.
    pub threshold: f32,
    /// How many hits it gives.
    pub hits: u64,
    /// How many of them are wrong.
    pub wrong: u64,
}

/// There is no threshold that keeps the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no safe threshold: exact only")]
pub struct NoSafeThreshold;

impl Calibration {
    /// Evidence from these counts.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let mut steps: Vec<_> = steps.into_iter().filter(|step| step.threshold.is_finite()).collect();
        steps.sort_by(|a, b| b.threshold.total_cmp(&a.threshold));
        steps.dedup_by_key(|step| step.threshold.to_bits());
        Self { steps }
    }

    /// What was counted, strictest threshold first.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The loosest threshold at which, with this confidence, at most `max_error_rate` of the hits are wrong.
    ///
    /// The thresholds are tried from the strictest to the loosest, and the first that fails ends it, so that trying many
    /// costs no confidence. Thresholds with so few hits that not even a clean record would show anything are passed over.
    ///
    /// # Errors
    /// [`NoSafeThreshold`] when none holds, or when nothing was counted.
    pub fn loosest(&self, max_error_rate: f64, confidence: f64) -> Result<f32, NoSafeThreshold> {
        let enough = fewest(max_error_rate, confidence);
        self.steps
            .iter()
            .filter(|step| step.hits >= enough)
            .take_while(|step| upper_bound(step.wrong, step.hits, confidence) <= max_error_rate)
            .last()
            .map(|step| step.threshold)
            .ok_or(NoSafeThreshold)
    }
}

/// The thresholds at which is counted, strictest first: from 0.99 to 0.70 in steps of 0.0025.
pub(crate) fn thresholds() -> impl Iterator<Item = f32> {
    (0..=116_u16).map(|step| f32::from(9_900 - 25 * step) / 10_000.0)
}

/// Whether a table shows it: whole hundredths do.
pub(crate) fn is_shown(threshold: f32) -> bool {
    let hundredths = threshold * 100.0;
    (hundredths - hundredths.round()).abs() < 0.01
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(threshold: f32, hits: u64, wrong: u64) -> Step {
        Step { threshold, hits, wrong }
    }

    #[test]
    fn the_loosest_threshold_is_the_last_before_the_first_that_fails() {
        let counted = Calibration::new([
            step(0.80, 3_000, 9),
            step(0.99, 100, 0),
            step(0.95, 1_000, 2),
            step(0.90, 1_500, 5),
            step(0.85, 2_000, 40),
        ]);
        // 0.80 would hold again, but what comes after a failure is not looked at.
        assert_eq!(counted.loosest(0.01, 0.95), Ok(0.90));
    }

    #[test]
    fn where_nothing_holds_it_refuses() {
        let refused = Calibration::new([step(0.99, 5_000, 200)]).loosest(0.01, 0.95);
        assert_eq!(refused, Err(NoSafeThreshold));
        assert_eq!(NoSafeThreshold.to_string(), "no safe threshold: exact only");
        assert_eq!(Calibration::default().loosest(0.01, 0.95), Err(NoSafeThreshold));
        // A clean record of too few hits shows nothing.
        assert_eq!(Calibration::new([step(0.95, 298, 0)]).loosest(0.01, 0.95), Err(NoSafeThreshold));
        assert_eq!(Calibration::new([step(0.95, 299, 0)]).loosest(0.01, 0.95), Ok(0.95));
    }
}

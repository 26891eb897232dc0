//! The settings as data, checked once.

use std::time::Duration;

use crate::calibrate::Calibration;
use crate::guard::Guards;

/// The settings of a semantic cache that are data: what a configuration file can say. Checked where a layer is built of
/// them.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct SemanticConfig {
    /// How near a question must be: cosine similarity, 0.5 to 1. 0.95 when not set; see [`Preset`].
    pub threshold: f32,
    /// What is vetoed whatever the nearness.
    pub guards: Guards,
    /// How many of the nearest questions are looked at; 5 when not set, 1 to 100.
    pub neighbours: usize,
    /// How long an answer is kept; 24 h when not set.
    #[cfg_attr(feature = "serde", serde(with = "mainstay_provider_core::span"))]
    pub ttl: Duration,
    /// Which calls are looked at.
    pub limits: Limits,
    /// The bound on wrong hits; none when not set, and then the threshold stands as it is.
    pub bound: Option<Bound>,
    /// The share of hits that is asked again in the background, to learn how many are wrong; 0 when not set, and 0.01 where
    /// there is a bound.
    pub recheck: Option<f64>,
    /// How far above the threshold a verifier is asked, if there is one; 0.05 when not set.
    pub unsure: f32,
    /// How long a store may take to answer; 50 ms when not set.
    #[cfg_attr(feature = "serde", serde(with = "mainstay_provider_core::span"))]
    pub store_timeout: Duration,
    /// How long embedding a question may take; 500 ms when not set.
    #[cfg_attr(feature = "serde", serde(with = "mainstay_provider_core::span"))]
    pub embed_timeout: Duration,
    /// How long the verifier may take; 500 ms when not set.
    #[cfg_attr(feature = "serde", serde(with = "mainstay_provider_core::span"))]
    pub verify_timeout: Duration,
}

impl Default for SemanticConfig {
    fn default() -> Self {
        Self {
            threshold: Preset::Standard.threshold(),
            guards: Guards::Standard,
            neighbours: 5,
            ttl: Duration::from_secs(24 * 60 * 60),
            limits: Limits::default(),
            bound: None,
            recheck: None,
            unsure: 0.05,
            store_timeout: Duration::from_millis(50),
            embed_timeout: Duration::from_millis(500),
            verify_timeout: Duration::from_millis(500),
        }
    }
}

impl SemanticConfig {
    /// The share of hits that is asked again.
    pub(crate) fn recheck_share(&self) -> f64 {
        self.recheck.unwrap_or(if self.bound.is_some() { 0.01 } else { 0.0 })
    }

    /// # Errors
    /// A setting with which a cache could not work; [`InvalidConfig`] says which.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        threshold("threshold", self.threshold)?;
        if !(1..=100).contains(&self.neighbours) {
            return Err(InvalidConfig::Neighbours(self.neighbours));
        }
        if !(0.0..=0.5).contains(&self.unsure) {
            return Err(InvalidConfig::Share { name: "unsure", given: f64::from(self.unsure), most: 0.5 });
        }
        share("recheck", self.recheck_share())?;
        time("ttl", self.ttl)?;
        time("store_timeout", self.store_timeout)?;
        time("embed_timeout", self.embed_timeout)?;
        time("verify_timeout", self.verify_timeout)?;
        let Limits { max_temperature, min_words, max_words, tools: _, time_words: _ } = self.limits;
        if !(0.0..=2.0).contains(&max_temperature) {
            return Err(InvalidConfig::Share { name: "max_temperature", given: max_temperature, most: 2.0 });
        }
        if max_words == 0 || min_words > max_words {
            return Err(InvalidConfig::Words { least: min_words, most: max_words });
        }
        match &self.bound {
            None => Ok(()),
            Some(bound) => bound.check(),
        }
    }
}

/// Which calls a semantic cache looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct Limits {
    /// Calls with a higher temperature want variety; 0.7 when not set. A call that says nothing of it is looked at.
    pub max_temperature: f64,
    /// Shorter questions are found by their exact text only; 3 words when not set.
    pub min_words: usize,
    /// Longer ones too, since embedders cut what is longer than their window; 180 words when not set, which is about 240
    /// tokens.
    pub max_words: usize,
    /// Whether calls with tools on offer are looked at; not when not set.
    pub tools: bool,
    /// Whether questions about today, the latest, the current state of something are looked at; not when not set.
    pub time_words: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_temperature: 0.7, min_words: 3, max_words: 180, tools: false, time_words: false }
    }
}

/// A threshold by what is at stake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Preset {
    /// 0.97: a wrong answer can do harm.
    Safety,
    /// 0.95: the default.
    Standard,
    /// 0.92: questions of many people about the same few things.
    Faq,
}

impl Preset {
    /// Its threshold.
    pub fn threshold(self) -> f32 {
        match self {
            Self::Safety => 0.97,
            Self::Standard => 0.95,
            Self::Faq => 0.92,
        }
    }
}

/// A bound on wrong hits: the threshold is as loose as the evidence allows, and where there is none that is safe, only
/// exact texts are served.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Bound {
    /// The largest share of hits that may be wrong: 0.01 is one in a hundred.
    pub max_error_rate: f64,
    /// How sure that must be; 0.95 when not set.
    #[cfg_attr(feature = "serde", serde(default = "Bound::default_confidence"))]
    pub confidence: f64,
    /// What was counted before: [`calibrate`](crate::calibrate) and [`replay`](crate::replay) write it. Without it the
    /// cache begins with exact texts and learns.
    #[cfg_attr(feature = "serde", serde(default))]
    pub calibration: Calibration,
}

impl Bound {
    /// At most this share of wrong hits, at 95 % confidence, with no evidence yet.
    pub fn new(max_error_rate: f64) -> Self {
        Self { max_error_rate, confidence: Self::default_confidence(), calibration: Calibration::default() }
    }

    /// The same with what was counted before.
    #[must_use]
    pub fn calibrated(mut self, calibration: Calibration) -> Self {
        self.calibration = calibration;
        self
    }

    fn default_confidence() -> f64 {
        0.95
    }

    fn check(&self) -> Result<(), InvalidConfig> {
        if !(self.max_error_rate > 0.0 && self.max_error_rate < 1.0) {
            return Err(InvalidConfig::Share {
                name: "max_error_rate",
                given: self.max_error_rate,
                most: 1.0,
            });
        }
        if !(self.confidence >= 0.5 && self.confidence < 1.0) {
            return Err(InvalidConfig::Confidence(self.confidence));
        }
        Ok(())
    }
}

/// Why a configuration of a semantic cache is not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// A threshold below which everything is near, or above which nothing is.
    #[error("{name} is {given}; a cosine similarity from 0.5 to 1 is wanted")]
    Threshold {
        /// Which setting.
        name: &'static str,
        /// What was given.
        given: f32,
    },
    /// A share that is none.
    #[error("{name} is {given}; it must be from 0 to {most}")]
    Share {
        /// Which setting.
        name: &'static str,
        /// What was given.
        given: f64,
        /// What is possible.
        most: f64,
    },
    /// A confidence that says nothing, or that nothing reaches.
    #[error("confidence is {0}; it must be at least 0.5 and below 1")]
    Confidence(f64),
    /// Too few neighbours or too many.
    #[error("neighbours is {0}; it must be from 1 to 100")]
    Neighbours(usize),
    /// No question has so many words.
    #[error("min_words is {least} and max_words is {most}; no question fits")]
    Words {
        /// The fewest.
        least: usize,
        /// The most.
        most: usize,
    },
    /// A time that must not be zero is, or is longer than a year.
    #[error("{0} must be above zero and at most a year")]
    Time(&'static str),
}

fn threshold(name: &'static str, given: f32) -> Result<(), InvalidConfig> {
    if (0.5..=1.0).contains(&given) { Ok(()) } else { Err(InvalidConfig::Threshold { name, given }) }
}

fn share(name: &'static str, given: f64) -> Result<(), InvalidConfig> {
    if (0.0..=1.0).contains(&given) { Ok(()) } else { Err(InvalidConfig::Share { name, given, most: 1.0 }) }
}

fn time(name: &'static str, given: Duration) -> Result<(), InvalidConfig> {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    if given.is_zero() || given > YEAR { Err(InvalidConfig::Time(name)) } else { Ok(()) }
}

//! Thresholds counted on labelled pairs.

use std::collections::BTreeMap;

use mainstay_provider_core::Error;

use super::data::LabelledPair;
use super::{Calibration, NoSafeThreshold, Step, thresholds};
use crate::bound::{as_real, interval};
use crate::embedding::{Embedding, cosine};
use crate::guard::{Asked, Guards, Verdict};
use crate::text::normalise;

/// What is wanted of a calibration.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CalibrateOptions {
    /// The share of served pairs that must be right; 0.99 when not set.
    pub precision: f64,
    /// How sure that must be; 0.95 when not set.
    pub confidence: f64,
    /// The guards; [`Guards::Standard`] when not set.
    pub guards: Guards,
}

impl Default for CalibrateOptions {
    fn default() -> Self {
        Self { precision: 0.99, confidence: 0.95, guards: Guards::Standard }
    }
}

/// A labelled pair with its nearness.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredPair {
    /// The pair.
    pub pair: LabelledPair,
    /// How near its questions are: cosine similarity.
    pub score: f32,
}

/// After which step of the decision it was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// Nearness alone.
    Nearness,
    /// What no guard vetoes.
    Vetoes,
    /// What is near enough less the guards' doubts: the whole decision.
    Guards,
}

impl Stage {
    /// All of them, in the order of the decision.
    pub const ALL: [Self; 3] = [Self::Nearness, Self::Vetoes, Self::Guards];

    /// Its name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nearness => "nearness alone",
            Self::Vetoes => "and no veto",
            Self::Guards => "and no doubt",
        }
    }
}

/// What was counted at one threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// The threshold.
    pub threshold: f32,
    /// Pairs that are the same and would be served.
    pub right: u64,
    /// Pairs that are different and would be served.
    pub wrong: u64,
    /// All pairs that are the same.
    pub same: u64,
    /// All pairs that are different.
    pub different: u64,
}

impl Row {
    /// The share of served pairs that are the same; 1 where none is served.
    pub fn precision(&self) -> f64 {
        share(self.right, self.right + self.wrong).unwrap_or(1.0)
    }

    /// Its interval at 95 %.
    pub fn precision_interval(&self) -> (f64, f64) {
        interval(self.right, self.right + self.wrong, 0.95)
    }

    /// The share of pairs that are the same and served.
    pub fn recall(&self) -> f64 {
        share(self.right, self.same).unwrap_or(0.0)
    }

    /// Its interval at 95 %.
    pub fn recall_interval(&self) -> (f64, f64) {
        interval(self.right, self.same, 0.95)
    }

    /// The harmonic mean of precision and recall.
    pub fn f1(&self) -> f64 {
        let (precision, recall) = (self.precision(), self.recall());
        if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
    }

    /// The share of different pairs that are served.
    pub fn false_hit_rate(&self) -> f64 {
        share(self.wrong, self.different).unwrap_or(0.0)
    }

    /// Its interval at 95 %.
    pub fn false_hit_interval(&self) -> (f64, f64) {
        interval(self.wrong, self.different, 0.95)
    }
}

/// What a calibration found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PairReport {
    /// How many pairs there were.
    pub pairs: usize,
    /// What was wanted.
    pub options: CalibrateOptions,
    /// A table for each stage, strictest threshold first.
    pub stages: Vec<(Stage, Vec<Row>)>,
    /// The loosest threshold of the whole decision that has the wanted precision at the wanted confidence.
    pub recommended: Result<f32, NoSafeThreshold>,
    /// Pairs, pairs near at all, served right and served wrong by source, at the recommended threshold, or at 0.95 where there is none.
    pub sources: BTreeMap<String, Row>,
    /// How many same and different pairs each veto kept from being served at that threshold.
    pub vetoes: BTreeMap<&'static str, (u64, u64)>,
}

impl PairReport {
    /// The counts of the whole decision, as evidence for a [`Bound`](crate::Bound).
    ///
    /// A set of pairs is not traffic: hard pairs are far more frequent in it. A [replayed](super::replay) stream is better
    /// evidence.
    pub fn calibration(&self) -> Calibration {
        let whole = self.stages.iter().find(|(stage, _)| *stage == Stage::Guards);
        let steps = whole.into_iter().flat_map(|(_, rows)| rows);
        Calibration::new(steps.map(|row| Step {
            threshold: row.threshold,
            hits: row.right + row.wrong,
            wrong: row.wrong,
        }))
    }
}

/// The fewest pairs that a calibration takes (S4.6).
const FEWEST: usize = 100;

/// Why there is no calibration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrateError {
    /// Too few pairs to say anything.
    #[error("{0} labelled pairs are too few: at least {FEWEST} are needed")]
    TooFew(usize),
    /// The embedder failed.
    #[error("the questions could not be embedded")]
    Embed(#[source] Error),
}

/// Counts, at each threshold and after each stage of the decision, which of these pairs would be served.
///
/// # Errors
/// Fewer than 100 pairs, or an embedder that fails.
pub async fn calibrate(
    pairs: &[LabelledPair],
    embedding: &Embedding,
    options: CalibrateOptions,
) -> Result<PairReport, CalibrateError> {
    let texts = pairs.iter().flat_map(|pair| [normalise(&pair.a), normalise(&pair.b)]).collect::<Vec<_>>();
    let vectors = embedding.embed_all(&texts).await.map_err(CalibrateError::Embed)?;
    let scored = pairs
        .iter()
        .zip(vectors.chunks_exact(2))
        .map(|(pair, vectors)| ScoredPair { pair: pair.clone(), score: cosine(&vectors[0], &vectors[1]) });
    calibrate_scored(&scored.collect::<Vec<_>>(), options)
}

/// The same for pairs whose nearness is known.
///
/// # Errors
/// Fewer than 100 pairs.
pub fn calibrate_scored(
    pairs: &[ScoredPair],
    options: CalibrateOptions,
) -> Result<PairReport, CalibrateError> {
    if pairs.len() < FEWEST {
        return Err(CalibrateError::TooFew(pairs.len()));
    }
    let judged: Vec<_> = pairs.iter().map(|scored| (scored, verdict(&scored.pair, options.guards))).collect();
    let rows = |stage| thresholds().map(|threshold| count(&judged, stage, threshold)).collect();
    let stages = Stage::ALL.map(|stage| (stage, rows(stage))).to_vec();
    let recommended = recommend(&stages, &options);
    let shown = recommended.unwrap_or(0.95);
    let mut sources = BTreeMap::new();
    let mut vetoes = BTreeMap::new();
    for (scored, verdict) in &judged {
        let source = scored.pair.source.as_deref().unwrap_or("all");
        let source = source.split(':').next().unwrap_or(source).to_owned();
        let row = sources.entry(source).or_insert_with(|| Row::empty(shown));
        row.add(scored.pair.same_intent, is_served(scored.score, verdict, Stage::Guards, shown));
        if let Some(difference) = verdict.veto
            && scored.score >= shown
        {
            let (same, different) = vetoes.entry(difference.as_str()).or_insert((0, 0));
            *(if scored.pair.same_intent { same } else { different }) += 1;
        }
    }
    Ok(PairReport { pairs: pairs.len(), options, stages, recommended, sources, vetoes })
}

fn verdict(pair: &LabelledPair, guards: Guards) -> Verdict {
    let (a, b) = (normalise(&pair.a), normalise(&pair.b));
    if a == b { Verdict::default() } else { Asked::new(&a, guards).compare(&b) }
}

fn is_served(score: f32, verdict: &Verdict, stage: Stage, threshold: f32) -> bool {
    match stage {
        Stage::Nearness => score >= threshold,
        Stage::Vetoes => score >= threshold && verdict.veto.is_none(),
        Stage::Guards => score - verdict.doubt >= threshold && verdict.veto.is_none(),
    }
}

fn count(judged: &[(&ScoredPair, Verdict)], stage: Stage, threshold: f32) -> Row {
    let mut row = Row::empty(threshold);
    for (scored, verdict) in judged {
        row.add(scored.pair.same_intent, is_served(scored.score, verdict, stage, threshold));
    }
    row
}

impl Row {
    fn empty(threshold: f32) -> Self {
        Self { threshold, right: 0, wrong: 0, same: 0, different: 0 }
    }

    fn add(&mut self, same: bool, served: bool) {
        *(if same { &mut self.same } else { &mut self.different }) += 1;
        *(if same { &mut self.right } else { &mut self.wrong }) += u64::from(served);
    }
}

fn recommend(stages: &[(Stage, Vec<Row>)], options: &CalibrateOptions) -> Result<f32, NoSafeThreshold> {
    let whole = stages.iter().find(|(stage, _)| *stage == Stage::Guards).ok_or(NoSafeThreshold)?;
    let steps = whole.1.iter().map(|row| Step {
        threshold: row.threshold,
        hits: row.right + row.wrong,
        wrong: row.wrong,
    });
    Calibration::new(steps).loosest(1.0 - options.precision, options.confidence)
}

pub(crate) fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| as_real(part) / as_real(all))
}

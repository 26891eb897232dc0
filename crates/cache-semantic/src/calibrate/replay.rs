//! A stream of questions asked again, against a cache that begins empty.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use mainstay_provider_core::Error;

use super::data::ReplayQuery;
use super::pairs::share;
use super::{Calibration, NoSafeThreshold, Step, thresholds};
use crate::bound::upper_bound;
use crate::config::Limits;
use crate::decision::choose;
use crate::eligible::{asks_about_now, is_worth_embedding};
use crate::embedding::{Embedding, cosine};
use crate::guard::{Asked, Guards};
use crate::store::{EntryId, Neighbour};
use crate::text::normalise;

/// A cache as it is replayed.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its name in reports.
    pub name: String,
    /// The threshold; `None` serves exact texts only.
    pub threshold: Option<f32>,
    /// The guards.
    pub guards: Guards,
}

impl Policy {
    /// Exact texts only.
    pub fn exact() -> Self {
        Self { name: "exact text only".into(), threshold: None, guards: Guards::Off }
    }

    /// Nearness above this threshold alone, as most caches do it.
    pub fn nearness(threshold: f32) -> Self {
        Self { name: format!("cosine {threshold:.2} alone"), threshold: Some(threshold), guards: Guards::Off }
    }

    /// This threshold with guards.
    pub fn guarded(threshold: f32, guards: Guards) -> Self {
        let name = format!(
            "cosine {threshold} and guards{}",
            if guards == Guards::Strict { " (strict)" } else { "" }
        );
        Self { name, threshold: Some(threshold), guards }
    }
}

/// What is wanted of a replay.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReplayOptions {
    /// The caches that are compared; a row each. Exact text only, 0.80 alone, 0.95 with guards when not set.
    pub policies: Vec<Policy>,
    /// The guards of the calibrated row; [`Guards::Standard`] when not set.
    pub guards: Guards,
    /// The share of hits that may be wrong in the calibrated row; 0.01 when not set.
    pub max_error_rate: f64,
    /// How sure that must be; 0.95 when not set.
    pub confidence: f64,
    /// How many of the nearest are looked at; 5 when not set.
    pub neighbours: usize,
    /// Which questions are looked at.
    pub limits: Limits,
    /// What a call costs that no cache answers, in USD; 0 when not set.
    pub cost_per_call: f64,
    /// How long such a call takes; 1.2 s when not set.
    pub latency_of_miss: Duration,
    /// How long a hit takes; 10 ms when not set.
    pub latency_of_hit: Duration,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self {
            policies: vec![Policy::exact(), Policy::nearness(0.80), Policy::guarded(0.95, Guards::Standard)],
            guards: Guards::Standard,
            max_error_rate: 0.01,
            confidence: 0.95,
            neighbours: 5,
            limits: Limits::default(),
            cost_per_call: 0.0,
            latency_of_miss: Duration::from_millis(1_200),
            latency_of_hit: Duration::from_millis(10),
        }
    }
}

/// What one cache would have done.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReplayRow {
    /// The cache.
    pub policy: Policy,
    /// All of it.
    pub all: Tally,
    /// By source.
    pub sources: BTreeMap<String, Tally>,
    /// By what decided the misses, or why a question was not looked at.
    pub misses: BTreeMap<String, u64>,
}

/// Questions, and what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Questions.
    pub queries: u64,
    /// Served because the very text was asked before.
    pub exact: u64,
    /// Served because a near question was asked before.
    pub near: u64,
    /// Served with the answer to another question.
    pub wrong: u64,
}

impl Tally {
    /// All that was served.
    pub fn hits(&self) -> u64 {
        self.exact + self.near
    }

    /// The share of questions that were served.
    pub fn hit_rate(&self) -> f64 {
        share(self.hits(), self.queries).unwrap_or(0.0)
    }

    /// The share of served questions that got the answer to another one.
    pub fn wrong_rate(&self) -> f64 {
        share(self.wrong, self.hits()).unwrap_or(0.0)
    }

    /// What that share is at most, at this confidence.
    pub fn wrong_at_most(&self, confidence: f64) -> f64 {
        upper_bound(self.wrong, self.hits(), confidence)
    }
}

/// What a replay found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReplayReport {
    /// How many questions there were.
    pub queries: usize,
    /// What was wanted.
    pub options: ReplayOptions,
    /// A row for each policy, and one for the calibrated threshold if there is one.
    pub rows: Vec<ReplayRow>,
    /// What was counted at each threshold with the guards, as evidence for a [`Bound`](crate::Bound).
    pub calibration: Calibration,
    /// The loosest threshold that keeps the bound.
    pub calibrated: Result<f32, NoSafeThreshold>,
}

impl ReplayReport {
    /// What a cache would have saved, in USD.
    pub fn saved_cost(&self, row: &ReplayRow) -> f64 {
        self.options.cost_per_call * crate::bound::as_real(row.all.hits())
    }

    /// How long a question takes on average with this cache.
    pub fn mean_latency(&self, row: &ReplayRow) -> Duration {
        let rate = row.all.hit_rate();
        self.options.latency_of_hit.mul_f64(rate) + self.options.latency_of_miss.mul_f64(1.0 - rate)
    }
}

/// Replays a stream.
///
/// # Errors
/// Those of the embedder.
pub async fn replay(
    stream: &[ReplayQuery],
    embedding: &Embedding,
    options: ReplayOptions,
) -> Result<ReplayReport, Error> {
    let texts: Vec<_> = stream.iter().map(|query| normalise(&query.query)).collect();
    let mut places = HashMap::new();
    let mut different = Vec::new();
    for text in &texts {
        places.entry(text.clone()).or_insert_with(|| {
            different.push(text.clone());
            different.len() - 1
        });
    }
    let vectors = embedding.embed_all(&different).await?;
    let vectors: Vec<_> = texts.iter().map(|text| vectors[places[text]].clone()).collect();
    Ok(replay_embedded(stream, &vectors, options))
}

/// The same with a vector of length 1 for each question.
///
/// # Panics
/// When there are fewer vectors than questions.
pub fn replay_embedded(
    stream: &[ReplayQuery],
    vectors: &[Arc<[f32]>],
    options: ReplayOptions,
) -> ReplayReport {
    assert!(vectors.len() >= stream.len(), "a vector for each question");
    let mut rehearsal = Rehearsal::new(stream, vectors, &options);
    let mut rows: Vec<_> = options.policies.iter().map(|policy| rehearsal.run(policy.clone())).collect();
    let steps = thresholds().map(|threshold| {
        let row = rehearsal.run(Policy::guarded(threshold, options.guards));
        Step { threshold, hits: row.all.hits(), wrong: row.all.wrong }
    });
    let calibration = Calibration::new(steps);
    let calibrated = calibration.loosest(options.max_error_rate, options.confidence);
    if let Ok(threshold) = calibrated {
        let mut policy = Policy::guarded(threshold, options.guards);
        policy.name = format!("calibrated: {}", policy.name);
        rows.push(rehearsal.run(policy));
    }
    ReplayReport { queries: stream.len(), options, rows, calibration, calibrated }
}

/// The stream, with what is the same for every policy.
struct Rehearsal<'a> {
    queries: Vec<Query<'a>>,
    /// How near the different texts are to each other, as far as they are near at all: nearest first.
    near: Vec<Vec<(usize, f32)>>,
    neighbours: usize,
}

struct Query<'a> {
    /// Which of the different texts it is.
    text: usize,
    written: Arc<str>,
    intent: &'a str,
    source: &'a str,
    skip: Option<&'static str>,
    is_embedded: bool,
}

/// The loosest threshold that anybody replays: nearer pairs are found once for all.
const LOOSEST: f32 = 0.5;

impl<'a> Rehearsal<'a> {
    fn new(stream: &'a [ReplayQuery], vectors: &'a [Arc<[f32]>], options: &ReplayOptions) -> Self {
        let mut texts: HashMap<Arc<str>, usize> = HashMap::new();
        let mut different: Vec<&[f32]> = Vec::new();
        let queries = stream.iter().zip(vectors).map(|(query, vector)| {
            let written = normalise(&query.query);
            let text = *texts.entry(written.clone()).or_insert_with(|| {
                different.push(vector);
                different.len() - 1
            });
            let is_now = !options.limits.time_words && asks_about_now(&written);
            Query {
                text,
                is_embedded: is_worth_embedding(&written, &options.limits),
                skip: is_now.then_some("skip:time"),
                written,
                intent: &query.intent,
                source: query.source.as_deref().unwrap_or("all"),
            }
        });
        let queries = queries.collect();
        let near = different.iter().map(|vector| nearest(vector, &different)).collect();
        Self { queries, near, neighbours: options.neighbours }
    }

    fn run(&mut self, policy: Policy) -> ReplayRow {
        let mut kept: HashMap<usize, &Query<'_>> = HashMap::new();
        let mut row =
            ReplayRow { policy, all: Tally::default(), sources: BTreeMap::new(), misses: BTreeMap::new() };
        for query in &self.queries {
            let mut tally = Tally { queries: 1, ..Tally::default() };
            let served = match query.skip {
                Some(skip) => Err(skip.to_owned()),
                None => self.serve(query, &kept, &row.policy),
            };
            match served {
                Ok((answer, by_text)) => {
                    *(if by_text { &mut tally.exact } else { &mut tally.near }) += 1;
                    tally.wrong += u64::from(answer.intent != query.intent);
                }
                Err(why) => {
                    *row.misses.entry(why).or_default() += 1;
                    if query.skip.is_none() {
                        kept.insert(query.text, query);
                    }
                }
            }
            row.all.add(&tally);
            row.sources.entry(query.source.to_owned()).or_default().add(&tally);
        }
        row
    }

    fn serve<'q>(
        &self,
        query: &Query<'_>,
        kept: &HashMap<usize, &'q Query<'q>>,
        policy: &Policy,
    ) -> Result<(&'q Query<'q>, bool), String> {
        if let Some(same) = kept.get(&query.text) {
            return Ok((same, true));
        }
        let Some(threshold) = policy.threshold else { return Err("exact_only".into()) };
        if !query.is_embedded {
            return Err("not_embedded".into());
        }
        let found: Vec<_> = self.near[query.text]
            .iter()
            .filter(|(text, _)| kept.get(text).is_some_and(|entry| entry.is_embedded))
            .take(self.neighbours)
            .map(|(text, score)| Neighbour {
                id: EntryId(*text as u128),
                score: *score,
                text: kept[text].written.clone(),
                age: Duration::ZERO,
                tightened: None,
            })
            .collect();
        let decision = choose(&Asked::new(&query.written, policy.guards), &found, threshold);
        match decision.entry {
            Some(EntryId(text)) if decision.is_hit => {
                // It was made of this number above.
                #[allow(clippy::cast_possible_truncation)]
                let text = text as usize;
                Ok((kept[&text], false))
            }
            _ => Err(decision.by.to_string()),
        }
    }
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.queries += other.queries;
        self.exact += other.exact;
        self.near += other.near;
        self.wrong += other.wrong;
    }
}

fn nearest(vector: &[f32], all: &[&[f32]]) -> Vec<(usize, f32)> {
    let scores = all.iter().enumerate().map(|(text, other)| (text, cosine(vector, other)));
    let mut near: Vec<_> = scores.filter(|(_, score)| *score >= LOOSEST).collect();
    near.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    near
}

//! How often the semantic cache is wrong on a labelled stream, beside GPTCache's and a bare threshold's figures there.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use mainstay_cache_semantic::{
    Embedding, Guards, Policy, ReplayOptions, ReplayQuery, ReplayReport, Tally, normalise, read_stream,
    replay_embedded,
};
use serde_json::{Value, json};

/// GPTCache 0.1.44 end to end on the shared development stream, as its README and the anchors give it: share of hits, wrong
/// among them.
const GPTCACHE: [(&str, f64, f64); 2] =
    [("GPTCache 0.1.44, default", 0.6636, 0.2107), ("GPTCache 0.1.44, cosine 0.95", 0.4358, 0.0312)];

/// The targets of the data's README: hits and wrong hits with a bound of one in a hundred, wrong hits with the defaults.
const LEAST_HITS: f64 = 0.49;
const MOST_WRONG: f64 = 0.01;
const MOST_WRONG_BY_DEFAULT: f64 = 0.005;

/// What a stream shows.
pub(super) struct Quality {
    /// The loosest threshold that keeps the bound.
    pub(super) threshold: Option<f32>,
    lines: Vec<Line>,
}

/// One cache.
struct Line {
    name: String,
    which: Which,
    whole: Tally,
    /// Without the questions that were made to mislead.
    ordinary: Tally,
}

#[derive(Clone, Copy, PartialEq)]
enum Which {
    Other,
    Default,
    Calibrated,
}

pub(super) async fn measure(stream: &Path, embedding: &Embedding) -> Result<Quality> {
    let text = std::fs::read_to_string(stream).with_context(|| stream.display().to_string())?;
    let queries = read_stream(&text).map_err(|why| anyhow!("{}: {why}", stream.display()))?;
    let vectors = vectors(&queries, embedding).await?;
    let mut options = ReplayOptions::default();
    options.max_error_rate = MOST_WRONG;
    options.policies = policies();
    let whole = replay_embedded(&queries, &vectors, options.clone());
    let threshold = whole.calibrated.ok();
    options.policies.extend(threshold.map(|threshold| Policy::guarded(threshold, Guards::Standard)));
    let (queries, vectors): (Vec<_>, Vec<_>) =
        queries.into_iter().zip(vectors).filter(|(query, _)| is_ordinary(query)).unzip();
    let ordinary = replay_embedded(&queries, &vectors, options);
    Ok(Quality { threshold, lines: lines(&whole, &ordinary) })
}

fn policies() -> Vec<Policy> {
    vec![
        Policy::exact(),
        Policy::nearness(0.60),
        Policy::nearness(0.80),
        Policy::nearness(0.95),
        Policy::guarded(0.95, Guards::Strict),
        Policy::guarded(0.95, Guards::Standard),
    ]
}

fn is_ordinary(query: &ReplayQuery) -> bool {
    !matches!(query.source.as_deref(), Some("paws" | "checklist"))
}

/// A vector for each question; the same text is embedded once.
async fn vectors(queries: &[ReplayQuery], embedding: &Embedding) -> Result<Vec<Arc<[f32]>>> {
    let mut places = HashMap::new();
    let mut texts = Vec::new();
    let mut place_of = Vec::with_capacity(queries.len());
    for query in queries {
        let text = normalise(&query.query);
        place_of.push(*places.entry(text.clone()).or_insert_with(|| {
            texts.push(text);
            texts.len() - 1
        }));
    }
    let vectors = embedding.embed_all(&texts).await?;
    Ok(place_of.into_iter().map(|place| vectors[place].clone()).collect())
}

/// The rows of both reports side by side: they have the same policies in the same order.
fn lines(whole: &ReplayReport, ordinary: &ReplayReport) -> Vec<Line> {
    let policies = whole.options.policies.len();
    let rows = whole.rows.iter().zip(&ordinary.rows).enumerate();
    let lines = rows.map(|(at, (row, other))| Line {
        name: row.policy.name.clone(),
        which: match row.policy.guards {
            _ if at >= policies => Which::Calibrated,
            Guards::Standard => Which::Default,
            _ => Which::Other,
        },
        whole: row.all,
        ordinary: other.all,
    });
    lines.collect()
}

impl Quality {
    pub(super) fn table(&self, stream: &Path) -> String {
        let file = stream.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let queries = self.lines.first().map_or(0, |line| line.whole.queries);
        let mut table = format!(
            "Labelled stream {file} (S11.3): {queries} questions, caches empty at first, all-MiniLM-L6-v2\n\
             {:<38} {:>27}   {:>27}\n{:<38} {:>7} {:>9} {:>9}   {:>7} {:>9} {:>9}\n",
            "",
            "all questions",
            "without PAWS and CheckList",
            "cache",
            "hits",
            "wrong",
            "at most",
            "hits",
            "wrong",
            "at most",
        );
        for (name, hits, wrong) in GPTCACHE.iter().filter(|_| file == "dev_stream.jsonl") {
            let (hits, wrong) = (percent(*hits), percent(*wrong));
            table.push_str(&format!(
                "{name:<38} {hits:>7} {wrong:>9} {:>9}   {:>7} {:>9} {:>9}\n",
                "-", "-", "-", "-"
            ));
        }
        for Line { name, whole, ordinary, .. } in &self.lines {
            table.push_str(&format!("{name:<38} {}   {}\n", cells(whole), cells(ordinary)));
        }
        table.push_str("wrong: of hits, the share served with another intent's answer; at most: of that, at 95 % confidence\n");
        table
    }

    /// As `cargo xtask bench --json` writes them.
    pub(super) fn figures(&self) -> Vec<Value> {
        let mut figures = Vec::new();
        for line in &self.lines {
            for (part, tally) in [("all", &line.whole), ("ordinary", &line.ordinary)] {
                let [hits, wrong] = verdict(line.which, tally);
                let name = format!("hit rates/{part}/{}", line.name);
                figures.push(figure(&format!("{name}/hits"), tally.hit_rate(), hits));
                figures.push(figure(&format!("{name}/wrong of hits"), tally.wrong_rate(), wrong));
            }
        }
        figures
    }

    /// The targets that are missed.
    pub(super) fn missed(&self) -> Vec<String> {
        let missed = |figure: &Value| {
            (figure["reached"] == false)
                .then(|| format!("{}: {}, wanted {}", figure["name"], figure["value"], figure["target"]))
        };
        let mut missed: Vec<_> = self.figures().iter().filter_map(missed).collect();
        if self.threshold.is_none() {
            missed.push("no threshold is safe on this stream".to_owned());
        }
        missed
    }
}

/// What is wanted of a cache's hits and of its wrong hits, and whether it is so.
fn verdict(which: Which, tally: &Tally) -> [Option<(String, bool)>; 2] {
    let at_most = |most: f64| Some((format!("at most {}", percent(most).trim()), tally.wrong_rate() <= most));
    match which {
        Which::Other => [None, None],
        Which::Default => [None, at_most(MOST_WRONG_BY_DEFAULT)],
        Which::Calibrated => {
            let hits = format!("at least {}", percent(LEAST_HITS).trim());
            [Some((hits, tally.hit_rate() >= LEAST_HITS)), at_most(MOST_WRONG)]
        }
    }
}

fn figure(name: &str, value: f64, target: Option<(String, bool)>) -> Value {
    let mut figure = json!({ "name": name, "value": value, "unit": "share" });
    if let Some((target, reached)) = target {
        figure["target"] = target.into();
        figure["reached"] = reached.into();
    }
    figure
}

fn cells(tally: &Tally) -> String {
    let (hits, wrong) = (percent(tally.hit_rate()), percent(tally.wrong_rate()));
    format!("{hits:>7} {wrong:>9} {:>9}", percent(tally.wrong_at_most(0.95)))
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

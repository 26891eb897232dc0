//! What the semantic cache serves, and what of it is wrong, on labelled pairs and a stream of questions.
//!
//! `hit_rates MODEL [DATA]`: the folder of a sentence-transformers model, and one with `dev_pairs.jsonl` and
//! `dev_stream.jsonl`. Without the latter, the pairs of this crate's own.
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mainstay_cache_semantic::{
    Asked, CalibrateOptions, Embedding, Guards, LabelledPair, Policy, ReplayOptions, ReplayQuery, ScoredPair,
    calibrate_scored, normalise, read_pairs, read_stream, replay_embedded,
};
use mainstay_embed::LocalEmbedder;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().map(PathBuf::from).ok_or("hit_rates MODEL [DATA]")?;
    let embedder = LocalEmbedder::open(&model)?;
    let embedding = Embedding::new(embedder, "example");

    let own = read_pairs(include_str!("../data/pairs.jsonl"))?;
    let own = scored(&own, &embedding).await?;
    println!("The pairs of our own\n\n{}", calibrate_scored(&own, CalibrateOptions::default())?);
    for threshold in [0.835, 0.95] {
        println!("different and served at {threshold}");
        for pair in own.iter().filter(|pair| !pair.pair.same_intent && is_served(pair, threshold)) {
            println!("  {:.3}  {} / {}", pair.score, pair.pair.a, pair.pair.b);
        }
    }
    let Some(data) = arguments.next().map(PathBuf::from) else { return Ok(()) };
    stream(&data, &embedding).await?;
    pairs(&data, &embedding).await
}

async fn stream(data: &Path, embedding: &Embedding) -> Result<()> {
    let stream = read_stream(&fs::read_to_string(data.join("dev_stream.jsonl"))?)?;
    let texts: Vec<_> = stream.iter().map(|query| normalise(&query.query)).collect();
    let vectors = embedding.embed_all(&texts).await?;
    let mut options = ReplayOptions::default();
    options.policies = vec![
        Policy::exact(),
        Policy::nearness(0.60),
        Policy::nearness(0.80),
        Policy::nearness(0.95),
        Policy::guarded(0.95, Guards::Standard),
        Policy::guarded(0.95, Guards::Strict),
    ];
    let whole = replay_embedded(&stream, &vectors, options.clone());
    println!("The stream\n\n{whole}");
    let threshold = whole.calibrated.unwrap_or(0.95);

    let ordinary = |query: &ReplayQuery| !matches!(query.source.as_deref(), Some("paws" | "checklist"));
    let (queries, vectors): (Vec<_>, Vec<_>) = stream
        .iter()
        .zip(&vectors)
        .filter(|(query, _)| ordinary(query))
        .map(|(query, vector)| (query.clone(), vector.clone()))
        .unzip();
    options.policies.push(Policy::guarded(threshold, Guards::Standard));
    println!("The stream without PAWS and CheckList\n\n{}", replay_embedded(&queries, &vectors, options));
    Ok(())
}

async fn pairs(data: &Path, embedding: &Embedding) -> Result<()> {
    let pairs = read_pairs(&fs::read_to_string(data.join("dev_pairs.jsonl"))?)?;
    let scored = scored(&pairs, embedding).await?;
    println!("The pairs\n\n{}", calibrate_scored(&scored, CalibrateOptions::default())?);
    for threshold in [0.835, 0.95] {
        println!("different and served at {threshold}");
        let mut served: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        for pair in scored.iter().filter(|pair| !pair.pair.same_intent) {
            let (count, all) = served.entry(pair.pair.source.as_deref().unwrap_or("")).or_default();
            *all += 1;
            *count += u32::from(is_served(pair, threshold));
        }
        for (source, (count, all)) in served.iter().filter(|(_, (count, _))| *count > 0) {
            println!("  {source}: {count} of {all}");
        }
    }
    Ok(())
}

async fn scored(pairs: &[LabelledPair], embedding: &Embedding) -> Result<Vec<ScoredPair>> {
    let texts: Vec<_> = pairs.iter().flat_map(|pair| [normalise(&pair.a), normalise(&pair.b)]).collect();
    let vectors = embedding.embed_all(&texts).await?;
    let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum();
    Ok(pairs
        .iter()
        .zip(vectors.chunks_exact(2))
        .map(|(pair, vectors)| ScoredPair { pair: pair.clone(), score: cosine(&vectors[0], &vectors[1]) })
        .collect())
}

fn is_served(pair: &ScoredPair, threshold: f32) -> bool {
    let verdict = Asked::new(&pair.pair.a, Guards::Standard).compare(&pair.pair.b);
    verdict.veto.is_none() && pair.score - verdict.doubt >= threshold
}

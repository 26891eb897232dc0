//! The search of the semantic cache: time, recall, insert and memory, in turns with others that read the same vectors.
//!
//! It writes its vectors into a folder, fills its stores, says `ready`, and then measures once for each line that it
//! reads: `cargo xtask bench --only semantic-search` lets it and Python's faiss and hnswlib take turns.

use anyhow::{Context as _, Result};
use clap::Parser;
use fastrand::Rng;
use mainstay_cache_semantic::Partition;
use mainstay_cache_semantic::store::contract::{partition, recording};
use mainstay_cache_semantic::store::{EntryId, MemoryConfig, MemoryStore, NewEntry};
use serde::Serialize;
use std::fs;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Parser)]
struct Options {
    /// Where the vectors are written: `vectors-N.f32` and `queries-N.f32`.
    #[arg(long)]
    data: PathBuf,
    /// How many entries.
    #[arg(long, value_delimiter = ',', default_value = "10000,100000")]
    sizes: Vec<usize>,
    /// Of which kind: `clustered` as questions are, or `random`.
    #[arg(long, default_value = "clustered")]
    kind: String,
    /// How they are searched.
    #[arg(long, value_delimiter = ',', default_value = "default,exact,sketch,graph")]
    ways: Vec<String>,
    /// How many queries.
    #[arg(long, default_value_t = 1000)]
    queries: usize,
    /// Cargo says that this is a bench.
    #[arg(long, hide = true)]
    bench: bool,
}

const DIMS: usize = 384;

/// One line per measurement.
#[derive(Serialize)]
struct Measured<'a> {
    entries: usize,
    way: &'a str,
    /// Microseconds.
    p50: f64,
    p99: f64,
    recall: f64,
    /// Microseconds, of the last tenth of the inserts.
    insert_mean: f64,
    insert_p99: f64,
    /// Bytes per entry with its vector and without its answer: as the store counts them, and as the system does.
    counted: f64,
    resident: f64,
}

struct Filled {
    way: String,
    store: MemoryStore,
    inserts: Vec<f64>,
    counted: f64,
    resident: f64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    fs::create_dir_all(&options.data)?;
    let here = partition("bench", "one partition");
    let mut sets = Vec::new();
    for &entries in &options.sizes {
        let set = Set::make(entries, options.queries, options.kind == "random");
        set.write(&options.data, entries).context("write the vectors")?;
        let mut filled = Vec::new();
        for way in &options.ways {
            filled.push(fill(way, &set, &here)?);
        }
        sets.push((entries, set, filled));
    }
    let mut out = std::io::stdout();
    writeln!(out, "ready")?;
    for turn in std::io::stdin().lock().lines() {
        turn?;
        let mut measured = Vec::new();
        for (entries, set, filled) in &mut sets {
            for filled in filled {
                measured.push(measure(*entries, set, filled, &here)?);
            }
        }
        writeln!(out, "{}", serde_json::to_string(&measured)?)?;
    }
    Ok(())
}

struct Set {
    vectors: Vec<Arc<[f32]>>,
    queries: Vec<Vec<f32>>,
    /// The nearest of each query, looked up once.
    nearest: Vec<Option<u128>>,
}

impl Set {
    /// A query is one of the vectors with noise: a cosine of 0.91, as a question in other words has.
    fn make(entries: usize, queries: usize, random: bool) -> Self {
        let mut rng = Rng::with_seed(entries as u64);
        let centres: Vec<_> = (0..1000).map(|_| unit(&mut rng)).collect();
        let vectors: Vec<Arc<[f32]>> = (0..entries)
            .map(|_| {
                let noise = unit(&mut rng);
                if random { noise } else { mixed(&centres[rng.usize(..centres.len())], 0.8, &noise) }.into()
            })
            .collect();
        let of = |rng: &mut Rng| mixed(&vectors[rng.usize(..entries)], 0.91, &unit(rng));
        let queries = (0..queries).map(|_| of(&mut rng)).collect();
        Self { vectors, queries, nearest: Vec::new() }
    }

    fn write(&self, folder: &std::path::Path, entries: usize) -> Result<()> {
        let bytes = |all: &mut dyn Iterator<Item = &[f32]>| {
            all.flat_map(|vector| vector.iter().flat_map(|value| value.to_le_bytes())).collect::<Vec<u8>>()
        };
        let vectors = bytes(&mut self.vectors.iter().map(|vector| &**vector));
        fs::write(folder.join(format!("vectors-{entries}.f32")), vectors)?;
        let queries = bytes(&mut self.queries.iter().map(Vec::as_slice));
        Ok(fs::write(folder.join(format!("queries-{entries}.f32")), queries)?)
    }
}

fn unit(rng: &mut Rng) -> Vec<f32> {
    // The sum of a few equal chances is as good as normal here.
    let mut vector: Vec<f32> = (0..DIMS).map(|_| (0..6).map(|_| rng.f32()).sum::<f32>() - 3.0).collect();
    normalise(&mut vector);
    vector
}

fn mixed(a: &[f32], share: f32, noise: &[f32]) -> Vec<f32> {
    let rest = (1.0 - share * share).sqrt();
    let mut vector: Vec<f32> = a.iter().zip(noise).map(|(a, noise)| share * a + rest * noise).collect();
    normalise(&mut vector);
    vector
}

fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|value| *value /= length);
}

fn fill(way: &str, set: &Set, here: &Partition) -> Result<Filled> {
    let config = MemoryConfig::default().max_bytes(4 << 30).max_entries(4_000_000).seed(1);
    let config = match way {
        "exact" => config.exact_up_to(usize::MAX),
        "sketch" => config.exact_up_to(0).graph_above(usize::MAX),
        "graph" => config.exact_up_to(0).graph_above(0),
        _ => config,
    };
    let store = MemoryStore::new(config)?;
    let answer = recording("An answer that all entries share.");
    let before = resident();
    let mut inserts = Vec::with_capacity(set.vectors.len());
    for (id, vector) in (0..).zip(&set.vectors) {
        let entry = NewEntry {
            id: EntryId(id),
            text: format!("question number {id}").into(),
            vector: vector.clone(),
            recording: answer.clone(),
            ttl: Duration::from_secs(86_400),
            saves: 100,
        };
        let begun = Instant::now();
        store.insert_now(here, &entry)?;
        inserts.push(micros(begun));
    }
    store.settled();
    let per_entry = |bytes: u64| bytes as f64 / set.vectors.len() as f64;
    let counted = per_entry(store_bytes(&store)) - answer.bytes() as f64;
    let resident = per_entry(resident().saturating_sub(before));
    Ok(Filled { way: way.to_owned(), store, inserts, counted, resident })
}

fn store_bytes(store: &MemoryStore) -> u64 {
    use mainstay_cache_semantic::SemanticStore as _;
    store.stats().bytes
}

fn measure<'a>(entries: usize, set: &mut Set, filled: &'a Filled, here: &Partition) -> Result<Measured<'a>> {
    if set.nearest.is_empty() {
        set.nearest = exact(set);
    }
    let (mut times, mut right) = (Vec::with_capacity(set.queries.len()), 0);
    for (query, nearest) in set.queries.iter().zip(&set.nearest) {
        let begun = Instant::now();
        let found = filled.store.nearest_now(here, query, 1)?;
        times.push(micros(begun));
        right += usize::from(found.first().map(|found| found.id.0) == *nearest);
    }
    let last = &filled.inserts[filled.inserts.len() / 10 * 9..];
    Ok(Measured {
        entries,
        way: &filled.way,
        p50: percentile(&times, 0.5),
        p99: percentile(&times, 0.99),
        recall: right as f64 / set.queries.len() as f64,
        insert_mean: last.iter().sum::<f64>() / last.len() as f64,
        insert_p99: percentile(last, 0.99),
        counted: filled.counted,
        resident: filled.resident,
    })
}

/// Looked up without any of our code.
fn exact(set: &Set) -> Vec<Option<u128>> {
    let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let nearest = |query: &Vec<f32>| {
        let scored = (0..).zip(&set.vectors).map(|(id, vector)| (id, cosine(query, vector)));
        scored.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(id, _)| id)
    };
    set.queries.iter().map(nearest).collect()
}

fn micros(begun: Instant) -> f64 {
    begun.elapsed().as_nanos() as f64 / 1e3
}

fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN)
}

fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    pages * 4096
}

//! The search of the semantic cache: time, recall, insert and memory, in turns with others that read the same vectors.
//!
//! It writes its vectors into a folder, fills its stores, says `ready`, and then measures once for each line that it
//! reads: `cargo xtask bench --only semantic-search` lets it and Python's faiss and hnswlib take turns.
//!
//! `search FOLDER SIZES WAYS QUERIES [random]`, for instance `search /tmp/data 10000,100000 default,exact 1000`. With `-`
//! for the folder no vectors are written: nobody else reads them.
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::fs;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use mainstay_cache_semantic::Partition;
use mainstay_cache_semantic::SemanticStore as _;
use mainstay_cache_semantic::store::contract::{partition, recording};
use mainstay_cache_semantic::store::{EntryId, MemoryConfig, MemoryStore, NewEntry};
use tokio::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const DIMS: usize = 384;

struct Filled {
    way: String,
    store: MemoryStore,
    inserts: Vec<f64>,
    counted: f64,
    resident: f64,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let data = arguments.next().map(PathBuf::from).ok_or("search FOLDER SIZES WAYS QUERIES [random]")?;
    let sizes = arguments.next().unwrap_or_else(|| "10000,100000".to_owned());
    let ways = arguments.next().unwrap_or_else(|| "default,exact,sketch,graph".to_owned());
    let queries = arguments.next().map_or(Ok(1000), |queries| queries.parse())?;
    let random = arguments.next().is_some_and(|kind| kind == "random");

    let is_shared = data.as_os_str() != "-";
    if is_shared {
        fs::create_dir_all(&data)?;
    }
    let here = partition("bench", "one partition");
    let mut sets = Vec::new();
    for entries in sizes.split(',') {
        let entries = entries.parse()?;
        let set = Set::make(entries, queries, random);
        if is_shared {
            set.write(&data, entries)?;
        }
        let filled = ways.split(',').map(|way| fill(way, &set, &here)).collect::<Result<Vec<_>>>()?;
        sets.push((set, filled));
    }
    println!("ready");
    for turn in std::io::stdin().lock().lines() {
        turn?;
        let measured =
            sets.iter().flat_map(|(set, filled)| filled.iter().map(|filled| measure(set, filled, &here)));
        println!("{}", serde_json::Value::from(measured.collect::<Result<Vec<_>>>()?));
        std::io::stdout().flush()?;
    }
    Ok(())
}

struct Set {
    vectors: Vec<Arc<[f32]>>,
    queries: Vec<Vec<f32>>,
    /// The nearest of each query.
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
        let queries: Vec<_> = (0..queries).map(|_| of(&mut rng)).collect();
        let nearest = exact(&vectors, &queries);
        Self { vectors, queries, nearest }
    }

    fn write(&self, folder: &Path, entries: usize) -> Result<()> {
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
    let counted = per_entry(store.stats().bytes) - answer.bytes() as f64;
    let resident = per_entry(resident().saturating_sub(before));
    Ok(Filled { way: way.to_owned(), store, inserts, counted, resident })
}

/// Times are in microseconds, inserts those of the last tenth; bytes are per entry with its vector and without its
/// answer, as the store counts them and as the system does.
fn measure(set: &Set, filled: &Filled, here: &Partition) -> Result<serde_json::Value> {
    let (mut times, mut right) = (Vec::with_capacity(set.queries.len()), 0);
    for (query, nearest) in set.queries.iter().zip(&set.nearest) {
        let begun = Instant::now();
        let found = filled.store.nearest_now(here, query, 1)?;
        times.push(micros(begun));
        right += usize::from(found.first().map(|found| found.id.0) == *nearest);
    }
    let last = &filled.inserts[filled.inserts.len() / 10 * 9..];
    Ok(serde_json::json!({
        "entries": set.vectors.len(),
        "way": filled.way,
        "p10": percentile(&times, 0.1),
        "p50": percentile(&times, 0.5),
        "p99": percentile(&times, 0.99),
        "recall": right as f64 / set.queries.len() as f64,
        "insert_p50": percentile(last, 0.5),
        "insert_mean": last.iter().sum::<f64>() / last.len() as f64,
        "insert_p99": percentile(last, 0.99),
        "counted": filled.counted,
        "resident": filled.resident,
    }))
}

/// Looked up without any of our code.
fn exact(vectors: &[Arc<[f32]>], queries: &[Vec<f32>]) -> Vec<Option<u128>> {
    let lanes = |a: &[f32], b: &[f32]| {
        let mut sums = [0.0_f32; 16];
        for (a, b) in a.chunks_exact(16).zip(b.chunks_exact(16)) {
            sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
        }
        sums.iter().sum::<f32>()
    };
    let nearest = |query: &Vec<f32>| {
        let scored = (0..).zip(vectors).map(|(id, vector)| (id, lanes(query, vector)));
        scored.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(id, _)| id)
    };
    queries.iter().map(nearest).collect()
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

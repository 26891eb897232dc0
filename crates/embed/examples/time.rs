//! Time per short query, one at a time on one thread: `time FOLDER QUERIES.txt ROUNDS [ENGINE [LIBRARY]]`.
//!
//! Prints a line of JSON: nanoseconds of each query of each round. `cargo xtask bench --only embed` runs it beside
//! ONNX Runtime.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "it measures real time and prints it")]

use std::time::Instant;

use mainstay_embed::{EngineChoice, LocalEmbedder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, queries, rounds, rest @ ..] = &arguments[..] else {
        return Err("time FOLDER QUERIES.txt ROUNDS [ENGINE [LIBRARY]]".into());
    };
    let engine = match rest {
        [] => EngineChoice::Ndarray,
        [name] if name == "ndarray" => EngineChoice::Ndarray,
        [name] if name == "candle" => EngineChoice::Candle,
        [name, library] if name == "ort" => EngineChoice::Ort { library: library.into() },
        other => return Err(format!("no such engine: {other:?}").into()),
    };
    let embedder = LocalEmbedder::builder().engine(engine).open(folder)?;
    let queries = std::fs::read_to_string(queries)?;
    let queries: Vec<&str> = queries.lines().collect();
    // The weights come into the caches, and the scratch space gets its size.
    embedder.embed_blocking(&queries)?;
    let mut times = Vec::new();
    for _ in 0..rounds.parse()? {
        for query in &queries {
            let start = Instant::now();
            let vectors = embedder.embed_blocking(&[query])?;
            times.push(start.elapsed().as_nanos());
            std::hint::black_box(vectors);
        }
    }
    println!("{times:?}");
    Ok(())
}

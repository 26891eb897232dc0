//! The recorded streams of every provider decode whole: each event is JSON (or `[DONE]`), and nothing is left over.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // clippy takes a test's helpers for library code

use std::path::{Path, PathBuf};

use bytes::Bytes;
use mainstay_adapters::framing::{Frame, Frames};
use serde_json::Value;

#[test]
fn every_recorded_stream_decodes_the_same_whole_and_in_small_reads() {
    let Some(files) = fixtures() else { return };
    let mut streams = 0;
    for file in files {
        let exchange: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let Some((body, frames)) = stream(&exchange["response"]) else { continue };
        let whole = decode(frames(), &body, body.len().max(1));
        assert!(!whole.is_empty(), "{}: no event", file.display());
        for frame in &whole {
            let json = serde_json::from_slice::<Value>(&frame.data).is_ok();
            assert!(json || frame.data == "[DONE]", "{}: {frame:?}", file.display());
        }
        for size in [1, 7, 1400] {
            assert_eq!(decode(frames(), &body, size), whole, "{} in reads of {size}", file.display());
        }
        streams += 1;
    }
    println!("{streams} recorded streams decoded");
    assert!(streams > 0);
}

/// Makes a decoder.
type Decoder = fn() -> Frames;

/// The recorded body, and the decoder for it.
fn stream(response: &Value) -> Option<(Vec<u8>, Decoder)> {
    if let Some(text) = response["sse_text"].as_str() {
        return Some((text.into(), Frames::sse));
    }
    if let Some(text) = response["ndjson_text"].as_str() {
        return Some((text.into(), Frames::ndjson));
    }
    #[cfg(feature = "bedrock")]
    if let Some(text) = response["eventstream_base64"].as_str() {
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap();
        return Some((bytes, Frames::event_stream));
    }
    None
}

fn decode(mut frames: Frames, body: &[u8], size: usize) -> Vec<Frame> {
    let mut seen = Vec::new();
    for read in body.chunks(size) {
        frames.push(Bytes::copy_from_slice(read));
        seen.extend(frames.by_ref().map(|frame| frame.unwrap()));
    }
    while let Some(frame) = frames.finish() {
        seen.push(frame.unwrap());
    }
    seen
}

/// The recorded exchanges, or `None` and a line that says so where they are not there.
fn fixtures() -> Option<Vec<PathBuf>> {
    let shared = std::env::var_os("MAINSTAY_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), // beside the workspace
        PathBuf::from,
    );
    let Ok(providers) = std::fs::read_dir(shared.join("fixtures")) else {
        println!("SKIPPED: no recorded exchanges at {} (set MAINSTAY_SHARED)", shared.display());
        return None;
    };
    let files = providers
        .flatten()
        .filter_map(|provider| std::fs::read_dir(provider.path()).ok())
        .flatten()
        .flatten();
    Some(
        files
            .map(|file| file.path())
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .collect(),
    )
}

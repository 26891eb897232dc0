//! Models for tests: the real one where it is, a tiny one anywhere.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that panics has failed, and may say what it skips"
)]

pub(crate) mod tiny;

use std::path::{Path, PathBuf};

use mainstay_embed::EngineChoice;

/// The folder of all-MiniLM-L6-v2: `MAINSTAY_MINILM`, or where `cargo xtask model` puts it.
pub(crate) fn minilm() -> Option<PathBuf> {
    let there = std::env::var_os("MAINSTAY_MINILM").map(PathBuf::from).or_else(|| Some(models()?.join(NAME)));
    let found = there.filter(|folder| folder.join("model.safetensors").is_file());
    if found.is_none() {
        println!("skipped: {NAME} is not here; fetch it with: cargo xtask model");
    }
    found
}

const NAME: &str = "all-MiniLM-L6-v2";

/// Every engine of this build that can open that folder.
pub(crate) fn engines(folder: &Path) -> Vec<EngineChoice> {
    let mut engines = vec![EngineChoice::Ndarray];
    if cfg!(feature = "candle") {
        engines.push(EngineChoice::Candle);
    }
    if cfg!(feature = "ort") {
        match onnxruntime().filter(|_| folder.join("onnx/model.onnx").is_file()) {
            Some(library) => engines.push(EngineChoice::Ort { library }),
            None => println!("skipped: no ONNX model or no ONNX Runtime here; cargo xtask model --onnx"),
        }
    }
    engines
}

/// `MAINSTAY_ONNXRUNTIME`, or the one that `cargo xtask model --onnx` installs.
fn onnxruntime() -> Option<PathBuf> {
    if let Some(library) = std::env::var_os("MAINSTAY_ONNXRUNTIME") {
        return Some(library.into());
    }
    let told = std::fs::read_to_string(models()?.join("onnxruntime.path")).ok()?;
    Some(told.trim().into()).filter(|library: &PathBuf| library.is_file())
}

fn models() -> Option<PathBuf> {
    Some(Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?.join("models"))
}

/// The largest difference of two vectors.
pub(crate) fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

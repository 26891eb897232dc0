//! Vectors, in every form that providers write them.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use serde_json::Value;

use super::Expected;
use crate::conformance::dialect::Wire;
use crate::conformance::json::Look as _;

pub(super) fn vectors(wire: Wire, provider: &str, body: &Value) -> Result<Expected> {
    let (lists, input): (Vec<&Value>, Option<&Value>) = match wire {
        Wire::CohereEmbed => (
            body["embeddings"].items("float").iter().collect(),
            body["meta"]["billed_units"].get("input_tokens"),
        ),
        Wire::OllamaEmbed => (body.items("embeddings").iter().collect(), body.get("prompt_eval_count")),
        Wire::GeminiEmbed => {
            let single = body.get("embedding").into_iter();
            let list = single.chain(body.items("embeddings")).map(|one| &one["values"]).collect();
            (list, body["usageMetadata"].get("promptTokenCount"))
        }
        _ => {
            let mut data: Vec<&Value> = body.items("data").iter().collect();
            data.sort_by_key(|one| one.count("index"));
            (data.into_iter().map(|one| &one["embedding"]).collect(), body["usage"].get("prompt_tokens"))
        }
    };
    let vectors: Result<Vec<_>> = lists.into_iter().map(|list| vector(provider, list)).collect();
    Ok(Expected::Vectors { vectors: vectors?, input: input.and_then(Value::as_u64) })
}

#[allow(clippy::cast_possible_truncation)] // vectors are compared as f32
fn vector(provider: &str, value: &Value) -> Result<Vec<f32>> {
    let Some(text) = value.as_str() else {
        let list = value.as_array().context("a vector is neither a list nor base64")?;
        return Ok(list.iter().map(|number| number.as_f64().unwrap_or(f64::NAN) as f32).collect());
    };
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).context("a vector is no base64")?;
    if provider == "perplexity" {
        // Its base64 holds signed bytes.
        return Ok(bytes.iter().map(|byte| f32::from(byte.cast_signed())).collect());
    }
    ensure!(bytes.len().is_multiple_of(4), "a vector's base64 holds no whole numbers");
    let single: Vec<f32> = bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
    let double: Vec<f64> = bytes.as_chunks().0.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect();
    // vLLM of 2024 wrote doubles: only they then have the length of 1 that embeddings have.
    let length = |vector: &mut dyn Iterator<Item = f64>| vector.map(|number| number * number).sum::<f64>();
    let is_double = bytes.len().is_multiple_of(8)
        && (length(&mut double.iter().copied()) - 1.0).abs() < 0.05
        && (length(&mut single.iter().copied().map(f64::from)) - 1.0).abs() > 0.05;
    Ok(if is_double { double.into_iter().map(|number| number as f32).collect() } else { single })
}

//! Embeddings.

use mainstay_provider_core::{EmbedRequest, Error, Usage};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::translate::{invalid, malformed, merge_parameters, put, read_json, tokens};

/// The body of an embeddings request. Cohere wants to know what the texts are for: `input_type` is the
/// caller's, or `search_document`.
pub(super) fn body(request: &EmbedRequest, model: &str) -> Result<Map<String, Value>, Error> {
    let texts = request.input.texts().ok_or_else(|| {
        let message = "input is a list of tokens; Cohere embeds only texts";
        invalid("input", message)
    })?;
    let types = request.extra.get("embedding_types").and_then(Value::as_array);
    if types.is_some_and(|types| !types.iter().any(|kind| kind == "float")) {
        let message = "embedding_types: vectors are read as float; add \"float\", or leave it out";
        return Err(invalid("embedding_types", message));
    }
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    body.insert("texts".into(), texts.into());
    body.insert("input_type".into(), "search_document".into());
    body.insert("embedding_types".into(), json!(["float"]));
    put(&mut body, "output_dimension", request.dimensions);
    merge_parameters(&mut body, &request.extra);
    body.retain(|_, value| !value.is_null());
    Ok(body)
}

#[derive(Deserialize)]
struct Answer {
    embeddings: Option<Embeddings>,
    meta: Option<Value>,
}

#[derive(Deserialize)]
struct Embeddings {
    float: Option<Vec<Vec<f32>>>,
}

pub(super) fn decode(body: &[u8]) -> Result<(Vec<Vec<f32>>, Option<Usage>), Error> {
    let answer: Answer = read_json(body)?;
    let vectors = answer.embeddings.and_then(|embeddings| embeddings.float);
    let vectors = vectors.ok_or_else(|| malformed("the provider's answer has no float embeddings"))?;
    let billed = answer.meta.as_ref().and_then(|meta| meta.get("billed_units"));
    let count = |name: &str| tokens(billed.and_then(|billed| billed.get(name)));
    let usage = billed.map(|_| Usage::new(count("input_tokens").saturating_add(count("image_tokens")), 0));
    Ok((vectors, usage))
}

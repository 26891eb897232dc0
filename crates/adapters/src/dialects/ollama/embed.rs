//! Embeddings.

use mainstay_provider_core::{EmbedRequest, Error, Usage};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::translate::{invalid, malformed, merge_parameters, put, read_json, tokens};

pub(super) fn body(request: &EmbedRequest, model: &str) -> Result<Map<String, Value>, Error> {
    if request.input.texts().is_none() {
        return Err(invalid("input", "input is a list of tokens; Ollama embeds only texts"));
    }
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    body.insert("input".into(), serde_json::to_value(&request.input).unwrap_or_default());
    put(&mut body, "dimensions", request.dimensions);
    merge_parameters(&mut body, &request.extra);
    body.retain(|_, value| !value.is_null());
    Ok(body)
}

#[derive(Deserialize)]
struct Answer {
    embeddings: Option<Vec<Vec<f32>>>,
    prompt_eval_count: Option<Value>,
}

pub(super) fn decode(body: &[u8]) -> Result<(Vec<Vec<f32>>, Option<Usage>), Error> {
    let answer: Answer = read_json(body)?;
    let vectors = answer.embeddings.ok_or_else(|| malformed("the provider's answer has no embeddings"))?;
    let usage = answer.prompt_eval_count.map(|count| Usage::new(tokens(Some(&count)), 0));
    Ok((vectors, usage))
}

//! Embeddings: `batchEmbedContents` at Gemini, `embedContent` or the older `predict` at Vertex.

use mainstay_provider_core::{EmbedRequest, Error, Extra, Usage};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Place;
use super::request::camel_case;
use super::response;
use super::wire::UsageMetadata;
use crate::dialect::Outgoing;
use crate::translate::{invalid, malformed, merge_parameters, put, read_json, tokens};

pub(super) fn encode(request: &EmbedRequest, model: &str, place: &Place) -> Result<Outgoing, Error> {
    let texts = request.input.texts().ok_or_else(|| {
        let message = "input is a list of tokens; Google's models embed only texts";
        invalid("input", message)
    })?;
    let path = place.model_path(model);
    let Place::Vertex { .. } = place else {
        let name = if model.contains('/') { model.to_owned() } else { format!("models/{model}") };
        let requests = texts.iter().map(|text| content(request, text, Some(&name))).collect::<Vec<_>>();
        return Outgoing::json(format!("{path}:batchEmbedContents"), &json!({ "requests": requests }));
    };
    if !speaks_predict(model) {
        let [text] = texts else {
            let message = "this model embeds one text per request on Vertex; send them one by one";
            return Err(invalid("input", message));
        };
        return Outgoing::json(format!("{path}:embedContent"), &content(request, text, None));
    }
    Outgoing::json(format!("{path}:predict"), &predict(request, texts))
}

/// The models of the second generation have `embedContent`; those before it only `predict`.
fn speaks_predict(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    name.starts_with("text")
        || name.contains("embedding-001")
        || name.contains("gecko")
        || model.contains("endpoints/")
}

/// What the caller sets beside the contract's fields, in Google's spelling.
fn parameters(extra: &Extra) -> Map<String, Value> {
    let named = |(name, value): (&String, &Value)| (camel_case(name), value.clone());
    extra.iter().filter(|(_, value)| !value.is_null()).map(named).collect()
}

fn content(request: &EmbedRequest, text: &str, model: Option<&str>) -> Map<String, Value> {
    let mut entry = Map::new();
    put(&mut entry, "model", model);
    entry.insert("content".into(), json!({ "parts": [{ "text": text }] }));
    put(&mut entry, "outputDimensionality", request.dimensions);
    merge_parameters(&mut entry, &parameters(&request.extra).into());
    entry
}

fn predict(request: &EmbedRequest, texts: &[String]) -> Value {
    let mut settings = parameters(&request.extra);
    // These two belong to each text.
    let (task, title) = (settings.remove("taskType"), settings.remove("title"));
    put(&mut settings, "outputDimensionality", request.dimensions);
    let instance = |text: &String| {
        let mut instance = Map::new();
        instance.insert("content".into(), text.as_str().into());
        put(&mut instance, "task_type", task.clone());
        put(&mut instance, "title", title.clone());
        Value::Object(instance)
    };
    let mut body = json!({ "instances": texts.iter().map(instance).collect::<Vec<_>>() });
    if !settings.is_empty() {
        body["parameters"] = settings.into();
    }
    body
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// `batchEmbedContents`
    embeddings: Option<Vec<Embedding>>,
    /// `embedContent`
    embedding: Option<Embedding>,
    /// `predict`
    predictions: Option<Vec<Prediction>>,
    usage_metadata: Option<UsageMetadata>,
}

#[derive(Deserialize)]
struct Embedding {
    values: Vec<f32>,
    statistics: Option<Statistics>,
}

#[derive(Deserialize)]
struct Prediction {
    embeddings: Embedding,
}

#[derive(Deserialize)]
struct Statistics {
    #[serde(alias = "tokenCount")]
    token_count: Option<Value>,
}

pub(super) fn decode(body: &[u8]) -> Result<(Vec<Vec<f32>>, Option<Usage>), Error> {
    let answer: Answer = read_json(body)?;
    let embeddings = match (answer.embeddings, answer.embedding, answer.predictions) {
        (Some(embeddings), ..) => embeddings,
        (None, Some(embedding), _) => vec![embedding],
        (None, None, Some(predictions)) => {
            predictions.into_iter().map(|prediction| prediction.embeddings).collect()
        }
        (None, None, None) => return Err(malformed("the provider's answer has no embeddings")),
    };
    let counts =
        embeddings.iter().filter_map(|embedding| embedding.statistics.as_ref()?.token_count.as_ref());
    let counted = counts.map(|count| tokens(Some(count))).reduce(u64::saturating_add);
    let usage = answer.usage_metadata.as_ref().and_then(response::usage);
    let usage = usage.or_else(|| counted.map(|tokens| Usage::new(tokens, 0)));
    Ok((embeddings.into_iter().map(|embedding| embedding.values).collect(), usage))
}

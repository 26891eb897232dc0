//! What a request means: the same for every way to write it.
//!
//! Both the recorded request and the one an adapter sends are brought into one form per interface, and the forms must
//! be equal. A normaliser may take away only what the provider's document calls a default or a second spelling.

mod anthropic;
mod bedrock;
mod chat;
mod cohere;
mod embed;
mod gemini;
mod ollama;
mod responses;

use serde_json::{Value, json};

use super::dialect::Wire;
use super::json::{Look as _, Object, drop_default, is_empty, parsed};

pub(crate) use self::gemini::camel_case;

/// One request on its way to a provider.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    pub(crate) body: Value,
}

/// What a request means, in one form per interface: `{"method", "path", "query", "body"}`.
pub(crate) fn meaning(wire: Wire, kind: &str, sent: &Sent) -> Value {
    let body = match wire {
        Wire::OpenAiChat => chat::meaning(kind, &sent.path, &sent.body),
        Wire::Responses => responses::meaning(&sent.body),
        Wire::Anthropic => anthropic::meaning(&sent.body),
        Wire::Gemini => gemini::meaning(&sent.body),
        Wire::Bedrock => bedrock::meaning(&sent.body),
        Wire::Cohere => cohere::meaning(&sent.body),
        Wire::OllamaChat => ollama::meaning(&sent.body),
        Wire::OpenAiEmbed | Wire::CohereEmbed | Wire::OllamaEmbed | Wire::GeminiEmbed => {
            embed::meaning(wire, &sent.body)
        }
        Wire::Other => sent.body.clone(),
    };
    let (path, query) = address(wire, &sent.path);
    json!({"method": sent.method, "path": path, "query": query, "body": body})
}

/// The path with its escapes decoded, and the query members that mean something.
fn address(wire: Wire, path: &str) -> (String, Value) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut kept = Object::new();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        // Anthropic's `beta=true` is its SDK's marker; Gemini's `alt` is how the answer is framed.
        if name == "api-version" {
            kept.insert(name.into(), value.into());
        }
    }
    let mut path = super::dialect::percent_decoded(path).replace("//", "/");
    if wire == Wire::GeminiEmbed {
        // One text by `embedContent` is the same as a batch of one.
        path = path.replace(":batchEmbedContents", ":embedContent");
    }
    (path, Value::Object(kept))
}

/// A list of parts that is one plain text, as that text.
fn plain(content: &mut Value) {
    let Value::Array(parts) = content else { return };
    if let [only] = parts.as_slice()
        && only.text("type") == "text"
        && only.as_object().is_some_and(|part| part.len() == 2)
    {
        *content = only["text"].clone();
    }
}

/// `{"type": "ephemeral"}` with the default lifetime.
fn cache_control(members: &mut Object) {
    if let Some(Value::Object(control)) = members.get_mut("cache_control") {
        drop_default(control, "ttl", |ttl| ttl == "5m");
    }
}

/// Arguments as JSON, whatever the spacing and the order of members.
fn arguments(function: &mut Object) {
    if let Some(Value::String(text)) = function.get("arguments") {
        let value = parsed(text);
        function.insert("arguments".into(), value);
    }
}

/// Members that are empty say nothing.
fn drop_empty(members: &mut Object, names: &[&str]) {
    for name in names {
        drop_default(members, name, is_empty);
    }
}

fn members<'a>(value: &'a mut Value, name: &str) -> impl Iterator<Item = &'a mut Object> {
    value.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

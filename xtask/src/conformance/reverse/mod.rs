//! From a recorded provider-native request to a neutral one that means the same.
//!
//! Written from the providers' documents, independently of the adapters. The neutral request is JSON in OpenAI's
//! chat-completions form, so that it can be sent to an adapter and to a gateway alike. What that form has no word for
//! stays as a provider-specific member.

mod anthropic;
mod bedrock;
mod cohere;
mod embed;
mod gemini;
mod ollama;
mod openai;
mod responses;

use serde_json::{Value, json};

pub(crate) use self::gemini::INVENTED_ID;
use super::dialect::Wire;
use super::fixture::{Fixture, Request};
use super::json::{Look as _, Object};

/// What is asked of the adapter.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Chat(Value),
    Embed(Value),
}

/// Why the recorded request cannot be asked in the neutral form; the answer can still be replayed.
pub(crate) struct NotSayable(pub(crate) &'static str);

/// The neutral request that means what the recorded one means.
pub(crate) fn neutral(wire: Wire, request: &Request) -> Result<Ask, NotSayable> {
    let body = &request.body;
    if wire == Wire::Responses && body.some("model").is_none() {
        return Err(NotSayable("the recorded request names no model: a stored prompt does"));
    }
    Ok(Ask::Chat(match wire {
        Wire::OpenAiChat => openai::chat(body, &request.path),
        Wire::Responses => responses::responses(body),
        Wire::Anthropic => anthropic::messages(body),
        Wire::Gemini => gemini::generate(body, &request.path),
        Wire::Bedrock => bedrock::converse(body, &request.path),
        Wire::Cohere if request.path.starts_with("/v1/") => {
            return Err(NotSayable(
                "the recorded request speaks Cohere's v1 interface; the adapter speaks v2",
            ));
        }
        Wire::Cohere => cohere::chat(body),
        Wire::OllamaChat => ollama::chat(body),
        Wire::OpenAiEmbed | Wire::CohereEmbed | Wire::OllamaEmbed | Wire::GeminiEmbed => {
            return Ok(Ask::Embed(embed::embed(wire, body, &request.path)));
        }
        Wire::Other => {
            return Err(NotSayable("the recorded request belongs to an interface that no adapter speaks"));
        }
    }))
}

/// The smallest request that such an answer can be an answer to.
pub(crate) fn minimal(fixture: &Fixture, wire: Wire, model: &str) -> Ask {
    if wire.is_embedding() {
        return Ask::Embed(json!({"model": model, "input": ["hello"]}));
    }
    let mut chat = json!({"model": model, "messages": [{"role": "user", "content": "hello"}]});
    let streamed = fixture.response.is_stream() || asked_for_stream(fixture);
    if streamed {
        chat["stream"] = true.into();
        chat["stream_options"] = json!({"include_usage": true});
    }
    Ask::Chat(chat)
}

fn asked_for_stream(fixture: &Fixture) -> bool {
    fixture.asked().get("stream") == Some(&Value::Bool(true))
        || fixture.request.as_ref().is_some_and(|request| request.path.contains("stream"))
}

/// A function tool in the neutral form. `rest` are members beside the function (`cache_control`).
fn function_tool(name: &Value, description: &Value, schema: &Value, strict: &Value, rest: Object) -> Value {
    let mut function = Object::new();
    for (member, value) in
        [("name", name), ("description", description), ("parameters", schema), ("strict", strict)]
    {
        super::json::put(&mut function, member, value.clone());
    }
    let mut tool = rest;
    tool.insert("type".into(), "function".into());
    tool.insert("function".into(), Value::Object(function));
    Value::Object(tool)
}

/// A function call in the neutral form; the arguments become text.
fn function_call(id: &str, name: &str, arguments: &Value) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments.to_string()}})
}

/// One text part is the same as a plain text.
fn plain_if_one_text(parts: Vec<Value>) -> Value {
    match parts.as_slice() {
        [only] if only.text("type") == "text" && only.as_object().is_some_and(|part| part.len() == 2) => {
            only["text"].clone()
        }
        _ => Value::Array(parts),
    }
}

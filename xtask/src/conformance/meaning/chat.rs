//! Chat completions and its many kin.

use serde_json::{Value, json};

use super::{arguments, cache_control, drop_empty, members, plain};
use crate::conformance::json::{Look as _, Object, drop_default, drop_nulls, object, rename};

const OPAQUE: &[&str] = &["parameters", "schema", "arguments"];

pub(super) fn meaning(kind: &str, path: &str, body: &Value) -> Value {
    let mut body = body.clone();
    drop_nulls(&mut body, OPAQUE);
    members(&mut body, "messages").for_each(message);
    members(&mut body, "tools").for_each(tool);
    let mut chat = object(&body);
    if path.contains("/deployments/") {
        // The deployment in the address decides; servers ignore the member.
        chat.remove("model");
    }
    sampling(kind, &mut chat);
    tool_choice(&mut chat);
    if let Some(Value::Object(format)) = chat.get_mut("response_format") {
        if let Some(Value::Object(schema)) = format.get_mut("json_schema") {
            drop_default(schema, "strict", |strict| strict == false);
            // The name that the neutral form demands where the provider does not.
            drop_default(schema, "name", |name| name == "response");
        }
        drop_default(&mut chat, "response_format", |format| format.text("type") == "text");
    }
    drop_default(&mut chat, "stream", |stream| stream == false);
    // Whether usage comes in the stream is checked apart: an adapter may ask for it always.
    chat.remove("stream_options");
    Value::Object(chat)
}

fn sampling(kind: &str, chat: &mut Object) {
    let zero = |value: &Value| value.as_f64() == Some(0.0);
    let one = |value: &Value| value.as_f64() == Some(1.0);
    for (name, is_default) in [
        ("n", &one as &dyn Fn(&Value) -> bool),
        ("top_p", &one),
        ("presence_penalty", &zero),
        ("frequency_penalty", &zero),
        ("logprobs", &|value: &Value| value == false),
        ("safe_prompt", &|value: &Value| value == false),
        ("parallel_tool_calls", &|value: &Value| value == true),
    ] {
        drop_default(chat, name, is_default);
    }
    let mut renamed = Object::new();
    rename(chat, "random_seed", &mut renamed, "seed");
    // Two names of one figure. OpenAI's reasoning models refuse the older, so there the newer must stay.
    if !matches!(kind, "openai" | "azure-openai") || !chat.contains_key("max_completion_tokens") {
        rename(chat, "max_tokens", &mut renamed, "max_completion_tokens");
    }
    chat.extend(renamed);
    if let Some(stop) = chat.get("stop").filter(|stop| stop.is_string()).cloned() {
        chat.insert("stop".into(), json!([stop]));
    }
}

fn tool_choice(chat: &mut Object) {
    drop_empty(chat, &["tools", "stop"]);
    if chat.get("tool_choice").is_some_and(|choice| choice == "any") {
        chat.insert("tool_choice".into(), "required".into());
    }
    drop_default(chat, "tool_choice", |choice| choice == "auto");
}

pub(super) fn message(message: &mut Object) {
    let mut renamed = Object::new();
    rename(message, "reasoning", &mut renamed, "reasoning_content");
    message.extend(renamed);
    mistral_thinking(message);
    drop_empty(message, &["tool_calls", "annotations", "name", "reasoning_content"]);
    drop_default(message, "prefix", |prefix| prefix == false);
    if let Some(content) = message.get_mut("content") {
        for part in content.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            self::part(part);
        }
        plain(content);
    }
    // An assistant that only calls tools says nothing, in whatever way.
    drop_empty(message, &["content"]);
    for call in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(Value::Object(function)) = call.get_mut("function") {
            arguments(function);
        }
    }
}

/// The chunks of one reasoning, joined.
fn mistral_thinking(message: &mut Object) {
    let Some(Value::Array(parts)) = message.get_mut("content") else { return };
    for part in parts.iter_mut().filter(|part| part.text("type") == "thinking") {
        let text: String = part.items("thinking").iter().map(|part| part.text("text")).collect();
        *part = json!({"type": "thinking", "thinking": text});
    }
}

fn part(part: &mut Object) {
    cache_control(part);
    if let Some(url) = part.get("image_url").filter(|url| url.is_string()).cloned() {
        part.insert("image_url".into(), json!({"url": url}));
    }
    if let Some(Value::Object(image)) = part.get_mut("image_url") {
        drop_default(image, "detail", |detail| detail == "auto");
    }
}

pub(super) fn tool(tool: &mut Object) {
    cache_control(tool);
    if tool.contains_key("function") {
        tool.entry("type").or_insert("function".into());
    }
    if let Some(Value::Object(function)) = tool.get_mut("function") {
        drop_empty(function, &["description"]);
        drop_default(function, "strict", |strict| strict == false);
    }
}

//! Chat completions: already the neutral form, but for the dialects' own words.

use serde_json::{Value, json};

use crate::conformance::json::{Look as _, Object, drop_nulls, object, rename};

/// Members whose content is not ours to change.
const OPAQUE: &[&str] = &["parameters", "schema", "arguments"];

pub(super) fn chat(body: &Value, path: &str) -> Value {
    let mut body = body.clone();
    drop_nulls(&mut body, OPAQUE);
    let mut chat = object(&body);
    // Azure's deployments have the model in the address.
    if let Some(deployment) = path.split("/deployments/").nth(1).and_then(|rest| rest.split('/').next()) {
        chat.insert("model".into(), deployment.into());
    }
    // Mistral's words.
    if let Some(seed) = chat.remove("random_seed") {
        chat.insert("seed".into(), seed);
    }
    if chat.get("tool_choice").is_some_and(|choice| choice == "any") {
        chat.insert("tool_choice".into(), "required".into());
    }
    // A schema needs a name in the neutral form; Perplexity wants none.
    if let Some(schema) = chat.get_mut("response_format").and_then(|format| format.get_mut("json_schema"))
        && schema.get("name").is_none()
    {
        schema["name"] = "response".into();
    }
    for message in chat.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::Object(message) = message {
            history(message);
        }
    }
    for tool in chat.get_mut("tools").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::Object(tool) = tool {
            // Some servers take a function without its type; the neutral form wants it named.
            tool.entry("type").or_insert("function".into());
        }
    }
    Value::Object(chat)
}

/// Reasoning in the history has one name in the neutral form.
fn history(message: &mut Object) {
    let mut renamed = Object::new();
    rename(message, "reasoning", &mut renamed, "reasoning_content");
    message.extend(renamed);
    let Some(Value::Array(parts)) = message.get_mut("content") else { return };
    let (thinking, said): (Vec<_>, Vec<_>) =
        parts.drain(..).partition(|part| part.text("type") == "thinking");
    *parts = said;
    if !thinking.is_empty() {
        let text: String =
            thinking.iter().flat_map(|part| part.items("thinking")).map(|part| part.text("text")).collect();
        message.insert("reasoning_content".into(), text.into());
        message.insert("thinking_blocks".into(), thinking.iter().map(block).collect());
    }
}

/// Mistral's thinking part as a block of reasoning: its texts are chunks of one reasoning.
fn block(part: &Value) -> Value {
    let text: String = part.items("thinking").iter().map(|part| part.text("text")).collect();
    json!({"type": "thinking", "thinking": text})
}

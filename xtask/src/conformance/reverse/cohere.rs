//! Cohere v2 chat.

use serde_json::{Value, json};

use super::plain_if_one_text;
use crate::conformance::json::{Look as _, Object, drop_nulls, is_empty, object, put, rename};

pub(super) fn chat(body: &Value) -> Value {
    let mut body = body.clone();
    drop_nulls(&mut body, &["parameters", "json_schema"]);
    let mut rest = object(&body);
    let mut chat = Object::new();
    rename(&mut rest, "p", &mut chat, "top_p");
    rename(&mut rest, "stop_sequences", &mut chat, "stop");
    if let Some(choice) = rest.remove("tool_choice") {
        put(&mut chat, "tool_choice", choice.as_str().map(str::to_lowercase).into());
    }
    if let Some(format) = rest.remove("response_format") {
        chat.insert("response_format".into(), response_format(&format));
    }
    let strict = rest.remove("strict_tools").is_some_and(|strict| strict == true);
    for tool in rest.get_mut("tools").and_then(Value::as_array_mut).into_iter().flatten() {
        if strict {
            tool["function"]["strict"] = true.into();
        }
    }
    for message in rest.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten() {
        history(message);
    }
    // model, messages, tools, temperature, seed, penalties, max_tokens, stream have the same names;
    // documents, thinking, k, safety_mode, … stay Cohere's own.
    chat.extend(rest);
    Value::Object(chat)
}

fn history(message: &mut Value) {
    let Some(message) = message.as_object_mut() else { return };
    let content = message.remove("content");
    if let Some(Value::Array(parts)) = content {
        let (thinking, said): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| part.text("type") == "thinking");
        let said: Vec<Value> = said
            .into_iter()
            .filter(|part| !(part.text("type") == "text" && is_empty(&part["text"])))
            .collect();
        if !said.is_empty() {
            message.insert("content".into(), plain_if_one_text(said));
        }
        let thinking: String = thinking.iter().map(|part| part.text("thinking")).collect();
        if !thinking.is_empty() {
            message.insert("reasoning_content".into(), thinking.into());
        }
    } else if let Some(text) = content {
        message.insert("content".into(), text);
    }
}

fn response_format(format: &Value) -> Value {
    match format.some("json_schema").or(format.some("schema")) {
        Some(schema) => {
            json!({"type": "json_schema", "json_schema": {"name": "response", "schema": schema, "strict": true}})
        }
        None => format.clone(),
    }
}

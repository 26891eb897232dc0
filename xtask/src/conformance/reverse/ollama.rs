//! Ollama's native chat.

use serde_json::{Value, json};

use super::function_call;
use crate::conformance::json::{Look as _, Object, drop_nulls, is_empty, object, put, rename};

pub(super) fn chat(body: &Value) -> Value {
    let mut body = body.clone();
    drop_nulls(&mut body, &["parameters", "format", "arguments"]);
    let mut rest = object(&body);
    let mut chat = Object::new();
    // Ollama streams unless it is told not to.
    chat.insert("stream".into(), rest.remove("stream").unwrap_or(true.into()));
    if let Some(Value::Object(mut options)) = rest.remove("options") {
        rename(&mut options, "num_predict", &mut chat, "max_tokens");
        for name in ["temperature", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty"] {
            if let Some(value) = options.remove(name) {
                chat.insert(name.into(), value);
            }
        }
        if !options.is_empty() {
            rest.insert("options".into(), options.into());
        }
    }
    match rest.remove("format") {
        Some(Value::String(format)) if format == "json" => {
            chat.insert("response_format".into(), json!({"type": "json_object"}));
        }
        Some(schema) if schema.is_object() => {
            let schema = json!({"name": "response", "schema": schema, "strict": true});
            chat.insert("response_format".into(), json!({"type": "json_schema", "json_schema": schema}));
        }
        _ => {}
    }
    for message in rest.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten() {
        history(message);
    }
    if rest.get("tools").is_some_and(is_empty) {
        rest.remove("tools");
    }
    chat.extend(rest);
    Value::Object(chat)
}

/// Images stand beside the text and have no prefix; calls have no ids; results name the tool.
fn history(message: &mut Value) {
    let Some(members) = message.as_object_mut() else { return };
    if let Some(Value::Array(images)) = members.remove("images") {
        let mut parts = vec![json!({"type": "text", "text": members.remove("content")})];
        parts.extend(images.iter().filter_map(Value::as_str).map(|image| {
            json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{image}")}})
        }));
        members.insert("content".into(), parts.into());
    }
    if let Some(thinking) = members.remove("thinking") {
        put(members, "reasoning_content", thinking);
    }
    for call in members.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        let function = &call["function"];
        let name = function.text("name");
        *call = function_call(&format!("call_{name}"), name, &function["arguments"]);
    }
    if members.get("role").is_some_and(|role| role == "tool")
        && let Some(Value::String(name)) = members.remove("tool_name")
    {
        members.insert("tool_call_id".into(), format!("call_{name}").into());
    }
}

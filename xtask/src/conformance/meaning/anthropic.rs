//! Anthropic messages.

use serde_json::{Value, json};

use super::{cache_control, drop_empty, members};
use crate::conformance::json::{Look as _, Object, drop_default, drop_nulls, is_empty, object};

pub(super) fn meaning(body: &Value) -> Value {
    let mut body = body.clone();
    drop_nulls(&mut body, &["input_schema", "schema", "input"]);
    members(&mut body, "tools").for_each(|tool| {
        cache_control(tool);
        drop_default(tool, "type", |kind| kind == "custom");
        drop_empty(tool, &["description"]);
    });
    let mut request = object(&body);
    if let Some(system) = request.remove("system") {
        let system = blocks(&system);
        if !system.is_empty() {
            request.insert("system".into(), system.into());
        }
    }
    if let Some(messages) = request.remove("messages") {
        request.insert("messages".into(), turns(&messages));
    }
    drop_default(&mut request, "stream", |stream| stream == false);
    drop_default(&mut request, "tool_choice", |choice| {
        choice.text("type") == "auto" && choice.get("disable_parallel_tool_use") != Some(&Value::Bool(true))
    });
    drop_empty(&mut request, &["tools", "stop_sequences"]);
    Value::Object(request)
}

/// Turns of the same side belong together: the API joins them itself.
fn turns(messages: &Value) -> Value {
    let mut joined: Vec<Value> = Vec::new();
    for message in messages.as_array().into_iter().flatten() {
        let content = blocks(&message["content"]);
        match joined.last_mut() {
            Some(last) if last["role"] == message["role"] => {
                if let Some(list) = last["content"].as_array_mut() {
                    list.extend(content);
                }
            }
            _ => joined.push(json!({"role": message["role"], "content": content})),
        }
    }
    joined.into()
}

fn blocks(content: &Value) -> Vec<Value> {
    match content {
        Value::String(text) if text.is_empty() => Vec::new(),
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        Value::Array(list) => list.iter().map(block).collect(),
        _ => Vec::new(),
    }
}

fn block(block: &Value) -> Value {
    let mut members: Object = object(block);
    cache_control(&mut members);
    if members.get("type").is_some_and(|kind| kind == "tool_result") {
        drop_default(&mut members, "is_error", |error| error == false);
        if let Some(content) = members.remove("content").filter(|content| !is_empty(content)) {
            members.insert("content".into(), blocks(&content).into());
        }
    }
    Value::Object(members)
}

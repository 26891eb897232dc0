//! Answers whose members have another type than documented, brought into shape.
//!
//! Only what could not be read as it is comes here: Mistral's lists of content, tool calls without a type or an id,
//! arguments as an object, fractional figures.

use mainstay_provider_core::{ChatChunk, ChatResponse};
use serde_json::{Map, Value, json};

use crate::translate::{new_tool_call_id, tokens};

/// An answer out of JSON in an undocumented shape.
pub(super) fn answer(mut body: Value) -> Result<ChatResponse, serde_json::Error> {
    shape(&mut body, "message");
    serde_json::from_value(body)
}

/// A chunk out of JSON in an undocumented shape.
pub(super) fn chunk(mut body: Value) -> Result<ChatChunk, serde_json::Error> {
    shape(&mut body, "delta");
    serde_json::from_value(body)
}

fn shape(body: &mut Value, message: &str) {
    let Value::Object(body) = body else { return };
    ["id", "object", "model"].iter().for_each(|name| text(body, name));
    count(body, "created");
    if let Some(figures) = body.get_mut("usage") {
        usage(figures);
    }
    let Some(Value::Array(choices)) = body.get_mut("choices") else {
        body.remove("choices");
        return;
    };
    for choice in choices {
        let Value::Object(choice) = choice else { continue };
        count(choice, "index");
        text(choice, "finish_reason");
        if !choice.get(message).is_some_and(Value::is_object) {
            // Azure leaves the message out when its filter took all of it.
            choice.insert(message.into(), json!({}));
        }
        if let Some(Value::Object(said)) = choice.get_mut(message) {
            let whole = message == "message";
            if whole {
                said.entry("role").or_insert_with(|| "assistant".into());
            }
            said_by_model(said, whole);
        }
    }
}

/// A message or a piece of one.
fn said_by_model(said: &mut Map<String, Value>, whole: bool) {
    if let Some(content @ (Value::Array(_) | Value::Object(_))) = said.get_mut("content") {
        let parts = content.take();
        let (spoken, thought) = split(&parts);
        *content = Value::String(spoken);
        let references: Vec<_> = references(&parts).collect();
        if !references.is_empty() && !said.get("annotations").is_some_and(Value::is_array) {
            said.insert("annotations".into(), references.into());
        }
        if !thought.is_empty() && !said.get("reasoning_content").is_some_and(Value::is_string) {
            said.insert("reasoning_content".into(), thought.into());
        }
    }
    ["role", "content", "refusal", "reasoning_content"].iter().for_each(|name| text(said, name));
    for list in ["annotations", "thinking_blocks", "tool_calls"] {
        if said.get(list).is_some_and(|list| !list.is_array()) {
            said.remove(list);
        }
    }
    if let Some(Value::Array(calls)) = said.get_mut("tool_calls") {
        calls.iter_mut().for_each(|call| tool_call(call, whole));
    }
}

fn tool_call(call: &mut Value, whole: bool) {
    let Value::Object(call) = call else { return };
    count(call, "index");
    ["id", "type"].iter().for_each(|name| text(call, name));
    if whole {
        call.entry("id").or_insert_with(|| new_tool_call_id().into());
        call.entry("type").or_insert_with(|| "function".into());
    }
    match call.get_mut("function") {
        Some(Value::Object(function)) => {
            match function.get_mut("arguments") {
                Some(Value::Null) | None if whole => {
                    function.insert("arguments".into(), "{}".into());
                }
                Some(arguments) if !arguments.is_string() && !arguments.is_null() => {
                    *arguments = arguments.to_string().into();
                }
                _ => {}
            }
            if whole {
                function.entry("name").or_insert_with(|| "".into());
            }
        }
        Some(_) => {
            call.remove("function");
        }
        None => {}
    }
}

/// What is said and what is thought in a list of parts.
pub(super) fn split(parts: &Value) -> (String, String) {
    let (mut spoken, mut thought) = (String::new(), String::new());
    let parts = match parts {
        Value::Array(parts) => parts.as_slice(),
        part => std::slice::from_ref(part),
    };
    for part in parts {
        match part {
            Value::String(text) => spoken.push_str(text),
            part if part["type"] == "thinking" || part.get("thinking").is_some() => match &part["thinking"] {
                Value::String(text) => thought.push_str(text),
                list => thought.push_str(&split(list).0),
            },
            part => spoken.push_str(part["text"].as_str().unwrap_or_default()),
        }
    }
    (spoken, thought)
}

/// Whether a part has a place of its own in the neutral form: reasoning, and references to sources.
pub(super) fn has_place(part: &Map<String, Value>) -> bool {
    matches!(part.get("type").and_then(Value::as_str), Some("thinking" | "reference"))
}

/// The references in a list of parts, as annotations.
pub(super) fn references(parts: &Value) -> impl Iterator<Item = Value> {
    let parts = parts.as_array().map(Vec::as_slice).unwrap_or_default();
    let references = parts.iter().filter(|part| part["type"] == "reference");
    references.map(|reference| json!({"type": "citation", "citation": reference}))
}

fn usage(figures: &mut Value) {
    let Value::Object(all) = figures else {
        *figures = Value::Null;
        return;
    };
    for name in ["prompt_tokens", "completion_tokens", "total_tokens"] {
        count(all, name);
    }
    for (details, names) in [
        ("prompt_tokens_details", &["cached_tokens", "cache_write_tokens", "cache_write_1h_tokens"][..]),
        ("completion_tokens_details", &["reasoning_tokens"][..]),
    ] {
        match all.get_mut(details) {
            Some(Value::Object(details)) => names.iter().for_each(|name| count(details, name)),
            Some(_) => {
                all.remove(details);
            }
            None => {}
        }
    }
}

/// Leaves a member only if it is a text; a number becomes one.
fn text(members: &mut Map<String, Value>, name: &str) {
    match members.get_mut(name) {
        None | Some(Value::String(_)) => {}
        Some(Value::Number(number)) => {
            let written = json!(number.to_string());
            members.insert(name.into(), written);
        }
        Some(_) => {
            members.remove(name);
        }
    }
}

/// Makes a member a count, if it is there.
fn count(members: &mut Map<String, Value>, name: &str) {
    if let Some(value) = members.get_mut(name)
        && value.as_u64().is_none()
    {
        let counted = tokens(Some(value));
        members.insert(name.into(), counted.into());
    }
}

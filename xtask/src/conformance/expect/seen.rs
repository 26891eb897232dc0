//! A neutral answer in the form that expectations have.

use serde_json::{Value, json};

use super::{Answer, Usage};
use crate::conformance::json::{Look as _, Object, parsed};

/// The parts of a neutral answer that `expected` speaks about.
pub(crate) fn seen(expected: &Answer, answer: &Value) -> Value {
    let choices: Vec<Value> = answer
        .items("choices")
        .iter()
        .enumerate()
        .map(|(at, choice)| {
            self::choice(expected.choices.get(at).and_then(|choice| choice.citations), choice, expected, at)
        })
        .collect();
    let mut seen = Object::new();
    seen.insert("choices".into(), choices.into());
    if !expected.id.is_empty() {
        seen.insert("id".into(), answer["id"].clone());
    }
    if !expected.model.is_empty() {
        seen.insert("model".into(), answer["model"].clone());
    }
    if expected.usage.is_some() {
        seen.insert("usage".into(), usage(&answer["usage"]).to_json());
    }
    Value::Object(seen)
}

fn choice(citations: Option<usize>, choice: &Value, expected: &Answer, at: usize) -> Value {
    let message = &choice["message"];
    let mut seen = Object::new();
    seen.insert("text".into(), text(&message["content"]).into());
    seen.insert("reasoning".into(), expected.reasoning(message.text("reasoning_content")).into());
    seen.insert("refusal".into(), message.text("refusal").into());
    seen.insert("finish".into(), choice.text("finish_reason").into());
    let known = expected.choices.get(at);
    let calls: Vec<Value> = message
        .items("tool_calls")
        .iter()
        .enumerate()
        .map(|(at, call)| {
            let has_id = known.and_then(|choice| choice.calls.get(at)).is_none_or(|call| !call.id.is_empty());
            self::call(call, has_id)
        })
        .collect();
    seen.insert("calls".into(), calls.into());
    if citations.is_some() {
        seen.insert("citations".into(), message.items("annotations").len().into());
    }
    Value::Object(seen)
}

fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter(|part| part.text("type") == "text").map(|part| part.text("text")).collect()
        }
        _ => String::new(),
    }
}

fn call(call: &Value, with_id: bool) -> Value {
    let inner = call.some("function").or(call.some("custom")).unwrap_or(&Value::Null);
    let arguments =
        inner.some("arguments").or(inner.some("input")).and_then(Value::as_str).unwrap_or_default();
    let mut seen = json!({"name": inner["name"], "arguments": parsed(arguments)});
    if with_id {
        seen["id"] = call["id"].clone();
    }
    seen
}

fn usage(usage: &Value) -> Usage {
    let prompt = &usage["prompt_tokens_details"];
    Usage {
        input: usage.count("prompt_tokens"),
        output: usage.count("completion_tokens"),
        cache_read: prompt.count("cached_tokens"),
        cache_write: prompt.count("cache_write_tokens"),
        cache_write_long: prompt.count("cache_write_1h_tokens"),
        reasoning: usage["completion_tokens_details"].count("reasoning_tokens"),
    }
}

/// What of a neutral answer is wrong beside the comparison: lost texts, missing or repeated ids of calls.
pub(crate) fn flaws(expected: &Answer, answer: &Value) -> Option<String> {
    let printed = answer.to_string();
    for kept in &expected.kept {
        let escaped = Value::String(kept.clone()).to_string();
        if !printed.contains(escaped.trim_matches('"')) {
            let start: String = kept.chars().take(60).collect();
            return Some(format!("lost from the answer: {start:?}"));
        }
    }
    for choice in answer.items("choices") {
        let ids: Vec<&str> =
            choice["message"].items("tool_calls").iter().map(|call| call.text("id")).collect();
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        if ids.iter().any(|id| id.is_empty()) || distinct.len() != ids.len() {
            return Some(format!("tool calls without distinct ids: {ids:?}"));
        }
    }
    None
}

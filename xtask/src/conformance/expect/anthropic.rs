//! Answers of Anthropic messages.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::events::Event;
use super::{Answer, ToolCall, Usage};
use crate::conformance::json::Look as _;

pub(super) fn answer(events: &[Event]) -> Answer {
    let whole = match events {
        [only] if only.whole => only.data.clone(),
        pieces => joined(pieces),
    };
    let mut answer = Answer {
        id: whole.text("id").to_owned(),
        model: whole.text("model").to_owned(),
        usage: whole.some("usage").map(usage),
        ..Answer::default()
    };
    for block in whole.items("content") {
        self::block(block, &mut answer);
    }
    answer.only().finish = match whole.text("stop_reason") {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => "stop",
    }
    .into();
    answer
}

fn block(block: &Value, answer: &mut Answer) {
    answer.keep_signature(block.text("signature"));
    answer.keep_signature(block.text("data"));
    for citation in block.items("citations") {
        answer.keep(citation.text("url"));
    }
    let choice = answer.only();
    match block.text("type") {
        "text" => {
            choice.text.push_str(block.text("text"));
            let citations = block.items("citations").len();
            if citations > 0 {
                *choice.citations.get_or_insert(0) += citations;
            }
        }
        "thinking" => choice.reasoning.push_str(block.text("thinking")),
        "tool_use" => choice.calls.push(ToolCall {
            id: block.text("id").to_owned(),
            name: block.text("name").to_owned(),
            arguments: block["input"].to_string(),
        }),
        _ => {}
    }
}

/// The message that a stream's events amount to.
fn joined(events: &[Event]) -> Value {
    let mut message = json!({});
    let mut blocks: BTreeMap<u64, Value> = BTreeMap::new();
    let mut inputs: BTreeMap<u64, String> = BTreeMap::new();
    for event in events {
        let data = &event.data;
        let at = data.count("index");
        match data.text("type") {
            "message_start" => message = data["message"].clone(),
            "content_block_start" => {
                blocks.insert(at, data["content_block"].clone());
            }
            "content_block_delta" => {
                let delta = &data["delta"];
                inputs.entry(at).or_default().push_str(delta.text("partial_json"));
                if let Some(Value::Object(block)) = blocks.get_mut(&at) {
                    grow(block, delta);
                }
            }
            "message_delta" => {
                for name in ["stop_reason", "stop_details"] {
                    message[name] = data["delta"][name].clone();
                }
                for (name, figure) in
                    data["usage"].as_object().into_iter().flatten().filter(|(_, v)| !v.is_null())
                {
                    message["usage"][name.as_str()] = figure.clone();
                }
            }
            _ => {}
        }
    }
    for (at, input) in inputs.into_iter().filter(|(_, input)| !input.is_empty()) {
        if let Some(block) = blocks.get_mut(&at) {
            block["input"] = crate::conformance::json::parsed(&input);
        }
    }
    message["content"] = blocks.into_values().collect();
    message
}

fn grow(block: &mut Map<String, Value>, delta: &Value) {
    for name in ["text", "thinking", "signature"] {
        let old = block.get(name).and_then(Value::as_str).unwrap_or_default();
        if !delta.text(name).is_empty() {
            let joined = format!("{old}{}", delta.text(name));
            block.insert(name.into(), joined.into());
        }
    }
    if let Some(citation) = delta.some("citation") {
        let citations = block.entry("citations").or_insert_with(|| json!([]));
        if citations.is_null() {
            *citations = json!([]);
        }
        if let Value::Array(citations) = citations {
            citations.push(citation.clone());
        }
    }
}

fn usage(usage: &Value) -> Usage {
    let (read, written) =
        (usage.count("cache_read_input_tokens"), usage.count("cache_creation_input_tokens"));
    Usage {
        input: usage.count("input_tokens") + read + written,
        output: usage.count("output_tokens"),
        cache_read: read,
        cache_write: written,
        cache_write_long: usage["cache_creation"].count("ephemeral_1h_input_tokens"),
        reasoning: usage["output_tokens_details"].count("thinking_tokens"),
    }
}

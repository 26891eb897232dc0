//! Answers of Bedrock Converse.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::events::Event;
use super::{Answer, ToolCall, Usage};
use crate::conformance::json::Look as _;

pub(super) fn answer(events: &[Event]) -> Answer {
    let whole = match events {
        [only] if only.whole => only.data.clone(),
        pieces => joined(pieces),
    };
    let mut answer = Answer { usage: whole.some("usage").map(usage), ..Answer::default() };
    let choice = answer.only();
    for block in whole["output"]["message"].items("content") {
        self::block(block, choice);
    }
    choice.finish = match whole.text("stopReason") {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "guardrail_intervened" | "content_filtered" => "content_filter",
        _ => "stop",
    }
    .into();
    for block in whole["output"]["message"].items("content") {
        answer.keep_signature(block["reasoningContent"]["reasoningText"].text("signature"));
        answer.keep_signature(block["reasoningContent"].text("redactedContent"));
        for citation in block["citationsContent"].items("citations") {
            answer.keep(citation["location"]["web"].text("url"));
        }
    }
    answer
}

fn block(block: &Value, choice: &mut super::Choice) {
    choice.text.push_str(block.text("text"));
    choice.reasoning.push_str(block["reasoningContent"]["reasoningText"].text("text"));
    let cited = &block["citationsContent"];
    cited.items("content").iter().for_each(|part| choice.text.push_str(part.text("text")));
    let citations = cited.items("citations").len();
    if citations > 0 {
        *choice.citations.get_or_insert(0) += citations;
    }
    // A server's own tool was already run: no call for the caller.
    if let Some(call) = block.get("toolUse").filter(|call| call.text("type") != "server_tool_use") {
        choice.calls.push(ToolCall {
            id: call.text("toolUseId").to_owned(),
            name: call.text("name").to_owned(),
            arguments: call["input"].to_string(),
        });
    }
}

/// The answer that a stream's events amount to.
fn joined(events: &[Event]) -> Value {
    let mut whole = json!({});
    let mut blocks: BTreeMap<u64, Value> = BTreeMap::new();
    let mut inputs: BTreeMap<u64, String> = BTreeMap::new();
    for Event { name, data, .. } in events {
        let at = data.count("contentBlockIndex");
        match name.as_str() {
            "contentBlockStart" => {
                blocks.insert(at, data["start"].clone());
            }
            "contentBlockDelta" => {
                let delta = &data["delta"];
                let block = blocks.entry(at).or_insert_with(|| json!({}));
                inputs.entry(at).or_default().push_str(delta["toolUse"].text("input"));
                if delta.get("text").is_some() {
                    block["text"] = format!("{}{}", block.text("text"), delta.text("text")).into();
                }
                reasoning(block, &delta["reasoningContent"]);
                if let Some(citation) = delta.some("citation") {
                    let known = block["citationsContent"].items("citations").to_vec();
                    block["citationsContent"]["citations"] =
                        known.into_iter().chain([citation.clone()]).collect();
                }
            }
            "messageStop" => whole["stopReason"] = data["stopReason"].clone(),
            "metadata" => whole["usage"] = data["usage"].clone(),
            _ => {}
        }
    }
    for (at, input) in inputs.into_iter().filter(|(_, input)| !input.is_empty()) {
        if let Some(block) = blocks.get_mut(&at) {
            block["toolUse"]["input"] = crate::conformance::json::parsed(&input);
        }
    }
    for block in blocks
        .values_mut()
        .filter(|block| block.get("toolUse").is_some_and(|call| call.get("input").is_none()))
    {
        block["toolUse"]["input"] = json!({});
    }
    whole["output"] = json!({"message": {"content": blocks.into_values().collect::<Vec<_>>()}});
    whole
}

fn reasoning(block: &mut Value, delta: &Value) {
    for name in ["text", "signature"] {
        if !delta.text(name).is_empty() {
            let old = block["reasoningContent"]["reasoningText"].text(name).to_owned();
            block["reasoningContent"]["reasoningText"][name] = format!("{old}{}", delta.text(name)).into();
        }
    }
    if let Some(data) = delta.some("redactedContent") {
        block["reasoningContent"]["redactedContent"] = data.clone();
    }
}

fn usage(usage: &Value) -> Usage {
    let (read, written) = (usage.count("cacheReadInputTokens"), usage.count("cacheWriteInputTokens"));
    Usage {
        input: usage.count("inputTokens") + read + written,
        output: usage.count("outputTokens"),
        cache_read: read,
        cache_write: written,
        reasoning: 0,
        ..Usage::default()
    }
}

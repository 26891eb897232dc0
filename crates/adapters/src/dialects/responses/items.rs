//! What whole answers and streams share: the items of an answer, its end, its usage.

use mainstay_provider_core::chat::{FinishReason, ThinkingBlock, TokenUsage, ToolCall};
use mainstay_provider_core::{Extra, Usage};
use serde_json::{Map, Value, json};

use crate::translate::tokens;

/// The member of a message that holds the items of its answer, where the neutral form cannot say them all.
pub(super) const OUTPUT_ITEMS: &str = "output_items";

pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// All items of an answer, if the neutral form, which is reasoning, one message, calls, does not say them as they stand.
pub(super) fn to_replay(output: &[Value]) -> Option<Value> {
    // 0: reasoning; 1: the message was there; 2: calls.
    let mut place = 0;
    let in_order = output.iter().all(|item| {
        let (fits, next) = match text(item, "type") {
            "reasoning" => (place == 0, 0),
            "message" => (place == 0, 1),
            "function_call" | "custom_tool_call" => (true, 2),
            _ => (false, place),
        };
        place = next;
        fits
    });
    (!in_order).then(|| Value::Array(output.to_vec()))
}

/// An answer that ended well, or in the middle.
pub(super) fn finish_reason(response: &Value, calls: bool) -> FinishReason {
    let details = response.get("incomplete_details").unwrap_or(&Value::Null);
    match (text(response, "status"), text(details, "reason")) {
        ("incomplete", "content_filter") => FinishReason::ContentFilter,
        ("incomplete", "max_output_tokens" | "") => FinishReason::Length,
        ("incomplete", other) => FinishReason::from(other),
        _ if calls => FinishReason::ToolCalls,
        ("cancelled" | "queued" | "in_progress", "") => FinishReason::from(text(response, "status")),
        _ => FinishReason::Stop,
    }
}

/// The figures in the neutral form; members of the provider's own (a cost) stay beside them.
pub(super) fn usage(usage: &Value) -> Option<TokenUsage> {
    let Value::Object(figures) = usage else { return None };
    let detail = |list: &str, name: &str| tokens(figures.get(list).and_then(|list| list.get(name)));
    let mut neutral = Usage::new(tokens(figures.get("input_tokens")), tokens(figures.get("output_tokens")));
    neutral.cache_read = detail("input_tokens_details", "cached_tokens");
    neutral.cache_write = detail("input_tokens_details", "cache_write_tokens");
    neutral.reasoning = detail("output_tokens_details", "reasoning_tokens");
    let mut usage = TokenUsage::from(neutral);
    let known =
        ["input_tokens", "output_tokens", "total_tokens", "input_tokens_details", "output_tokens_details"];
    for (name, value) in
        figures.iter().filter(|(name, value)| !known.contains(&name.as_str()) && !value.is_null())
    {
        usage.extra.insert(name.clone(), value.clone());
    }
    Some(usage)
}

/// What is said of the answer as a whole, for the `extra` of the neutral one.
pub(super) fn about(response: &Value) -> Extra {
    let mut extra = Extra::default();
    for name in ["service_tier", "previous_response_id", "conversation", "content_filters"] {
        if let Some(value) = response.get(name).filter(|value| !value.is_null()) {
            extra.insert(name, value.clone());
        }
    }
    extra
}

/// Reasoning that is shown: the summary, or where there is none the reasoning itself.
pub(super) fn shown_reasoning(item: &Value) -> String {
    let texts =
        |name: &str| list(item, name).iter().map(|part| text(part, "text")).collect::<Vec<_>>().join("\n\n");
    match texts("summary") {
        summary if summary.is_empty() => texts("content"),
        summary => summary,
    }
}

/// A reasoning item as a block that can be sent back.
pub(super) fn thinking_block(item: &Value) -> ThinkingBlock {
    let signature = text(item, "encrypted_content");
    let mut block =
        ThinkingBlock::thinking(shown_reasoning(item), (!signature.is_empty()).then(|| signature.to_owned()));
    let id = text(item, "id");
    if !id.is_empty() {
        block.extra.insert("id", id);
    }
    block
}

/// A call as the model made it; `None` for any other item.
pub(super) fn tool_call(item: &Value) -> Option<ToolCall> {
    match text(item, "type") {
        "function_call" => {
            Some(ToolCall::function(text(item, "call_id"), text(item, "name"), text(item, "arguments")))
        }
        "custom_tool_call" => {
            let mut extra = Extra::default();
            extra.insert("custom", json!({"name": text(item, "name"), "input": text(item, "input")}));
            Some(ToolCall {
                id: text(item, "call_id").to_owned(),
                kind: "custom".into(),
                function: None,
                extra,
            })
        }
        _ => None,
    }
}

/// A citation in the neutral form: what cites an address is nested, all else is kept as it came.
pub(super) fn annotation(flat: &Value) -> Value {
    let mut inner: Map<String, Value> = flat.as_object().cloned().unwrap_or_default();
    match inner.remove("type") {
        Some(kind) if kind == "url_citation" => json!({"type": "url_citation", "url_citation": inner}),
        _ => json!({"type": "citation", "citation": flat}),
    }
}

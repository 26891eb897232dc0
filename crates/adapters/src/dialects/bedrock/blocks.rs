//! What whole answers and streams share: usage, reasons to stop, citations, and when an answer must be replayed.

use mainstay_provider_core::chat::{FinishReason, TokenUsage};
use mainstay_provider_core::{Error, ErrorKind, Usage};
use serde_json::{Map, Value, json};

use crate::translate::tokens;

/// Where a message keeps the blocks of its answer verbatim.
pub(super) const REPLAY: [&str; 3] = ["extra_content", "bedrock", "content"];

/// The member of a message that keeps these blocks, if they cannot be put in order again from the neutral form.
pub(super) fn replay(blocks: Vec<Value>) -> Option<(&'static str, Value)> {
    needs_replay(&blocks).then(|| {
        let blocks: Vec<Value> = blocks.into_iter().filter_map(replayable).collect();
        (REPLAY[0], json!({REPLAY[1]: {REPLAY[2]: blocks}}))
    })
}

/// Whether the blocks are in another order than reasoning, text, calls, or there are others.
fn needs_replay(blocks: &[Value]) -> bool {
    let mut place = 0;
    for block in blocks {
        let next = match block.as_object().and_then(|block| block.keys().next()).map(String::as_str) {
            Some("reasoningContent") => 0,
            Some("text" | "citationsContent") => 1,
            Some("toolUse") if !is_server_tool(&block["toolUse"]) => 2,
            _ => return true,
        };
        if next < place {
            return true;
        }
        place = next;
    }
    false
}

/// Whether a call is one of the provider's own tools, which it runs by itself.
pub(super) fn is_server_tool(call: &Value) -> bool {
    call.get("type").is_some_and(|kind| kind == "server_tool_use")
}

/// A block of an answer as the API takes it back.
fn replayable(mut block: Value) -> Option<Value> {
    if let Some(cited) = block.get("citationsContent") {
        let texts =
            cited["content"].as_array().into_iter().flatten().filter_map(|piece| piece["text"].as_str());
        let text: String = texts.collect();
        return (!text.is_empty()).then(|| json!({"text": text}));
    }
    if let Some(Value::Object(call)) = block.get_mut("toolUse")
        && call.get("type").is_some_and(|kind| kind != "server_tool_use")
    {
        call.remove("type");
    }
    (block.get("text") != Some(&Value::from(""))).then_some(block)
}

/// The usage in the neutral form: `inputTokens` leaves out what was read from the cache and written to it.
pub(super) fn usage(counts: &Map<String, Value>) -> TokenUsage {
    let count = |name: &str| tokens(counts.get(name)).min(1 << 53); // so that sums stay numbers
    let (read, written) = (count("cacheReadInputTokens"), count("cacheWriteInputTokens"));
    let mut usage = Usage::new(count("inputTokens") + read + written, count("outputTokens"));
    usage.cache_read = read;
    usage.cache_write = written;
    let details = counts.get("cacheDetails").and_then(Value::as_array).into_iter().flatten();
    let long = details.filter(|detail| detail["ttl"] == "1h").map(|detail| tokens(detail.get("inputTokens")));
    usage.cache_write_long = long.fold(0, u64::saturating_add).min(written);
    TokenUsage::from(usage)
}

/// Why the model stopped; a malformed answer is an error.
pub(super) fn finish_reason(reason: &str) -> Result<FinishReason, Error> {
    Ok(match reason {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "guardrail_intervened" | "content_filtered" => FinishReason::ContentFilter,
        "malformed_tool_use" => {
            let message = "the model wrote a tool call that cannot be read";
            return Err(Error::new(ErrorKind::MalformedToolCall, message).with_code(reason));
        }
        "malformed_model_output" => {
            let message = "the model's answer cannot be read";
            return Err(Error::new(ErrorKind::MalformedResponse, message).with_code(reason));
        }
        other => FinishReason::from(other),
    })
}

/// A citation of the text between two places, in characters, of the answer.
pub(super) fn annotation(citation: Value, start: usize, end: usize) -> Value {
    let web = citation.get("location").and_then(|location| location.get("web"));
    let Some(url) = web.and_then(|web| web.get("url")).and_then(Value::as_str) else {
        return json!({"type": "citation", "citation": citation, "start_index": start, "end_index": end});
    };
    let domain = web.and_then(|web| web.get("domain"));
    let title = citation.get("title").or(domain).and_then(Value::as_str).unwrap_or_default();
    let cited = json!({"url": url, "title": title, "start_index": start, "end_index": end});
    json!({"type": "url_citation", "url_citation": cited, "citation": citation})
}

/// Bedrock names no answer; callers expect an id.
pub(super) fn new_id() -> String {
    format!("chatcmpl-{:016x}", fastrand::u64(..))
}

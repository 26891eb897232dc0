//! What whole answers and streams share: usage, reasons to stop, citations, and when an answer must be replayed.

use mainstay_provider_core::chat::{ChunkChoice, FinishReason, TokenUsage};
use mainstay_provider_core::{Extra, Usage};
use serde_json::{Map, Value, json};

use crate::translate::tokens;

/// Where a message keeps the blocks of its answer verbatim.
pub(super) const REPLAY: [&str; 3] = ["extra_content", "anthropic", "content"];

/// The member of a message that keeps these blocks.
pub(super) fn replay(blocks: Vec<Value>) -> (String, Value) {
    (REPLAY[0].into(), json!({REPLAY[1]: {REPLAY[2]: blocks}}))
}

/// Whether blocks of these kinds cannot be put in order again from the neutral form, which is: thinking, text, calls.
pub(super) fn needs_replay<'a>(kinds: impl Iterator<Item = &'a str>) -> bool {
    let mut place = 0;
    for kind in kinds {
        let next = match kind {
            "thinking" | "redacted_thinking" => 0,
            "text" => 1,
            "tool_use" => 2,
            _ => return true,
        };
        if next < place {
            return true;
        }
        place = next;
    }
    false
}

/// A block of an answer as the API takes it back: citations of an answer have members that it refuses in a request.
pub(super) fn replayable(mut block: Map<String, Value>) -> Value {
    block.retain(|name, value| name != "citations" && !value.is_null());
    Value::Object(block)
}

/// The usage in the neutral form: `input_tokens` leaves out what was read from the cache and written to it.
pub(super) fn usage(counts: &Map<String, Value>) -> TokenUsage {
    let split = counts.get("cache_creation");
    let lifetime = |name| count(split.and_then(|split| split.get(name)));
    let long = lifetime("ephemeral_1h_input_tokens");
    let read = count(counts.get("cache_read_input_tokens"));
    let split_sum = long + lifetime("ephemeral_5m_input_tokens");
    let written = count(counts.get("cache_creation_input_tokens")).max(split_sum);
    let mut usage =
        Usage::new(count(counts.get("input_tokens")) + read + written, count(counts.get("output_tokens")));
    usage.cache_read = read;
    usage.cache_write = written;
    usage.cache_write_long = long;
    let details = counts.get("output_tokens_details");
    usage.reasoning = count(details.and_then(|details| details.get("thinking_tokens")));
    let mut usage = TokenUsage::from(usage);
    // Billed by itself.
    if let Some(Value::Object(tools)) = counts.get("server_tool_use")
        && tools.values().any(|used| count(Some(used)) > 0)
    {
        usage.extra.insert("server_tool_use", tools.clone());
    }
    usage
}

/// A figure, small enough that sums of figures stay numbers.
fn count(value: Option<&Value>) -> u64 {
    tokens(value).min(1 << 53)
}

/// Why the model stopped, in all its parts.
#[derive(Debug, Default)]
pub(super) struct Stop {
    pub(super) reason: Option<String>,
    pub(super) sequence: Option<String>,
    /// Of a refusal.
    pub(super) details: Option<Value>,
}

impl Stop {
    pub(super) fn finish_reason(&self) -> Option<FinishReason> {
        self.reason.as_deref().map(|reason| match reason {
            // A paused turn goes on when it is sent back.
            "end_turn" | "stop_sequence" | "pause_turn" => FinishReason::Stop,
            "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
            "tool_use" => FinishReason::ToolCalls,
            "refusal" => FinishReason::ContentFilter,
            other => FinishReason::from(other),
        })
    }

    /// Why the model refused, in its own words.
    pub(super) fn refusal(&self) -> Option<String> {
        let explanation = self.details.as_ref()?.get("explanation")?.as_str()?;
        (!explanation.is_empty()).then(|| explanation.to_owned())
    }

    /// What the neutral reason does not tell.
    pub(super) fn put_extra(&self, extra: &mut Extra) {
        match self.reason.as_deref() {
            None | Some("end_turn" | "max_tokens" | "tool_use") => {}
            Some(reason) => drop(extra.insert("stop_reason", reason)),
        }
        if let Some(sequence) = &self.sequence {
            extra.insert("stop_sequence", sequence.as_str());
        }
        if let Some(details) = &self.details {
            extra.insert("stop_details", details.clone());
        }
    }

    pub(super) fn put_into_chunk(&self, choice: &mut ChunkChoice) {
        choice.finish_reason = self.finish_reason();
        choice.delta.refusal = self.refusal();
        self.put_extra(&mut choice.extra);
    }
}

/// A citation of the text between two places, in characters, of the answer.
pub(super) fn annotation(citation: Value, start: usize, end: usize) -> Value {
    let mut addresses = ["url", "source"].iter().filter_map(|name| citation.get(name)?.as_str());
    let url = addresses.find(|url| url.starts_with("http://") || url.starts_with("https://"));
    let Some(url) = url else {
        return json!({"type": "citation", "citation": citation, "start_index": start, "end_index": end});
    };
    let title = citation.get("title").and_then(Value::as_str).unwrap_or_default();
    let cited = json!({"url": url, "title": title, "start_index": start, "end_index": end});
    json!({"type": "url_citation", "url_citation": cited, "citation": citation})
}

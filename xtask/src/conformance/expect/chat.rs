//! Answers of chat completions.

use serde_json::Value;

use super::events::Event;
use super::{Answer, Choice, ToolCall, Usage};
use crate::conformance::json::Look as _;

pub(super) fn answer(provider: &str, api: &str, events: &[Event]) -> Answer {
    let mut answer = Answer::default();
    for event in events {
        let data = &event.data;
        if answer.id.is_empty() {
            answer.id = data.text("id").to_owned();
        }
        if answer.model.is_empty() {
            answer.model = data.text("model").to_owned();
        }
        if let Some(usage) = data.some("usage").or(data.get("x_groq").and_then(|groq| groq.some("usage"))) {
            answer.usage = Some(self::usage(provider, api, usage));
        }
        for citation in data.items("citations") {
            let url = citation.as_str().unwrap_or_default();
            if !answer.kept.iter().any(|kept| kept == url) {
                answer.keep(url);
            }
        }
        for choice in data.items("choices") {
            let member = if event.whole { "message" } else { "delta" };
            let message = choice.get(member).unwrap_or(&Value::Null);
            let at = usize::try_from(choice.count("index")).unwrap_or_default();
            keep(message, &mut answer);
            let read = answer.choice(at);
            self::message(message, read);
            if let Some(reason) = choice.some("finish_reason") {
                read.finish = finish(reason.as_str().unwrap_or_default()).to_owned();
            }
        }
    }
    answer
}

fn finish(reason: &str) -> &str {
    match reason {
        "eos" => "stop",
        "model_length" => "length",
        reason => reason,
    }
}

/// What must come back with the next turn.
fn keep(message: &Value, answer: &mut Answer) {
    for detail in message.items("reasoning_details") {
        answer.keep_signature(detail.text("data"));
        answer.keep_signature(detail.text("signature"));
    }
    answer.keep_signature(message.text("thought_signature"));
    for annotation in message.items("annotations") {
        answer.keep(annotation["url_citation"].text("url"));
    }
}

fn message(message: &Value, read: &mut Choice) {
    match message.get("content") {
        Some(Value::String(text)) => read.text.push_str(text),
        Some(Value::Array(parts)) => parts.iter().for_each(|part| self::part(part, read)),
        _ => {}
    }
    let reasoning = message.some("reasoning_content").or(message.some("reasoning"));
    read.reasoning.push_str(reasoning.and_then(Value::as_str).unwrap_or_default());
    read.refusal.push_str(message.text("refusal"));
    if let Some(annotations) = message.get("annotations").and_then(Value::as_array) {
        *read.citations.get_or_insert(0) += annotations.len();
    }
    for (at, call) in message.items("tool_calls").iter().enumerate() {
        let at =
            call.get("index").and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok()).unwrap_or(at);
        self::call(at, call, read);
    }
}

/// Mistral's parts: what is thought and what is said.
fn part(part: &Value, read: &mut Choice) {
    match part.text("type") {
        "thinking" => {
            part.items("thinking").iter().for_each(|piece| read.reasoning.push_str(piece.text("text")))
        }
        _ => read.text.push_str(part.text("text")),
    }
}

fn call(at: usize, call: &Value, read: &mut Choice) {
    // Several whole calls may carry the same index (Mistral's are all 0 in old recordings): a new id is a new call.
    let same = |old: &ToolCall| call.text("id").is_empty() || old.id.is_empty() || old.id == call.text("id");
    let known = read.calls.get(at).is_some_and(same);
    if !known {
        read.calls.push(ToolCall::default());
    }
    let target = if known { read.calls.get_mut(at) } else { read.calls.last_mut() };
    let Some(target) = target else { return };
    let inner = call.some("function").or(call.some("custom")).unwrap_or(&Value::Null);
    if target.id.is_empty() {
        target.id = call.text("id").to_owned();
    }
    if target.name.is_empty() {
        target.name = inner.text("name").to_owned();
    }
    match inner.some("arguments").or(inner.some("input")) {
        Some(Value::String(text)) => target.arguments.push_str(text),
        Some(value) => target.arguments = value.to_string(),
        None => {}
    }
}

fn usage(provider: &str, api: &str, usage: &Value) -> Usage {
    let prompt = usage.get("prompt_tokens_details").unwrap_or(&Value::Null);
    let completion = usage.get("completion_tokens_details").unwrap_or(&Value::Null);
    let mut read = Usage {
        input: usage.count("prompt_tokens"),
        output: usage.count("completion_tokens"),
        cache_read: prompt.count("cached_tokens"),
        cache_write: prompt.count("cache_write_tokens"),
        reasoning: completion.count("reasoning_tokens"),
        ..Usage::default()
    };
    match provider {
        "deepseek" => read.cache_read = usage.count("prompt_cache_hit_tokens"),
        // Older answers have it under this name alone.
        "mistral" => read.cache_read = read.cache_read.max(usage.count("num_cached_tokens")),
        "together" => read.cache_read = read.cache_read.max(usage.count("cached_tokens")),
        // Its total holds the reasoning, its completion figure does not.
        "xai" if api == "chat" => read.output += read.reasoning,
        "gemini" => {
            let all_output = usage.count("total_tokens").saturating_sub(read.input);
            read.reasoning = all_output.saturating_sub(read.output);
            read.output = all_output;
        }
        _ => {}
    }
    read
}

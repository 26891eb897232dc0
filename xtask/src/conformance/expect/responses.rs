//! Answers of OpenAI's Responses: the last event of a stream holds the whole answer.

use serde_json::Value;

use super::events::Event;
use super::{Answer, ToolCall, Usage};
use crate::conformance::json::Look as _;

pub(super) fn answer(events: &[Event]) -> Answer {
    let last = events.iter().rev().find(|event| event.whole || is_end(event.data.text("type")));
    let whole = match last {
        Some(event) if event.whole => &event.data,
        Some(event) => event.data.get("response").unwrap_or(&Value::Null),
        None => &Value::Null,
    };
    let mut answer = Answer {
        id: whole.text("id").to_owned(),
        model: whole.text("model").to_owned(),
        usage: whole.some("usage").map(usage),
        reasoning_in_paragraphs: true,
        ..Answer::default()
    };
    answer.only();
    for item in whole.items("output") {
        self::item(item, &mut answer);
    }
    sign(events, whole, &mut answer);
    let choice = answer.only();
    choice.finish = match (whole.text("status"), whole["incomplete_details"].text("reason")) {
        ("incomplete", "max_output_tokens") => "length",
        ("incomplete", "content_filter") => "content_filter",
        _ if choice.calls.is_empty() => "stop",
        _ => "tool_calls",
    }
    .into();
    answer
}

/// The reasoning that must come back. The provider encrypts it anew in each event; of a stream, its document says, the one
/// in `output_item.done` counts.
fn sign(events: &[Event], whole: &Value, answer: &mut Answer) {
    let done = events.iter().filter(|event| event.data.text("type") == "response.output_item.done");
    let done: Vec<&Value> = done.map(|event| &event.data["item"]).collect();
    let items = if done.is_empty() { whole.items("output").iter().collect() } else { done };
    for item in items {
        answer.keep_signature(item.text("encrypted_content"));
    }
}

fn is_end(kind: &str) -> bool {
    matches!(kind, "response.completed" | "response.incomplete" | "response.failed")
}

fn item(item: &Value, answer: &mut Answer) {
    match item.text("type") {
        "message" => {
            for part in item.items("content") {
                let choice = answer.only();
                choice.text.push_str(part.text("text"));
                choice.refusal.push_str(part.text("refusal"));
                let annotations = part.items("annotations");
                *choice.citations.get_or_insert(0) += annotations.len();
                annotations.iter().for_each(|annotation| answer.keep(annotation.text("url")));
            }
        }
        "function_call" => answer.only().calls.push(ToolCall {
            id: item.text("call_id").to_owned(),
            name: item.text("name").to_owned(),
            arguments: item.text("arguments").to_owned(),
        }),
        "reasoning" => {
            let summary: Vec<&str> = item.items("summary").iter().map(|part| part.text("text")).collect();
            let raw: Vec<&str> = item.items("content").iter().map(|part| part.text("text")).collect();
            let texts = if summary.is_empty() { raw } else { summary };
            answer.only().reasoning.push_str(&texts.concat());
        }
        _ => {}
    }
}

fn usage(usage: &Value) -> Usage {
    Usage {
        input: usage.count("input_tokens"),
        output: usage.count("output_tokens"),
        cache_read: usage["input_tokens_details"].count("cached_tokens"),
        cache_write: usage["input_tokens_details"].count("cache_write_tokens"),
        reasoning: usage["output_tokens_details"].count("reasoning_tokens"),
        ..Usage::default()
    }
}

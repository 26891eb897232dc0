//! Answers of Gemini and Vertex.

use serde_json::{Value, json};

use super::events::Event;
use super::partial_args::set;
use super::{Answer, Choice, Expected, ToolCall, Usage, failure};
use crate::conformance::json::Look as _;

pub(super) fn answer(events: &[Event], status: u16) -> Expected {
    let mut answer = Answer::default();
    let mut blocked = false;
    for Event { data, .. } in events {
        answer.id = data.text("responseId").to_owned();
        answer.model = data.text("modelVersion").to_owned();
        blocked |=
            data["promptFeedback"].some("blockReason").is_some() && data.items("candidates").is_empty();
        if let Some(usage) = data.some("usageMetadata") {
            answer.usage = Some(self::usage(usage));
        }
        for candidate in data.items("candidates") {
            keep(candidate, &mut answer);
            let at = usize::try_from(candidate.count("index")).unwrap_or_default();
            self::candidate(candidate, answer.choice(at));
        }
    }
    if blocked && answer.choices.is_empty() {
        return Expected::Failure(failure::Failure::of_kind("ContentFiltered", status));
    }
    for choice in &answer.choices {
        if let Some(kind) = error_of(&choice.finish) {
            return Expected::Failure(failure::Failure::of_kind(kind, status));
        }
    }
    answer.choices.iter_mut().for_each(settle);
    Expected::Answer(answer)
}

fn error_of(reason: &str) -> Option<&'static str> {
    match reason {
        "MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" | "TOO_MANY_TOOL_CALLS" => {
            Some("MalformedToolCall")
        }
        "MALFORMED_RESPONSE" | "OTHER" => Some("MalformedResponse"),
        _ => None,
    }
}

/// From Gemini's reason to the neutral one; a call decides, whatever the reason says.
fn settle(choice: &mut Choice) {
    choice
        .calls
        .iter_mut()
        .filter(|call| call.arguments.is_empty())
        .for_each(|call| call.arguments = "{}".into());
    choice.finish = match choice.finish.as_str() {
        "MAX_TOKENS" => "length",
        "STOP" if !choice.calls.is_empty() => "tool_calls",
        "STOP" | "" => "stop",
        _ => "content_filter",
    }
    .into();
}

/// Signatures must come back with the next turn; sources must not be lost.
fn keep(candidate: &Value, answer: &mut Answer) {
    for part in candidate["content"].items("parts") {
        answer.keep_signature(part.text("thoughtSignature"));
    }
    for chunk in candidate["groundingMetadata"].items("groundingChunks") {
        answer.keep(chunk["web"].text("uri"));
        answer.keep(chunk["retrievedContext"].text("fileSearchStore"));
    }
}

fn candidate(candidate: &Value, choice: &mut Choice) {
    for part in candidate["content"].items("parts") {
        if let Some(call) = part.get("functionCall") {
            self::call(call, choice);
        } else if part["thought"] == true {
            choice.reasoning.push_str(part.text("text"));
        } else {
            choice.text.push_str(part.text("text"));
        }
    }
    match candidate.get("finishReason") {
        Some(Value::String(reason)) => choice.finish.clone_from(reason),
        // With `enum-encoding=int` the reasons are numbers.
        Some(Value::Number(number)) => choice.finish = reason_by_number(number.as_u64()).into(),
        _ => {}
    }
}

fn reason_by_number(number: Option<u64>) -> &'static str {
    match number {
        Some(1) => "STOP",
        Some(2) => "MAX_TOKENS",
        Some(5) => "OTHER",
        Some(10) => "MALFORMED_FUNCTION_CALL",
        _ => "SAFETY",
    }
}

/// A whole call, the beginning of one whose arguments follow in pieces, or such a piece.
fn call(call: &Value, choice: &mut Choice) {
    if !call.text("name").is_empty() {
        let arguments = call.some("args").map(Value::to_string).unwrap_or_default();
        choice.calls.push(ToolCall {
            id: call.text("id").to_owned(),
            name: call.text("name").to_owned(),
            arguments,
        });
    }
    let Some(open) = choice.calls.last_mut() else { return };
    let mut arguments =
        if open.arguments.is_empty() { json!({}) } else { crate::conformance::json::parsed(&open.arguments) };
    for piece in call.items("partialArgs") {
        set(&mut arguments, piece);
    }
    open.arguments = arguments.to_string();
}

fn usage(usage: &Value) -> Usage {
    let thoughts = usage.count("thoughtsTokenCount");
    Usage {
        input: usage.count("promptTokenCount") + usage.count("toolUsePromptTokenCount"),
        output: usage.count("candidatesTokenCount") + thoughts,
        cache_read: usage.count("cachedContentTokenCount"),
        cache_write: 0,
        reasoning: thoughts,
        ..Usage::default()
    }
}

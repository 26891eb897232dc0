//! Answers of Cohere v2.

use serde_json::Value;

use super::events::Event;
use super::{Answer, ToolCall, Usage};
use crate::conformance::json::Look as _;

pub(super) fn answer(events: &[Event]) -> Answer {
    let mut answer = Answer::default();
    for event in events {
        let data = &event.data;
        if answer.id.is_empty() {
            answer.id = data.text("id").to_owned();
        }
        if event.whole {
            end(data, &mut answer);
            message(&data["message"], &mut answer);
        } else {
            piece(data, &mut answer);
        }
    }
    answer
}

fn end(data: &Value, answer: &mut Answer) {
    answer.usage = data.some("usage").map(usage);
    answer.only().finish = match data.text("finish_reason") {
        "MAX_TOKENS" => "length",
        "TOOL_CALL" => "tool_calls",
        _ => "stop",
    }
    .into();
}

fn message(message: &Value, answer: &mut Answer) {
    for part in message.items("content") {
        said(part, answer);
    }
    message.items("tool_calls").iter().for_each(|call| answer.only().calls.push(self::call(call)));
    plan(message, answer);
    message.items("citations").iter().for_each(|citation| cite(citation, answer));
}

fn said(part: &Value, answer: &mut Answer) {
    answer.only().text.push_str(part.text("text"));
    answer.only().reasoning.push_str(part.text("thinking"));
}

/// The plan for the tool calls must not be lost; where it stands in the neutral answer is free.
fn plan(message: &Value, answer: &mut Answer) {
    answer.keep(message.text("tool_plan"));
}

fn cite(citation: &Value, answer: &mut Answer) {
    *answer.only().citations.get_or_insert(0) += 1;
    citation.items("sources").iter().for_each(|source| answer.keep(source.text("id")));
}

fn call(call: &Value) -> ToolCall {
    ToolCall {
        id: call.text("id").to_owned(),
        name: call["function"].text("name").to_owned(),
        arguments: call["function"].text("arguments").to_owned(),
    }
}

fn piece(data: &Value, answer: &mut Answer) {
    let message = &data["delta"]["message"];
    match data.text("type") {
        "content-start" | "content-delta" => said(&message["content"], answer),
        "tool-call-start" => answer.only().calls.push(self::call(&message["tool_calls"])),
        "tool-call-delta" => {
            let piece = message["tool_calls"]["function"].text("arguments");
            if let Some(last) = answer.only().calls.last_mut() {
                last.arguments.push_str(piece);
            }
        }
        "citation-start" => cite(&message["citations"], answer),
        "message-end" => end(&data["delta"], answer),
        _ => {}
    }
}

fn usage(usage: &Value) -> Usage {
    let tokens = &usage["tokens"];
    Usage {
        input: tokens.count("input_tokens"),
        output: tokens.count("output_tokens"),
        cache_read: usage.count("cached_tokens"),
        cache_write: 0,
        reasoning: tokens.count("reasoning_tokens"),
        ..Usage::default()
    }
}

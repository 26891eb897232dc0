//! Answers of Ollama's native chat.

use super::events::Event;
use super::{Answer, ToolCall, Usage};
use crate::conformance::json::Look as _;

pub(super) fn answer(events: &[Event]) -> Answer {
    let mut answer = Answer::default();
    for Event { data, .. } in events {
        answer.model = data.text("model").to_owned();
        let choice = answer.only();
        let message = &data["message"];
        choice.text.push_str(message.text("content"));
        choice.reasoning.push_str(message.text("thinking"));
        for call in message.items("tool_calls") {
            choice.calls.push(ToolCall {
                id: call.text("id").to_owned(),
                name: call["function"].text("name").to_owned(),
                arguments: call["function"]["arguments"].to_string(),
            });
        }
        if data["done"] == true {
            choice.finish = match data.text("done_reason") {
                _ if !choice.calls.is_empty() => "tool_calls",
                "length" => "length",
                _ => "stop",
            }
            .into();
            answer.usage = Some(Usage {
                input: data.count("prompt_eval_count"),
                output: data.count("eval_count"),
                ..Usage::default()
            });
        }
    }
    answer
}

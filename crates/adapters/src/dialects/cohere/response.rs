//! Whole answers.

use mainstay_provider_core::chat::{Message, Role, ToolCall};
use mainstay_provider_core::{ChatResponse, Error, Wire};
use serde_json::{Value, json};

use super::wire::{Answer, Block, finish_reason};
use super::{PROVIDER, citations, wire};
use crate::failure;
use crate::translate::{malformed, new_tool_call_id, read_json};

pub(super) fn decode(body: &[u8], model: &str) -> Result<Wire<ChatResponse>, Error> {
    let answer: Answer = match read_json(body) {
        Ok(answer) => answer,
        // An error's message is a text where an answer's is an object.
        Err(error) => {
            let value: Value = serde_json::from_slice(body).map_err(|_| error.clone())?;
            return Err(if value["message"].is_string() || value.get("error").is_some() {
                failure::classify_in_answer(PROVIDER, body)
            } else {
                error
            });
        }
    };
    let Some(said) = answer.message else {
        return Err(malformed("the provider's answer has no message"));
    };
    let finish = answer.finish_reason.as_deref().map(|reason| finish_reason(reason, None)).transpose();
    let mut response = ChatResponse::empty(model);
    response.id = answer.id.unwrap_or_default();
    response.usage = answer.usage.map(wire::Spent::usage);
    let logprobs = answer
        .logprobs
        .map(|pieces| json!({ "content": pieces.iter().map(wire::Logprob::entry).collect::<Vec<_>>() }));
    let mut choice = mainstay_provider_core::chat::Choice::new(0, message(said), None);
    choice.logprobs = logprobs;
    match finish {
        Ok(reason) => {
            choice.finish_reason = reason;
            response.choices.push(choice);
            Ok(response.into())
        }
        Err(error) => {
            response.choices.push(choice);
            Err(error.with_partial(response))
        }
    }
}

fn message(said: wire::Message) -> Message {
    let mut message = Message::empty(Role::Assistant);
    for citation in &said.citations {
        let block = citation["content_index"].as_u64().and_then(|index| usize::try_from(index).ok());
        let offset = offset(&said.content, block.unwrap_or(0));
        message.annotations.extend(citations::annotations(citation, offset));
    }
    let texts: Vec<_> = said.content.iter().filter_map(|block| block.text.as_deref()).collect();
    if !texts.is_empty() {
        message.content = Some(texts.concat().into());
    }
    let thoughts: String = said.content.iter().filter_map(|block| block.thinking.as_deref()).collect();
    message.reasoning_content = Some(thoughts).filter(|thoughts| !thoughts.is_empty());
    if let Some(plan) = said.tool_plan.filter(|plan| !plan.is_empty()) {
        message.extra.insert("tool_plan", plan);
    }
    message.tool_calls = said.tool_calls.into_iter().map(tool_call).collect();
    message
}

fn tool_call(call: wire::ToolCall) -> ToolCall {
    let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(new_tool_call_id);
    let (name, arguments) =
        call.function.map_or((None, None), |function| (function.name, function.arguments));
    let arguments = arguments.filter(|arguments| !arguments.is_empty()).unwrap_or_else(|| "{}".into());
    ToolCall::function(id, name.unwrap_or_default(), arguments)
}

/// Where a block's text begins within the message's text, in characters.
pub(super) fn offset(blocks: &[Block], block: usize) -> u64 {
    let before = blocks.iter().take(block).filter_map(|block| block.text.as_deref());
    before.map(|text| text.chars().count() as u64).sum()
}

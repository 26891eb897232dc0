//! Whole answers.

use bytes::Bytes;
use mainstay_provider_core::chat::{Content, Message, Role};
use mainstay_provider_core::{ChatResponse, Error, Wire};
use serde_json::{Value, json};

use super::items::{self, OUTPUT_ITEMS, list, text};
use crate::dialects::openai::{self, Profile};
use crate::failure;
use crate::translate::{malformed, new_tool_call_id, tokens};

pub(super) fn decode(
    body: Bytes,
    model: &str,
    provider: &str,
    profile: &Profile,
) -> Result<Wire<ChatResponse>, Error> {
    let unreadable = |error| failure::classify_in_answer(provider, &body).with_source(error);
    let response: Value = serde_json::from_slice(&body).map_err(unreadable)?;
    let failed = response.get("error").is_some_and(|error| !error.is_null());
    if failed || text(&response, "status") == "failed" {
        return Err(failure::classify_in_answer(provider, &body));
    }
    match (response.get("output"), response.get("choices")) {
        (Some(Value::Array(_)), _) => Ok(answer(&response, model).into()),
        // Azure answers so for models of other makers.
        (_, Some(Value::Array(_))) => openai::decode(body, model, provider, profile),
        _ => Err(malformed("the provider's answer has no output")),
    }
}

fn answer(response: &Value, model: &str) -> ChatResponse {
    let mut message = Message::empty(Role::Assistant);
    let mut said = Said::default();
    for item in list(response, "output") {
        said.item(item, &mut message);
    }
    if !said.text.is_empty() || message.tool_calls.is_empty() {
        message.content = Some(Content::Text(said.text));
    }
    message.reasoning_content = (!said.reasoning.is_empty()).then(|| said.reasoning.join("\n\n"));
    message.refusal = (!said.refusal.is_empty()).then_some(said.refusal);
    if let Some(items) = items::to_replay(list(response, "output")) {
        message.extra.insert(OUTPUT_ITEMS, items);
    }
    let reason = items::finish_reason(response, !message.tool_calls.is_empty());
    let own_model = text(response, "model");
    let mut answer = ChatResponse::new(if own_model.is_empty() { model } else { own_model }, message, reason);
    answer.id = text(response, "id").to_owned();
    answer.created = tokens(response.get("created_at"));
    answer.usage = response.get("usage").and_then(items::usage);
    answer.extra = items::about(response);
    if !said.probabilities.is_empty()
        && let Some(choice) = answer.choices.first_mut()
    {
        choice.logprobs = Some(json!({"content": said.probabilities}));
    }
    answer
}

#[derive(Default)]
struct Said {
    text: String,
    reasoning: Vec<String>,
    refusal: String,
    probabilities: Vec<Value>,
}

impl Said {
    fn item(&mut self, item: &Value, message: &mut Message) {
        match text(item, "type") {
            "message" => {
                for part in list(item, "content") {
                    self.text.push_str(text(part, "text"));
                    self.refusal.push_str(text(part, "refusal"));
                    self.probabilities.extend(list(part, "logprobs").iter().cloned());
                    message.annotations.extend(list(part, "annotations").iter().map(items::annotation));
                }
            }
            "reasoning" => {
                let block = items::thinking_block(item);
                self.reasoning.extend(block.thinking.clone().filter(|text| !text.is_empty()));
                message.thinking_blocks.push(block);
            }
            _ => {
                if let Some(mut call) = items::tool_call(item) {
                    if call.id.is_empty() {
                        call.id = new_tool_call_id();
                    }
                    message.tool_calls.push(call);
                }
            }
        }
    }
}

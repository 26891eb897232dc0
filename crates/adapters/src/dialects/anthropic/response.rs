//! A whole answer.

use mainstay_provider_core::chat::{ChatResponse, Choice, Content, Message, Role, ThinkingBlock, ToolCall};
use mainstay_provider_core::{Error, Extra};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::PROVIDER;
use super::blocks::{self, Stop};
use crate::failure;
use crate::translate::{malformed, read_json};

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    model: Option<String>,
    #[serde(borrow)]
    content: Option<Vec<&'a RawValue>>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    stop_details: Option<Value>,
    usage: Option<Map<String, Value>>,
    /// `container`, `context_management`, and what is added to the API.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    data: Option<String>,
    id: Option<String>,
    name: Option<String>,
    /// As the model wrote it: numbers of any length stay what they are.
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    citations: Option<Vec<Value>>,
    caller: Option<Value>,
}

pub(super) fn answer(body: &[u8], model: &str) -> Result<ChatResponse, Error> {
    let answer: Body<'_> = read_json(body)?;
    let (None | Some("message"), Some(content)) = (answer.kind.as_deref(), answer.content) else {
        return Err(failure::classify_in_answer(PROVIDER, body));
    };
    let stop =
        Stop { reason: answer.stop_reason, sequence: answer.stop_sequence, details: answer.stop_details };
    let mut message = message(&content)?;
    message.refusal = stop.refusal();
    let mut choice = Choice::new(0, message, stop.finish_reason());
    stop.put_extra(&mut choice.extra);
    let mut response = ChatResponse::empty(answer.model.unwrap_or_else(|| model.to_owned()));
    response.id = answer.id.unwrap_or_default();
    response.choices.push(choice);
    response.usage = answer.usage.as_ref().map(blocks::usage);
    response.extra = own_figures(answer.rest);
    Ok(response)
}

/// What Anthropic tells besides the answer.
fn own_figures(mut rest: Map<String, Value>) -> Extra {
    rest.retain(|name, value| !value.is_null() && name != "role");
    rest.into()
}

fn message(content: &[&RawValue]) -> Result<Message, Error> {
    let mut reader = Reader::default();
    let mut kinds = Vec::with_capacity(content.len());
    for raw in content {
        let block: Block<'_> = read_json(raw.get().as_bytes())?;
        kinds.push(block.kind.clone());
        reader.read(block)?;
    }
    let mut message = reader.finish();
    if blocks::needs_replay(kinds.iter().map(String::as_str)) {
        let blocks = content.iter().map(|raw| read_json(raw.get().as_bytes()).map(blocks::replayable));
        let (name, blocks) = blocks::replay(blocks.collect::<Result<_, _>>()?);
        message.extra.insert(name, blocks);
    }
    Ok(message)
}

/// Puts a message together from its blocks.
#[derive(Default)]
struct Reader {
    text: Option<String>,
    /// Characters of `text`.
    length: usize,
    reasoning: String,
    thinking: Vec<ThinkingBlock>,
    calls: Vec<ToolCall>,
    annotations: Vec<Value>,
}

impl Reader {
    fn read(&mut self, block: Block<'_>) -> Result<(), Error> {
        match block.kind.as_str() {
            "text" => self.read_text(&block.text.unwrap_or_default(), block.citations.unwrap_or_default()),
            "thinking" => {
                let thinking = block.thinking.unwrap_or_default();
                self.reasoning.push_str(&thinking);
                self.thinking.push(ThinkingBlock::thinking(thinking, block.signature));
            }
            "redacted_thinking" => {
                self.thinking.push(ThinkingBlock::redacted(block.data.unwrap_or_default()))
            }
            "tool_use" => {
                let (Some(id), Some(name)) = (block.id, block.name) else {
                    return Err(malformed("the provider's answer has a tool call without an id or a name"));
                };
                let input = block.input.map_or("{}", RawValue::get);
                let mut call = ToolCall::function(id, name, input);
                put_caller(&mut call.extra, block.caller);
                self.calls.push(call);
            }
            // Of the provider's own tools, which it runs by itself: kept for the replay, no call to the caller.
            _ => {}
        }
        Ok(())
    }

    fn read_text(&mut self, text: &str, citations: Vec<Value>) {
        let start = self.length;
        self.length += text.chars().count();
        self.text.get_or_insert_default().push_str(text);
        let cited = citations.into_iter().map(|citation| blocks::annotation(citation, start, self.length));
        self.annotations.extend(cited);
    }

    fn finish(self) -> Message {
        let mut message = Message::empty(Role::Assistant);
        // An answer that says nothing and calls nothing is an empty text: null would mean that it calls tools.
        let empty = self.calls.is_empty().then(String::new);
        message.content = self.text.or(empty).map(Content::Text);
        message.reasoning_content = (!self.reasoning.is_empty()).then_some(self.reasoning);
        message.thinking_blocks = self.thinking;
        message.tool_calls = self.calls;
        message.annotations = self.annotations;
        message
    }
}

/// Who called, unless it was the model itself: code that it runs must get the results, so it must come back.
pub(super) fn put_caller(extra: &mut Extra, caller: Option<Value>) {
    if let Some(caller) = caller
        && caller.get("type").is_some_and(|kind| kind != "direct")
    {
        extra.insert("caller", caller);
    }
}

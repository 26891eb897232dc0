//! A whole answer.

use mainstay_provider_core::chat::{ChatResponse, Choice, Content, Message, Role, ThinkingBlock, ToolCall};
use mainstay_provider_core::{Error, Extra};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{PROVIDER, blocks};
use crate::failure;
use crate::translate::{malformed, read_json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    output: Option<Output<'a>>,
    stop_reason: Option<String>,
    usage: Option<Map<String, Value>>,
    /// Guardrail traces, the model's own fields, latency.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    message: Option<Said<'a>>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    content: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    text: Option<String>,
    reasoning_content: Option<Reasoning>,
    #[serde(borrow)]
    tool_use: Option<Call<'a>>,
    citations_content: Option<Cited>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reasoning {
    reasoning_text: Option<ReasoningText>,
    redacted_content: Option<String>,
}

#[derive(Deserialize)]
struct ReasoningText {
    text: Option<String>,
    signature: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call<'a> {
    tool_use_id: Option<String>,
    name: Option<String>,
    /// As the model wrote it: numbers of any length stay what they are.
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Cited {
    content: Option<Vec<CitedText>>,
    citations: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct CitedText {
    text: Option<String>,
}

pub(super) fn answer(body: &[u8], model: &str) -> Result<ChatResponse, Error> {
    let answer: Body<'_> = read_json(body)?;
    let said = answer.output.and_then(|output| output.message).and_then(|message| message.content);
    let Some(content) = said else { return Err(failure::classify_in_answer(PROVIDER, body)) };
    let mut response = ChatResponse::empty(model);
    response.id = blocks::new_id();
    response.usage = answer.usage.as_ref().map(blocks::usage);
    response.choices.push(Choice::new(0, message(&content)?, None));
    response.extra = own_figures(answer.rest);
    match answer.stop_reason.as_deref().map(blocks::finish_reason) {
        Some(Err(error)) => return Err(error.with_partial(response)),
        Some(Ok(reason)) => response.choices[0].finish_reason = Some(reason),
        None => {}
    }
    Ok(response)
}

/// What Bedrock tells besides the answer.
pub(super) fn own_figures(mut rest: Map<String, Value>) -> Extra {
    rest.retain(|name, value| !value.is_null() && name != "p"); // padding
    rest.into()
}

fn message(content: &[&RawValue]) -> Result<Message, Error> {
    let mut reader = Reader::default();
    for raw in content {
        reader.read(read_json(raw.get().as_bytes())?)?;
    }
    let mut message = reader.finish();
    let verbatim = content.iter().map(|raw| read_json(raw.get().as_bytes())).collect::<Result<_, _>>()?;
    if let Some((name, blocks)) = blocks::replay(verbatim) {
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
        if let Some(text) = &block.text {
            self.read_text(text);
        }
        if let Some(reasoning) = block.reasoning_content {
            self.read_reasoning(reasoning);
        }
        if let Some(call) = block.tool_use.filter(|call| call.kind.as_deref() != Some("server_tool_use")) {
            let (Some(id), Some(name)) = (call.tool_use_id, call.name) else {
                return Err(malformed("the provider's answer has a tool call without an id or a name"));
            };
            self.calls.push(ToolCall::function(id, name, call.input.map_or("{}", RawValue::get)));
        }
        if let Some(cited) = block.citations_content {
            let start = self.length;
            cited
                .content
                .iter()
                .flatten()
                .filter_map(|piece| piece.text.as_deref())
                .for_each(|text| self.read_text(text));
            let annotate = |citation| blocks::annotation(citation, start, self.length);
            self.annotations.extend(cited.citations.into_iter().flatten().map(annotate));
        }
        Ok(())
    }

    fn read_text(&mut self, text: &str) {
        self.length += text.chars().count();
        self.text.get_or_insert_default().push_str(text);
    }

    fn read_reasoning(&mut self, reasoning: Reasoning) {
        if let Some(ReasoningText { text, signature }) = reasoning.reasoning_text {
            let text = text.unwrap_or_default();
            self.reasoning.push_str(&text);
            if signature.is_some() {
                self.thinking.push(ThinkingBlock::thinking(text, signature));
            }
        }
        self.thinking.extend(reasoning.redacted_content.map(ThinkingBlock::redacted));
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

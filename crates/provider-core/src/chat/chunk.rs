//! What a model answers, piece by piece.

use serde_json::Value;

use super::{FinishReason, Role, ThinkingBlock, TokenUsage};
use crate::Usage;
use crate::lossless::{Extra, lossless};

lossless! {
    /// One event of a streamed answer.
    pub struct ChatChunk {
        /// The provider's id of the answer; the same in all its chunks.
        zero id: String,
        /// `chat.completion.chunk`.
        zero object: String,
        /// When the answer was begun, seconds since 1970.
        count created: u64,
        /// The model that answers.
        zero model: String,
        /// What is new; may be empty at any time, and is in the chunk with the usage.
        zero choices: Vec<ChunkChoice>,
        /// Tokens used; in the last chunk, or growing in several.
        may usage: TokenUsage,
    }

    /// What is new of one answer.
    pub struct ChunkChoice {
        /// The number of the answer, from 0.
        zero index: u32,
        /// What is new.
        zero delta: Delta,
        /// Why the model stopped; in the last piece.
        null finish_reason: FinishReason,
        /// Token probabilities.
        may logprobs: Value,
    }

    /// The new piece of a message.
    #[derive(Default)]
    pub struct Delta {
        /// Who speaks; in the first piece.
        may role: Role,
        /// New text.
        may content: String,
        /// New text of a refusal.
        may refusal: String,
        /// New pieces of tool calls.
        list tool_calls: Vec<ToolCallDelta>,
        /// New citations.
        list annotations: Vec<Value>,
        /// New text of the reasoning.
        may reasoning_content: String,
        /// New pieces of signed reasoning, by `index`.
        list thinking_blocks: Vec<ThinkingBlock>,
    }

    /// A new piece of a tool call.
    #[derive(Default)]
    pub struct ToolCallDelta {
        /// Which call of the answer.
        zero index: u32,
        /// Its id; in the first piece.
        may id: String,
        /// `function`; in the first piece.
        may kind as "type": String,
        /// The function's name and the new piece of its arguments.
        may function: FunctionDelta,
    }

    /// A new piece of a function call.
    #[derive(Default)]
    pub struct FunctionDelta {
        /// The name; in the first piece.
        may name: String,
        /// New text of the arguments.
        may arguments: String,
    }
}

impl ChatChunk {
    /// A chunk of the answer `id` by `model`, with nothing in it yet.
    pub fn empty(id: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            object: "chat.completion.chunk".into(),
            created: 0,
            model: model.into(),
            choices: Vec::new(),
            usage: None,
            extra: Extra::default(),
        }
    }

    /// The same chunk with one more piece of answer 0.
    #[must_use]
    pub fn with_delta(mut self, delta: Delta, finish_reason: Option<FinishReason>) -> Self {
        self.choices.push(ChunkChoice {
            index: 0,
            delta,
            finish_reason,
            logprobs: None,
            extra: Extra::default(),
        });
        self
    }

    /// Whether the caller gets something of the answer with it: text, reasoning, a refusal, a tool call, or the end.
    pub fn has_content(&self) -> bool {
        self.choices.iter().any(|choice| choice.finished().is_some() || choice.delta.has_content())
    }

    /// The new text of answer 0.
    pub fn text(&self) -> &str {
        let first = self.choices.iter().find(|choice| choice.index == 0);
        first.and_then(|choice| choice.delta.content.as_deref()).unwrap_or_default()
    }

    /// Tokens used, in the neutral form.
    pub fn usage(&self) -> Option<Usage> {
        self.usage.as_ref().map(TokenUsage::to_usage)
    }
}

impl ChunkChoice {
    /// Why the model stopped, if this piece says so. An empty reason, which some servers put into each piece, is none.
    pub fn finished(&self) -> Option<&FinishReason> {
        self.finish_reason.as_ref().filter(|reason| !reason.as_str().is_empty())
    }
}

/// Members in which providers send content under names that the contract has no field for.
const OTHER_CONTENT: [&str; 5] = ["reasoning", "reasoning_details", "audio", "images", "function_call"];

impl Delta {
    /// New text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: Some(text.into()), ..Self::default() }
    }

    /// Whether it says anything: a role alone does not.
    pub fn has_content(&self) -> bool {
        let says = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        says(&self.content)
            || says(&self.refusal)
            || says(&self.reasoning_content)
            || !self.tool_calls.is_empty()
            || !self.thinking_blocks.is_empty()
            || !self.annotations.is_empty()
            || (!self.extra.is_empty()
                && OTHER_CONTENT.iter().any(|name| self.extra.get(name).is_some_and(holds_something)))
    }
}

fn holds_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

//! What a model answers, whole.

use std::borrow::Cow;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::Message;
use crate::Usage;
use crate::lossless::{Extra, Word, lossless};

lossless! {
    /// A whole answer.
    pub struct ChatResponse {
        /// The provider's id of the answer.
        zero id: String,
        /// `chat.completion`.
        zero object: String,
        /// When it was made, seconds since 1970.
        count created: u64,
        /// The model that answered, as the provider names it.
        zero model: String,
        /// The answers; one unless `n` asked for more.
        zero choices: Vec<Choice>,
        /// Tokens used.
        may usage: TokenUsage,
    }

    /// One of the answers.
    pub struct Choice {
        /// Its number, from 0.
        zero index: u32,
        /// What the model says.
        need message: Answer,
        /// Why it stopped.
        null finish_reason: FinishReason,
        /// Token probabilities.
        may logprobs: Value,
    }

    /// Tokens used, in OpenAI's shape; [`TokenUsage::to_usage`] gives the neutral form.
    pub struct TokenUsage {
        /// All input tokens.
        count prompt_tokens: u64,
        /// All output tokens, reasoning included.
        count completion_tokens: u64,
        /// Both together.
        count total_tokens: u64,
        /// Parts of the input.
        may prompt_tokens_details: PromptDetails,
        /// Parts of the output.
        may completion_tokens_details: CompletionDetails,
    }

    /// Parts of the input tokens.
    pub struct PromptDetails {
        /// Read from the provider's prompt cache.
        may cached_tokens: u64,
        /// Written to the provider's prompt cache.
        may cache_write_tokens: u64,
        /// Part of those, written with the one-hour lifetime.
        may cache_write_1h_tokens: u64,
    }

    /// Parts of the output tokens.
    pub struct CompletionDetails {
        /// Spent on reasoning.
        may reasoning_tokens: u64,
    }
}

/// The message of an answer: as [`Message`], but `content` is printed as null when there is none, as OpenAI does.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer(pub Message);

impl std::ops::Deref for Answer {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.0
    }
}

impl std::ops::DerefMut for Answer {
    fn deref_mut(&mut self) -> &mut Message {
        &mut self.0
    }
}

impl From<Message> for Answer {
    fn from(message: Message) -> Self {
        Self(message)
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        if self.0.content.is_none() {
            map.serialize_entry("content", &())?;
        }
        self.0.print_members(&mut map)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Message::deserialize(deserializer).map(Answer)
    }
}

/// Why a model stopped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FinishReason {
    /// It was done, or met a stop text.
    Stop,
    /// The answer reached its longest length, or the window was full.
    Length,
    /// It calls tools.
    ToolCalls,
    /// A filter cut it off, or the model refused.
    ContentFilter,
    /// The total timer ran out; the answer is partial (S8.2).
    Timeout,
    /// Any other reason, as it came.
    Other(String),
}

impl FinishReason {
    /// The reason as it stands in JSON.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Timeout => "timeout",
            Self::Other(reason) => reason,
        }
    }
}

impl From<&str> for FinishReason {
    fn from(reason: &str) -> Self {
        match reason {
            "stop" => Self::Stop,
            "length" => Self::Length,
            "tool_calls" => Self::ToolCalls,
            "content_filter" => Self::ContentFilter,
            "timeout" => Self::Timeout,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl Serialize for FinishReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for FinishReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Word(PhantomData))
    }
}

impl ChatResponse {
    /// An answer with one choice.
    pub fn new(model: impl Into<String>, message: Message, finish_reason: FinishReason) -> Self {
        Self { choices: vec![Choice::new(0, message, Some(finish_reason))], ..Self::empty(model) }
    }

    /// An answer without a choice yet.
    pub fn empty(model: impl Into<String>) -> Self {
        Self {
            id: String::new(),
            object: "chat.completion".into(),
            created: 0,
            model: model.into(),
            choices: Vec::new(),
            usage: None,
            extra: Extra::default(),
        }
    }

    /// The text of the first choice; empty when there is none.
    pub fn text(&self) -> Cow<'_, str> {
        self.choices.first().map_or(Cow::Borrowed(""), |choice| choice.message.text())
    }

    /// Why the first choice stopped.
    pub fn finish_reason(&self) -> Option<&FinishReason> {
        self.choices.first()?.finish_reason.as_ref()
    }

    /// Tokens used, in the neutral form.
    pub fn usage(&self) -> Option<Usage> {
        self.usage.as_ref().map(TokenUsage::to_usage)
    }
}

impl Choice {
    /// A choice.
    pub fn new(index: u32, message: Message, finish_reason: Option<FinishReason>) -> Self {
        Self { index, message: Answer(message), finish_reason, logprobs: None, extra: Extra::default() }
    }
}

impl TokenUsage {
    /// The neutral form.
    pub fn to_usage(&self) -> Usage {
        let prompt = self.prompt_tokens_details.as_ref();
        let completion = self.completion_tokens_details.as_ref();
        Usage {
            input: self.prompt_tokens,
            output: self.completion_tokens,
            cache_read: prompt.and_then(|details| details.cached_tokens).unwrap_or(0),
            cache_write: prompt.and_then(|details| details.cache_write_tokens).unwrap_or(0),
            cache_write_long: prompt.and_then(|details| details.cache_write_1h_tokens).unwrap_or(0),
            reasoning: completion.and_then(|details| details.reasoning_tokens).unwrap_or(0),
        }
    }
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        let some = |tokens: u64| (tokens > 0).then_some(tokens);
        let prompt = (usage.cache_read > 0 || usage.cache_write > 0).then(|| PromptDetails {
            cached_tokens: Some(usage.cache_read),
            cache_write_tokens: some(usage.cache_write),
            cache_write_1h_tokens: some(usage.cache_write_long),
            extra: Extra::default(),
        });
        let completion = some(usage.reasoning).map(|reasoning| CompletionDetails {
            reasoning_tokens: Some(reasoning),
            extra: Extra::default(),
        });
        Self {
            prompt_tokens: usage.input,
            completion_tokens: usage.output,
            total_tokens: usage.total(),
            prompt_tokens_details: prompt,
            completion_tokens_details: completion,
            extra: Extra::default(),
        }
    }
}

//! One turn of a conversation.

use std::borrow::Cow;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{Content, ToolCall};
use crate::lossless::{Extra, Word, lossless};

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Instructions of the application.
    System,
    /// The same, as newer OpenAI models call it.
    Developer,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// The result of a tool.
    Tool,
    /// Any other role, as it came (`function`).
    Other(String),
}

impl Role {
    /// The role as it stands in JSON.
    pub fn as_str(&self) -> &str {
        match self {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
            Role::Other(role) => role,
        }
    }

    /// Whether it is the application that speaks: system or developer.
    pub fn is_instruction(&self) -> bool {
        matches!(self, Role::System | Role::Developer)
    }
}

impl From<&str> for Role {
    fn from(role: &str) -> Self {
        match role {
            "system" => Role::System,
            "developer" => Role::Developer,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" => Role::Tool,
            other => Role::Other(other.to_owned()),
        }
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Word(PhantomData))
    }
}

lossless! {
    /// One turn of a conversation, in a request and in an answer.
    pub struct Message {
        /// Who speaks.
        need role: Role,
        /// What is said; an assistant that only calls tools says nothing.
        may content: Content,
        /// The speaker's name, where several share a role.
        may name: String,
        /// The tools that the assistant calls.
        list tool_calls: Vec<ToolCall>,
        /// The call that this tool message answers.
        may tool_call_id: String,
        /// Why the assistant does not answer.
        may refusal: String,
        /// Citations and the like.
        list annotations: Vec<Value>,
        /// The model's reasoning as plain text, where the provider shows it.
        may reasoning_content: String,
        /// The reasoning with its signatures; must be sent back unchanged for the next turn of a tool call.
        list thinking_blocks: Vec<ThinkingBlock>,
    }

    /// A block of reasoning that the provider signed.
    pub struct ThinkingBlock {
        /// `thinking` or `redacted_thinking`.
        need kind as "type": String,
        /// Which block of the answer this piece belongs to; in streams only.
        may index: u32,
        /// The reasoning.
        may thinking: String,
        /// The provider's signature over it.
        may signature: String,
        /// The encrypted reasoning of a redacted block.
        may data: String,
    }
}

impl Message {
    /// A message with this role and content.
    pub fn new(role: Role, content: impl Into<Content>) -> Self {
        Self { content: Some(content.into()), ..Self::empty(role) }
    }

    /// A message that says nothing yet.
    pub fn empty(role: Role) -> Self {
        Self {
            role,
            content: None,
            name: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            refusal: None,
            annotations: Vec::new(),
            reasoning_content: None,
            thinking_blocks: Vec::new(),
            extra: Extra::default(),
        }
    }

    /// Instructions of the application.
    pub fn system(content: impl Into<Content>) -> Self {
        Self::new(Role::System, content)
    }

    /// What the user says.
    pub fn user(content: impl Into<Content>) -> Self {
        Self::new(Role::User, content)
    }

    /// What the model said.
    pub fn assistant(content: impl Into<Content>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// The result of the tool call with this id.
    pub fn tool(call_id: impl Into<String>, content: impl Into<Content>) -> Self {
        Self { tool_call_id: Some(call_id.into()), ..Self::new(Role::Tool, content) }
    }

    /// All text of the message; empty when it has none.
    pub fn text(&self) -> Cow<'_, str> {
        self.content.as_ref().map_or(Cow::Borrowed(""), Content::text)
    }
}

impl ThinkingBlock {
    /// A signed block of reasoning.
    pub fn thinking(text: impl Into<String>, signature: Option<String>) -> Self {
        Self {
            kind: "thinking".into(),
            index: None,
            thinking: Some(text.into()),
            signature,
            data: None,
            extra: Extra::default(),
        }
    }

    /// A block of encrypted reasoning.
    pub fn redacted(data: impl Into<String>) -> Self {
        Self {
            kind: "redacted_thinking".into(),
            index: None,
            thinking: None,
            signature: None,
            data: Some(data.into()),
            extra: Extra::default(),
        }
    }
}

//! The chat-completions surface: what a caller asks and what a model answers, in OpenAI's shape.
//!
//! Typed where a layer looks, lossless elsewhere: every object keeps the members it does not know in `extra`.

mod assemble;
mod chunk;
mod content;
mod message;
mod plain;
mod request;
mod response;
mod tool;

pub use self::assemble::{Assembler, replay};
pub use self::chunk::{ChatChunk, ChunkChoice, Delta, FunctionDelta, ToolCallDelta};
pub use self::content::{AudioPart, Content, FilePart, ImagePart, ImageUrl, Part, RefusalPart, TextPart};
pub use self::message::{Message, Role, ThinkingBlock};
pub use self::plain::{PlainAnswer, PlainSeries, PlainText};
pub use self::request::{ChatRequest, JsonSchema, ResponseFormat, Stop, StreamOptions};
pub use self::response::{
    Answer, ChatResponse, Choice, CompletionDetails, FinishReason, PromptDetails, TokenUsage,
};
pub use self::tool::{FunctionCall, FunctionDef, Tool, ToolCall, ToolChoice};

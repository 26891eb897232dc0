//! What Ollama answers, as far as it is read: the whole answer, and each line of a stream. Every member may
//! be missing.

use mainstay_provider_core::{FinishReason, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::translate::tokens;

#[derive(Deserialize)]
pub(super) struct Line {
    pub(super) model: Option<String>,
    pub(super) created_at: Option<String>,
    pub(super) message: Option<Message>,
    /// The text of an answer to `/api/generate`, whose lines are the same otherwise.
    pub(super) response: Option<String>,
    pub(super) done: Option<bool>,
    pub(super) done_reason: Option<String>,
    pub(super) logprobs: Option<Vec<Value>>,
    /// Instead of all others: what went wrong.
    pub(super) error: Option<Value>,
    prompt_eval_count: Option<Value>,
    eval_count: Option<Value>,
    total_duration: Option<Value>,
    load_duration: Option<Value>,
    prompt_eval_duration: Option<Value>,
    eval_duration: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct Message {
    pub(super) content: Option<String>,
    pub(super) thinking: Option<String>,
    pub(super) tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
pub(super) struct ToolCall {
    /// Not from older servers.
    pub(super) id: Option<String>,
    pub(super) function: Option<Function>,
}

#[derive(Deserialize)]
pub(super) struct Function {
    pub(super) name: Option<String>,
    /// As text, so that the arguments keep the order in which the model wrote them.
    pub(super) arguments: Option<Box<RawValue>>,
}

impl Line {
    /// Tokens used, if the line tells. A prompt that the server had in its cache is not counted by older ones.
    pub(super) fn usage(&self) -> Option<Usage> {
        if self.prompt_eval_count.is_none() && self.eval_count.is_none() {
            return None;
        }
        Some(Usage::new(tokens(self.prompt_eval_count.as_ref()), tokens(self.eval_count.as_ref())))
    }

    /// Why it ended. Ollama says `stop` for tool calls too, so whether there were any decides.
    pub(super) fn finish_reason(&self, called_tools: bool) -> FinishReason {
        match self.done_reason.as_deref() {
            None | Some("" | "stop") if called_tools => FinishReason::ToolCalls,
            // The server says these when it was only to load a model into memory or out of it.
            None | Some("" | "stop" | "load" | "unload") => FinishReason::Stop,
            Some(reason) => reason.into(),
        }
    }

    /// How long what took, in nanoseconds, under Ollama's own names.
    pub(super) fn durations(&mut self) -> Map<String, Value> {
        let durations = [
            ("total_duration", self.total_duration.take()),
            ("load_duration", self.load_duration.take()),
            ("prompt_eval_duration", self.prompt_eval_duration.take()),
            ("eval_duration", self.eval_duration.take()),
        ];
        durations.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

//! Streamed answers.

use mainstay_provider_core::chat::{Delta, FunctionDelta, Role, TokenUsage, ToolCallDelta};
use mainstay_provider_core::{ChatChunk, Error, FinishReason};
use serde_json::{Value, json};

use super::wire::{Event, Message, Spent, ToolCall, finish_reason};
use super::{PROVIDER, citations, wire};
use crate::dialect::{Chunks, Flow, ReadStream};
use crate::failure;
use crate::framing::Frame;
use crate::translate::{new_tool_call_id, read_json};

/// Reads the events of one answer.
pub(super) struct Reader {
    id: String,
    model: String,
    started: bool,
    /// The plan comes in pieces that have no place in a chunk: it is said whole, before the first call.
    plan: String,
    /// The calls begun so far: the index that Cohere gave, and whether arguments came.
    calls: Vec<Call>,
    /// How many characters each block of text has so far: citations count from their block's beginning.
    blocks: Vec<(u32, u64)>,
}

struct Call {
    cohere_index: u32,
    has_arguments: bool,
}

impl Reader {
    pub(super) fn new(model: &str) -> Self {
        Self {
            id: String::new(),
            model: model.to_owned(),
            started: false,
            plan: String::new(),
            calls: Vec::new(),
            blocks: Vec::new(),
        }
    }

    fn chunk(&self) -> ChatChunk {
        ChatChunk::empty(self.id.as_str(), self.model.as_str())
    }

    fn push(&mut self, mut delta: Delta, finish: Option<FinishReason>, out: &mut Chunks) {
        if !std::mem::replace(&mut self.started, true) {
            delta.role = Some(Role::Assistant);
        }
        out.push_back(self.chunk().with_delta(delta, finish).into());
    }

    fn event(&mut self, event: Event, kind: &str, out: &mut Chunks) -> Result<(), Error> {
        let index = event.index.unwrap_or(0);
        let (message, end) = match event.delta {
            Some(delta) => (delta.message, Some((delta.finish_reason, delta.usage, delta.error))),
            None => (None, None),
        };
        match (kind, message) {
            ("message-start", message) => {
                self.id = event.id.unwrap_or_default();
                self.push(Delta::default(), None, out);
                if let Some(message) = message {
                    self.content(index, message, None, out);
                }
            }
            ("content-start" | "content-delta", Some(message)) => {
                self.content(index, message, event.logprobs, out)
            }
            ("tool-plan-delta", Some(message)) => self.plan.push_str(&message.tool_plan.unwrap_or_default()),
            ("tool-call-start", Some(message)) => {
                message.tool_calls.into_iter().for_each(|call| self.begin_call(index, call, out));
            }
            ("tool-call-delta", Some(message)) => {
                message.tool_calls.into_iter().for_each(|call| self.continue_call(index, call, out));
            }
            ("tool-call-end", _) => self.end_call(index, out),
            ("citation-start", Some(message)) => self.cite(index, &message.citations, out),
            ("message-end", _) => {
                let (reason, usage, error) = end.unwrap_or_default();
                return self.finish(reason, usage, error, out);
            }
            // content-end, citation-end, debug, and what Cohere may add.
            _ => {}
        }
        Ok(())
    }

    fn content(&mut self, index: u32, message: Message, logprob: Option<wire::Logprob>, out: &mut Chunks) {
        let mut delta = Delta::default();
        for block in message.content {
            if let Some(text) = block.text.filter(|text| !text.is_empty()) {
                self.count(index, &text);
                delta.content.get_or_insert_default().push_str(&text);
            }
            if let Some(thought) = block.thinking.filter(|thought| !thought.is_empty()) {
                delta.reasoning_content.get_or_insert_default().push_str(&thought);
            }
        }
        if !delta.has_content() {
            return;
        }
        self.push(delta, None, out);
        if let (Some(logprob), Some(chunk)) = (logprob, out.back_mut()) {
            chunk.choices.iter_mut().for_each(|choice| {
                choice.logprobs = Some(json!({ "content": [logprob.entry()] }));
            });
        }
    }

    fn count(&mut self, index: u32, text: &str) {
        let characters = text.chars().count() as u64;
        match self.blocks.iter_mut().find(|(block, _)| *block == index) {
            Some((_, count)) => *count += characters,
            None => self.blocks.push((index, characters)),
        }
    }

    fn begin_call(&mut self, cohere_index: u32, call: ToolCall, out: &mut Chunks) {
        let mut delta = Delta::default();
        self.say_plan(&mut delta);
        let (name, arguments) =
            call.function.map_or((None, None), |function| (function.name, function.arguments));
        let arguments = arguments.unwrap_or_default();
        delta.tool_calls.push(ToolCallDelta {
            index: self.next_call(),
            id: Some(call.id.filter(|id| !id.is_empty()).unwrap_or_else(new_tool_call_id)),
            kind: Some("function".into()),
            function: Some(FunctionDelta {
                name: Some(name.unwrap_or_default()),
                arguments: Some(arguments.clone()),
                ..FunctionDelta::default()
            }),
            ..ToolCallDelta::default()
        });
        self.calls.push(Call { cohere_index, has_arguments: !arguments.is_empty() });
        self.push(delta, None, out);
    }

    fn continue_call(&mut self, cohere_index: u32, call: ToolCall, out: &mut Chunks) {
        let arguments = call.function.and_then(|function| function.arguments).unwrap_or_default();
        if let Some(at) = self.find_call(cohere_index).filter(|_| !arguments.is_empty()) {
            self.calls[at].has_arguments = true;
            self.arguments(at, arguments, out);
        }
    }

    /// A call without arguments got no piece of them; OpenAI's clients parse what they get.
    fn end_call(&mut self, cohere_index: u32, out: &mut Chunks) {
        if let Some(at) = self.find_call(cohere_index).filter(|at| !self.calls[*at].has_arguments) {
            self.calls[at].has_arguments = true;
            self.arguments(at, "{}".into(), out);
        }
    }

    fn arguments(&mut self, at: usize, arguments: String, out: &mut Chunks) {
        let piece = ToolCallDelta {
            index: u32::try_from(at).unwrap_or(u32::MAX),
            function: Some(FunctionDelta { arguments: Some(arguments), ..FunctionDelta::default() }),
            ..ToolCallDelta::default()
        };
        self.push(Delta { tool_calls: vec![piece], ..Delta::default() }, None, out);
    }

    fn next_call(&self) -> u32 {
        u32::try_from(self.calls.len()).unwrap_or(u32::MAX)
    }

    fn find_call(&self, cohere_index: u32) -> Option<usize> {
        self.calls.iter().rposition(|call| call.cohere_index == cohere_index)
    }

    fn say_plan(&mut self, delta: &mut Delta) {
        if !self.plan.is_empty() {
            delta.extra.insert("tool_plan", std::mem::take(&mut self.plan));
        }
    }

    fn cite(&mut self, index: u32, cited: &[Value], out: &mut Chunks) {
        let mut delta = Delta::default();
        for citation in cited {
            let block = citation["content_index"].as_u64();
            let block =
                block.map_or_else(|| self.last_block(index), |block| u32::try_from(block).unwrap_or(0));
            let before = self.blocks.iter().filter(|(other, _)| *other < block).map(|(_, count)| count).sum();
            delta.annotations.extend(citations::annotations(citation, before));
        }
        if delta.has_content() {
            self.push(delta, None, out);
        }
    }

    /// The event's index counts citations, so without an index of its own a citation is of the text that is
    /// being written.
    fn last_block(&self, default: u32) -> u32 {
        self.blocks.last().map_or(default, |(block, _)| *block)
    }

    fn finish(
        &mut self,
        reason: Option<String>,
        usage: Option<Spent>,
        error: Option<String>,
        out: &mut Chunks,
    ) -> Result<(), Error> {
        let reason = match (reason.as_deref(), &error) {
            (None, Some(_)) => Some(finish_reason("ERROR", error.as_deref())?),
            (None, None) => None,
            (Some(reason), error) => Some(finish_reason(reason, error.as_deref())?),
        };
        let mut delta = Delta::default();
        self.say_plan(&mut delta);
        self.push(delta, reason, out);
        if let Some(usage) = usage.map(Spent::usage) {
            self.push_usage(usage, out);
        }
        Ok(())
    }

    fn push_usage(&self, usage: TokenUsage, out: &mut Chunks) {
        let mut last = self.chunk();
        last.usage = Some(usage);
        out.push_back(last.into());
    }
}

impl ReadStream for Reader {
    fn read(&mut self, frame: Frame, out: &mut Chunks) -> Result<Flow, Error> {
        if frame.data == "[DONE]" {
            return Ok(Flow::Done);
        }
        let event: Event = match read_json(&frame.data) {
            Ok(event) => event,
            // An event of a kind that Cohere adds one day may have any shape.
            Err(error) => {
                let value: Value = serde_json::from_slice(&frame.data).map_err(|_| error.clone())?;
                let known = value["type"].as_str().is_some_and(|kind| KINDS.contains(&kind));
                return if known { Err(error) } else { self.foreign(&value, &frame) };
            }
        };
        match event.kind.clone().as_deref() {
            Some(kind) => self.event(event, kind, out).map(|()| Flow::More),
            None => self.foreign(&read_json(&frame.data)?, &frame),
        }
    }
}

/// The events that are read: their shape matters.
const KINDS: [&str; 9] = [
    "message-start",
    "content-start",
    "content-delta",
    "tool-plan-delta",
    "tool-call-start",
    "tool-call-delta",
    "tool-call-end",
    "citation-start",
    "message-end",
];

impl Reader {
    /// An event without a known type: an error's body, or something new that is passed over.
    fn foreign(&self, value: &Value, frame: &Frame) -> Result<Flow, Error> {
        if value["message"].is_string() || value.get("error").is_some() || frame.event() == "error" {
            return Err(failure::classify_in_stream(PROVIDER, frame));
        }
        Ok(Flow::More)
    }
}

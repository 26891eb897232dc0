//! Reads answers: the lines of a stream, or the one line that a whole answer is.

use mainstay_provider_core::chat::{Assembler, Delta, FunctionDelta, Role, ToolCallDelta};
use mainstay_provider_core::{ChatChunk, ChatResponse, Error, Wire};
use serde_json::json;

use super::PROVIDER;
use super::wire::{Line, ToolCall};
use crate::dialect::{Chunks, Flow, ReadStream};
use crate::failure;
use crate::framing::Frame;
use crate::translate::{malformed, new_tool_call_id, read_json};

/// Reads the lines of one answer.
pub(super) struct Reader {
    model: String,
    created: u64,
    started: bool,
    calls: u32,
}

impl Reader {
    pub(super) fn new(model: &str) -> Self {
        Self { model: model.to_owned(), created: 0, started: false, calls: 0 }
    }

    fn line(&mut self, mut line: Line, out: &mut Chunks) -> Flow {
        if let Some(model) = line.model.take() {
            self.model = model;
        }
        if self.created == 0 {
            self.created = line.created_at.as_deref().and_then(unix_seconds).unwrap_or(0);
        }
        let done = line.done == Some(true);
        let mut delta = self.delta(&mut line);
        let logprobs = line.logprobs.take().map(|tokens| json!({ "content": tokens }));
        if !std::mem::replace(&mut self.started, true) {
            delta.role = Some(Role::Assistant);
        }
        let finish = done.then(|| line.finish_reason(self.calls > 0));
        let mut chunk = self.chunk().with_delta(delta, finish);
        chunk.choices.iter_mut().for_each(|choice| choice.logprobs = logprobs.clone());
        out.push_back(chunk.into());
        if !done {
            return Flow::More;
        }
        let mut last = self.chunk();
        last.usage = line.usage().map(Into::into);
        last.extra = line.durations().into();
        if last.usage.is_some() || !last.extra.is_empty() {
            out.push_back(last.into());
        }
        Flow::Done
    }

    fn delta(&mut self, line: &mut Line) -> Delta {
        let mut delta = Delta::default();
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        delta.content = filled(line.response.take());
        if let Some(message) = line.message.take() {
            delta.content = filled(message.content).or(delta.content);
            delta.reasoning_content = filled(message.thinking);
            delta.tool_calls =
                message.tool_calls.into_iter().flatten().map(|call| self.tool_call(call)).collect();
        }
        delta
    }

    /// Calls come whole; their own numbers may begin anew in each line.
    fn tool_call(&mut self, call: ToolCall) -> ToolCallDelta {
        let (name, arguments) =
            call.function.map_or((None, None), |function| (function.name, function.arguments));
        let arguments = match arguments.as_deref().map_or("{}", |arguments| arguments.get()) {
            "null" | "\"\"" => "{}",
            arguments => arguments,
        };
        let index = self.calls;
        self.calls += 1;
        ToolCallDelta {
            index,
            id: Some(call.id.filter(|id| !id.is_empty()).unwrap_or_else(new_tool_call_id)),
            kind: Some("function".into()),
            function: Some(FunctionDelta {
                name: Some(name.unwrap_or_default()),
                arguments: Some(arguments.to_owned()),
                ..FunctionDelta::default()
            }),
            ..ToolCallDelta::default()
        }
    }

    fn chunk(&self) -> ChatChunk {
        ChatChunk { created: self.created, ..ChatChunk::empty("", self.model.as_str()) }
    }
}

impl ReadStream for Reader {
    fn read(&mut self, frame: Frame, out: &mut Chunks) -> Result<Flow, Error> {
        let line: Line = read_json(&frame.data)?;
        if line.error.is_some() {
            return Err(failure::classify_in_stream(PROVIDER, &frame));
        }
        Ok(self.line(line, out))
    }
}

/// Reads a whole answer, which is one line; a server that streams all the same sends several.
pub(super) fn decode(body: &[u8], model: &str) -> Result<Wire<ChatResponse>, Error> {
    let mut reader = Reader::new(model);
    let mut chunks = Chunks::new();
    let mut done = false;
    for line in serde_json::Deserializer::from_slice(body).into_iter::<Line>() {
        let line = line
            .map_err(|error| malformed("the provider's answer has an unexpected shape").with_source(error))?;
        if line.error.is_some() {
            return Err(failure::classify_in_answer(PROVIDER, last_line(body)));
        }
        done = reader.line(line, &mut chunks) == Flow::Done;
    }
    if !done {
        return Err(malformed("the provider's answer broke off before its end"));
    }
    let mut whole = Assembler::default();
    chunks.iter().for_each(|chunk| whole.push(chunk));
    Ok(whole.finish().into())
}

fn last_line(body: &[u8]) -> &[u8] {
    let body = body.trim_ascii_end();
    body.rsplit(|byte| *byte == b'\n').next().unwrap_or(body)
}

fn unix_seconds(time: &str) -> Option<u64> {
    u64::try_from(time.parse::<jiff::Timestamp>().ok()?.as_second()).ok()
}

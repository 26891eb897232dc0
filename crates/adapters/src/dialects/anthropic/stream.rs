//! A streamed answer.

use mainstay_provider_core::chat::{
    ChatChunk, ChunkChoice, Delta, FunctionDelta, Role, ThinkingBlock, ToolCallDelta,
};
use mainstay_provider_core::{Error, Extra};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::PROVIDER;
use super::blocks::{self, Stop};
use super::response::put_caller;
use crate::dialect::{Chunks, Flow, ReadStream};
use crate::failure;
use crate::framing::Frame;
use crate::translate::{malformed, read_json};

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    index: u32,
    message: Option<Start>,
    content_block: Option<Map<String, Value>>,
    delta: Option<Piece>,
    usage: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Start {
    id: Option<String>,
    model: Option<String>,
    usage: Option<Map<String, Value>>,
}

/// The delta of a block, or of the message.
#[derive(Deserialize, Default)]
struct Piece {
    text: Option<String>,
    partial_json: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    citation: Option<Value>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    stop_details: Option<Value>,
    container: Option<Value>,
}

/// A block that is not complete yet.
struct Open {
    index: u32,
    kind: Kind,
    /// The block as it began.
    block: Map<String, Value>,
    /// Its text, thinking or input as far as it came.
    text: String,
    signature: String,
    citations: Vec<Value>,
    /// Where in the answer it begins, in characters.
    start: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// With its place among the thinking blocks.
    Thinking(u32),
    /// With its place among the calls.
    Call(u32),
    /// Of the provider's own tools.
    Other,
}

/// Reads one streamed answer.
pub(super) struct Reader {
    id: String,
    model: String,
    /// What was said of the usage so far; later figures replace earlier ones.
    usage: Option<Map<String, Value>>,
    open: Vec<Open>,
    complete: Vec<Map<String, Value>>,
    thinking: u32,
    calls: u32,
    /// Characters of text so far.
    length: usize,
    stopped: bool,
}

impl Reader {
    pub(super) fn new(model: &str) -> Self {
        Self {
            id: String::new(),
            model: model.to_owned(),
            usage: None,
            open: Vec::new(),
            complete: Vec::new(),
            thinking: 0,
            calls: 0,
            length: 0,
            stopped: false,
        }
    }
}

impl ReadStream for Reader {
    fn read(&mut self, frame: Frame, out: &mut Chunks) -> Result<Flow, Error> {
        let event: Event = match read_json(&frame.data) {
            Ok(event) => event,
            Err(_) if is_unknown(&frame) => return Ok(Flow::More),
            Err(error) => return Err(error),
        };
        match event.kind.as_str() {
            "message_start" => self.start(event.message, out),
            "content_block_start" => {
                self.open_block(event.index, event.content_block.unwrap_or_default(), out)
            }
            "content_block_delta" => self.read_piece(event.index, event.delta.unwrap_or_default(), out)?,
            "content_block_stop" => self.close_block(event.index, out),
            "message_delta" => {
                self.merge_usage(event.usage);
                self.stop(event.delta.unwrap_or_default(), out);
            }
            "message_stop" => {
                self.end(out)?;
                return Ok(Flow::Done);
            }
            "error" => return Err(failure::classify_in_stream(PROVIDER, &frame)),
            _ => {} // ping, and whatever is added to the API
        }
        Ok(Flow::More)
    }

    fn end(&mut self, out: &mut Chunks) -> Result<(), Error> {
        if self.stopped
            && let Some(counts) = self.usage.take()
        {
            let mut chunk = ChatChunk::empty(self.id.as_str(), self.model.as_str());
            chunk.usage = Some(blocks::usage(&counts));
            out.push_back(chunk.into());
        }
        Ok(())
    }
}

/// Whether an event that cannot be read is none that this reader needs.
fn is_unknown(frame: &Frame) -> bool {
    #[derive(Deserialize)]
    struct Name {
        #[serde(rename = "type")]
        kind: String,
    }
    let known = ["message_", "content_block_", "error"];
    read_json::<Name>(&frame.data).is_ok_and(|name| !known.iter().any(|known| name.kind.starts_with(known)))
}

impl Reader {
    fn push(&self, delta: Delta, out: &mut Chunks) {
        out.push_back(ChatChunk::empty(self.id.as_str(), self.model.as_str()).with_delta(delta, None).into());
    }

    fn start(&mut self, message: Option<Start>, out: &mut Chunks) {
        if let Some(Start { id, model, usage }) = message {
            self.id = id.unwrap_or_default();
            self.model = model.unwrap_or_else(|| std::mem::take(&mut self.model));
            self.merge_usage(usage);
        }
        self.push(Delta { role: Some(Role::Assistant), ..Delta::default() }, out);
    }

    fn merge_usage(&mut self, usage: Option<Map<String, Value>>) {
        let Some(usage) = usage else { return };
        let known = self.usage.get_or_insert_default();
        known.extend(usage.into_iter().filter(|(_, value)| !value.is_null()));
    }

    fn open_block(&mut self, index: u32, mut block: Map<String, Value>, out: &mut Chunks) {
        let kind = match block.get("type").and_then(Value::as_str).unwrap_or_default() {
            "text" => Kind::Text,
            "thinking" | "redacted_thinking" => {
                self.thinking += 1;
                Kind::Thinking(self.thinking - 1)
            }
            "tool_use" => {
                self.calls += 1;
                Kind::Call(self.calls - 1)
            }
            _ => Kind::Other,
        };
        let begun = Piece { text: take(&mut block, "text"), ..Piece::default() };
        let begun = Piece {
            thinking: take(&mut block, "thinking"),
            signature: take(&mut block, "signature"),
            ..begun
        };
        match kind {
            Kind::Call(at) => {
                self.push(Delta { tool_calls: vec![first_piece(at, &block)], ..Delta::default() }, out)
            }
            Kind::Thinking(at) if block.contains_key("data") => {
                let data = block.get("data").and_then(Value::as_str).unwrap_or_default();
                self.push(thinking_delta(ThinkingBlock::redacted(data), at), out);
            }
            _ => {}
        }
        let citations = match block.remove("citations") {
            Some(Value::Array(citations)) => citations,
            _ => Vec::new(),
        };
        let (text, signature) = (String::new(), String::new());
        self.open.push(Open { index, kind, block, text, signature, citations, start: self.length });
        let at = self.open.len() - 1;
        self.add(at, begun, out);
    }

    fn read_piece(&mut self, index: u32, piece: Piece, out: &mut Chunks) -> Result<(), Error> {
        match self.open.iter().rposition(|open| open.index == index) {
            Some(at) => {
                self.add(at, piece, out);
                Ok(())
            }
            None => Err(malformed("the provider's stream continues a block that it did not begin")),
        }
    }

    /// Adds a piece to an open block and hands on what the caller gets of it.
    fn add(&mut self, at: usize, piece: Piece, out: &mut Chunks) {
        let Some(open) = self.open.get_mut(at) else { return };
        open.citations.extend(piece.citation);
        let kind = open.kind;
        if let Some(signature) = piece.signature.filter(|signature| !signature.is_empty()) {
            open.signature.push_str(&signature);
            if let Kind::Thinking(at) = kind {
                let block = ThinkingBlock { thinking: None, ..ThinkingBlock::thinking("", Some(signature)) };
                self.push(thinking_delta(block, at), out);
            }
        }
        let text = piece.text.or(piece.thinking).or(piece.partial_json).filter(|text| !text.is_empty());
        let (Some(text), Some(open)) = (text, self.open.get_mut(at)) else { return };
        open.text.push_str(&text);
        let delta = match kind {
            Kind::Text => {
                self.length += text.chars().count();
                Delta::text(text)
            }
            Kind::Thinking(at) => {
                let block = ThinkingBlock::thinking(text.as_str(), None);
                Delta { reasoning_content: Some(text), ..thinking_delta(block, at) }
            }
            Kind::Call(at) => Delta { tool_calls: vec![arguments_piece(at, text)], ..Delta::default() },
            Kind::Other => return,
        };
        self.push(delta, out);
    }

    fn close_block(&mut self, index: u32, out: &mut Chunks) {
        let Some(at) = self.open.iter().rposition(|open| open.index == index) else { return };
        let mut open = self.open.remove(at);
        if let (Kind::Call(call), true) = (open.kind, open.text.is_empty()) {
            // No piece came: the arguments are those that the block began with, usually none.
            open.text = open.block.get("input").map_or_else(|| "{}".into(), Value::to_string);
            let delta =
                Delta { tool_calls: vec![arguments_piece(call, open.text.clone())], ..Delta::default() };
            self.push(delta, out);
        }
        if !open.citations.is_empty() {
            let (start, end) = (open.start, self.length);
            let cited = std::mem::take(&mut open.citations).into_iter();
            let annotations = cited.map(|citation| blocks::annotation(citation, start, end)).collect();
            self.push(Delta { annotations, ..Delta::default() }, out);
        }
        self.complete.push(open.complete());
    }

    fn stop(&mut self, piece: Piece, out: &mut Chunks) {
        let stop =
            Stop { reason: piece.stop_reason, sequence: piece.stop_sequence, details: piece.stop_details };
        if stop.reason.is_none() || self.stopped {
            return;
        }
        self.stopped = true;
        let mut choice = ChunkChoice {
            index: 0,
            delta: Delta::default(),
            finish_reason: None,
            logprobs: None,
            extra: Extra::default(),
        };
        stop.put_into_chunk(&mut choice);
        let kinds = self.complete.iter().filter_map(|block| block.get("type")?.as_str());
        if blocks::needs_replay(kinds) {
            let (name, blocks) = blocks::replay(self.complete.drain(..).map(blocks::replayable).collect());
            choice.delta.extra.insert(name, blocks);
        }
        let mut chunk = ChatChunk::empty(self.id.as_str(), self.model.as_str());
        chunk.choices.push(choice);
        if let Some(container) = piece.container {
            chunk.extra.insert("container", container);
        }
        out.push_back(chunk.into());
    }
}

impl Open {
    /// The block as a whole answer would hold it.
    fn complete(self) -> Map<String, Value> {
        let mut block = self.block;
        let is = |kind: &str| block.get("type").is_some_and(|own| own == kind);
        match self.kind {
            Kind::Text => drop(block.insert("text".into(), self.text.into())),
            Kind::Thinking(_) if is("redacted_thinking") => {}
            Kind::Thinking(_) => {
                block.insert("thinking".into(), self.text.into());
                block.insert("signature".into(), self.signature.into());
            }
            Kind::Call(_) | Kind::Other => {
                // Text that is no JSON was already handed on as it is; the replay can do without.
                if let Ok(input) = serde_json::from_str::<Value>(&self.text) {
                    block.insert("input".into(), input);
                }
            }
        }
        block
    }
}

fn take(block: &mut Map<String, Value>, name: &str) -> Option<String> {
    match block.get(name) {
        Some(Value::String(_)) => block.remove(name).and_then(|text| text.as_str().map(str::to_owned)),
        _ => None,
    }
}

fn first_piece(index: u32, block: &Map<String, Value>) -> ToolCallDelta {
    let text = |name: &str| Some(block.get(name).and_then(Value::as_str).unwrap_or_default().to_owned());
    let function =
        FunctionDelta { name: text("name"), arguments: Some(String::new()), extra: Extra::default() };
    let mut call = ToolCallDelta {
        index,
        id: text("id"),
        kind: Some("function".into()),
        function: Some(function),
        extra: Extra::default(),
    };
    put_caller(&mut call.extra, block.get("caller").cloned());
    call
}

fn arguments_piece(index: u32, text: String) -> ToolCallDelta {
    let function = FunctionDelta { name: None, arguments: Some(text), extra: Extra::default() };
    ToolCallDelta { index, function: Some(function), ..ToolCallDelta::default() }
}

fn thinking_delta(block: ThinkingBlock, index: u32) -> Delta {
    Delta { thinking_blocks: vec![ThinkingBlock { index: Some(index), ..block }], ..Delta::default() }
}

//! A streamed answer.

use mainstay_provider_core::chat::{ChatChunk, Delta, FunctionDelta, Role, ThinkingBlock, ToolCallDelta};
use mainstay_provider_core::{Error, Extra};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::response::own_figures;
use super::{PROVIDER, blocks};
use crate::dialect::{Chunks, Flow, ReadStream};
use crate::failure;
use crate::framing::Frame;
use crate::translate::{malformed, read_json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(default)]
    content_block_index: u32,
    start: Option<Map<String, Value>>,
    delta: Option<Piece>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct End {
    stop_reason: Option<String>,
    usage: Option<Map<String, Value>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Piece {
    text: Option<String>,
    tool_use: Option<InputPiece>,
    reasoning_content: Option<ReasoningPiece>,
    citation: Option<Value>,
    /// Of a tool that Bedrock runs by itself.
    tool_result: Option<Value>,
}

#[derive(Deserialize)]
struct InputPiece {
    input: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasoningPiece {
    text: Option<String>,
    signature: Option<String>,
    redacted_content: Option<String>,
}

/// A block that is not complete yet.
#[derive(Default)]
struct Open {
    index: u32,
    /// What `contentBlockStart` said; text and reasoning begin without it.
    start: Map<String, Value>,
    /// Its place among the calls, if the caller gets it.
    call: Option<u32>,
    text: String,
    input: String,
    reasoning: Option<OpenReasoning>,
    citations: Vec<Value>,
    results: Vec<Value>,
    /// Where in the answer it begins, in characters.
    begin: usize,
}

#[derive(Default)]
struct OpenReasoning {
    text: String,
    signature: String,
    redacted: String,
}

/// Reads one streamed answer.
pub(super) struct Reader {
    id: String,
    model: String,
    open: Vec<Open>,
    complete: Vec<Value>,
    calls: u32,
    thinking: u32,
    /// Characters of text so far.
    length: usize,
}

impl Reader {
    pub(super) fn new(model: &str) -> Self {
        Self {
            id: blocks::new_id(),
            model: model.to_owned(),
            open: Vec::new(),
            complete: Vec::new(),
            calls: 0,
            thinking: 0,
            length: 0,
        }
    }
}

impl ReadStream for Reader {
    fn read(&mut self, frame: Frame, out: &mut Chunks) -> Result<Flow, Error> {
        if frame.exception {
            return Err(failure::classify_in_stream(PROVIDER, &frame));
        }
        match frame.event() {
            "messageStart" => self.push(Delta { role: Some(Role::Assistant), ..Delta::default() }, out),
            "messageStop" => self.stop(read_json(&frame.data)?, out)?,
            "metadata" => {
                let end: End = read_json(&frame.data)?;
                let mut chunk = self.chunk();
                chunk.usage = end.usage.as_ref().map(blocks::usage);
                chunk.extra = own_figures(end.rest);
                out.push_back(chunk.into());
                return Ok(Flow::Done);
            }
            name if name.starts_with("contentBlock") => {
                self.read_block(name, read_json(&frame.data)?, out)?
            }
            _ => {} // whatever is added to the API
        }
        Ok(Flow::More)
    }
}

impl Reader {
    fn chunk(&self) -> ChatChunk {
        ChatChunk::empty(self.id.as_str(), self.model.as_str())
    }

    fn push(&self, delta: Delta, out: &mut Chunks) {
        out.push_back(self.chunk().with_delta(delta, None).into());
    }

    fn read_block(&mut self, name: &str, event: Event, out: &mut Chunks) -> Result<(), Error> {
        let index = event.content_block_index;
        match name {
            "contentBlockStart" => self.open_block(index, event.start.unwrap_or_default(), out)?,
            "contentBlockDelta" => self.read_piece(index, event.delta.unwrap_or_default(), out),
            "contentBlockStop" => self.close_block(index, out),
            _ => {}
        }
        Ok(())
    }

    fn open_block(&mut self, index: u32, start: Map<String, Value>, out: &mut Chunks) -> Result<(), Error> {
        let mut open = Open { index, begin: self.length, ..Open::default() };
        if let Some(call) = start.get("toolUse").filter(|call| !blocks::is_server_tool(call)) {
            let (Some(id), Some(name)) = (call["toolUseId"].as_str(), call["name"].as_str()) else {
                return Err(malformed("the provider's stream begins a tool call without an id or a name"));
            };
            let function = FunctionDelta {
                name: Some(name.into()),
                arguments: Some(String::new()),
                extra: Extra::default(),
            };
            let call = ToolCallDelta {
                index: self.calls,
                id: Some(id.into()),
                kind: Some("function".into()),
                function: Some(function),
                extra: Extra::default(),
            };
            self.push(Delta { tool_calls: vec![call], ..Delta::default() }, out);
            open.call = Some(self.calls);
            self.calls += 1;
        }
        open.start = start;
        self.open.push(open);
        Ok(())
    }

    fn read_piece(&mut self, index: u32, piece: Piece, out: &mut Chunks) {
        let at = self.open.iter().rposition(|open| open.index == index).unwrap_or_else(|| {
            self.open.push(Open { index, begin: self.length, ..Open::default() });
            self.open.len() - 1
        });
        let open = &mut self.open[at];
        open.citations.extend(piece.citation);
        if let Some(Value::Array(results)) = piece.tool_result {
            open.results.extend(results);
        }
        if let Some(text) = piece.text.filter(|text| !text.is_empty()) {
            open.text.push_str(&text);
            self.length += text.chars().count();
            self.push(Delta::text(text), out);
        } else if let Some(input) =
            piece.tool_use.and_then(|piece| piece.input).filter(|input| !input.is_empty())
        {
            open.input.push_str(&input);
            if let Some(call) = open.call {
                self.push(arguments_delta(call, input), out);
            }
        } else if let Some(piece) = piece.reasoning_content {
            self.read_reasoning(at, piece, out);
        }
    }

    /// Reasoning is text; what is signed or encrypted comes back as a block as well, in one piece when its signature is
    /// there: most models on Bedrock sign nothing.
    fn read_reasoning(&mut self, at: usize, piece: ReasoningPiece, out: &mut Chunks) {
        let reasoning = self.open[at].reasoning.get_or_insert_default();
        if let Some(data) = piece.redacted_content {
            reasoning.redacted.push_str(&data);
        }
        if let Some(signature) = piece.signature {
            reasoning.signature.push_str(&signature);
        }
        if let Some(text) = piece.text.filter(|text| !text.is_empty()) {
            reasoning.text.push_str(&text);
            self.push(Delta { reasoning_content: Some(text), ..Delta::default() }, out);
        }
    }

    fn close_block(&mut self, index: u32, out: &mut Chunks) {
        let Some(at) = self.open.iter().rposition(|open| open.index == index) else { return };
        let mut open = self.open.remove(at);
        if let (Some(call), true) = (open.call, open.input.is_empty()) {
            open.input = "{}".into(); // no piece came: a call without arguments
            self.push(arguments_delta(call, open.input.clone()), out);
        }
        if let Some(reasoning) = &open.reasoning {
            let signed = reasoning.blocks().map(|block| {
                self.thinking += 1;
                ThinkingBlock { index: Some(self.thinking - 1), ..block }
            });
            let thinking_blocks: Vec<_> = signed.collect();
            if !thinking_blocks.is_empty() {
                self.push(Delta { thinking_blocks, ..Delta::default() }, out);
            }
        }
        if !open.citations.is_empty() {
            let cited = open.citations.iter().cloned();
            let annotations =
                cited.map(|citation| blocks::annotation(citation, open.begin, self.length)).collect();
            self.push(Delta { annotations, ..Delta::default() }, out);
        }
        self.complete.extend(open.complete());
    }

    fn stop(&mut self, event: End, out: &mut Chunks) -> Result<(), Error> {
        let reason = event.stop_reason.as_deref().map(blocks::finish_reason).transpose()?;
        // A model that leaves out `contentBlockStop` loses nothing.
        for index in self.open.iter().map(|open| open.index).collect::<Vec<_>>() {
            self.close_block(index, out);
        }
        let mut delta = Delta::default();
        if let Some((name, blocks)) = blocks::replay(std::mem::take(&mut self.complete)) {
            delta.extra.insert(name, blocks);
        }
        let mut chunk = self.chunk().with_delta(delta, reason);
        chunk.extra = own_figures(event.rest);
        out.push_back(chunk.into());
        Ok(())
    }
}

impl OpenReasoning {
    /// What is signed or encrypted of it.
    fn blocks(&self) -> impl Iterator<Item = ThinkingBlock> {
        let signed = (!self.signature.is_empty())
            .then(|| ThinkingBlock::thinking(self.text.as_str(), Some(self.signature.clone())));
        let redacted = (!self.redacted.is_empty()).then(|| ThinkingBlock::redacted(self.redacted.as_str()));
        signed.into_iter().chain(redacted)
    }

    fn complete(self) -> Value {
        if !self.redacted.is_empty() {
            return json!({"redactedContent": self.redacted});
        }
        let mut text = Map::from_iter([("text".into(), self.text.into())]);
        if !self.signature.is_empty() {
            text.insert("signature".into(), self.signature.into());
        }
        json!({"reasoningText": text})
    }
}

impl Open {
    /// The block as a whole answer would hold it.
    fn complete(self) -> Option<Value> {
        let mut block = self.start;
        if let Some(Value::Object(call)) = block.get_mut("toolUse") {
            // Text that is no JSON was already handed on as it is; the replay can do without.
            call.insert("input".into(), serde_json::from_str(&self.input).unwrap_or_else(|_| json!({})));
        } else if let Some(Value::Object(result)) = block.get_mut("toolResult") {
            result.insert("content".into(), self.results.into());
        } else if let Some(reasoning) = self.reasoning {
            block.insert("reasoningContent".into(), reasoning.complete());
        } else if !self.text.is_empty() {
            block.insert("text".into(), self.text.into());
        }
        (!block.is_empty()).then_some(Value::Object(block))
    }
}

fn arguments_delta(index: u32, text: String) -> Delta {
    let function = FunctionDelta { name: None, arguments: Some(text), extra: Extra::default() };
    let call = ToolCallDelta { index, function: Some(function), ..ToolCallDelta::default() };
    Delta { tool_calls: vec![call], ..Delta::default() }
}

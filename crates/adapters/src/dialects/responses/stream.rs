//! Streamed answers.

use std::collections::BTreeMap;

use mainstay_provider_core::chat::{Delta, FunctionDelta, Role, ThinkingBlock, ToolCallDelta};
use mainstay_provider_core::{ChatChunk, Error, Extra};
use serde_json::{Value, json};

use super::items::{self, OUTPUT_ITEMS, list, text};
use crate::dialect::{Chunks, Flow, ReadStream};
use crate::failure;
use crate::framing::Frame;
use crate::translate::{malformed, new_tool_call_id, tokens};

/// Reads the events of one stream.
pub(super) struct Reader {
    provider: String,
    id: String,
    model: String,
    created: u64,
    begun: bool,
    calls: u32,
    /// The items so far by their place in the answer.
    items: BTreeMap<u64, Item>,
}

/// What was told of one item.
#[derive(Default)]
struct Item {
    /// The number of its tool call.
    call: u32,
    /// Whether any of its text, arguments or reasoning came in pieces; what did not is told at its end.
    told: bool,
    /// Which texts of a reasoning item are told: the summary or the reasoning itself, whichever comes first.
    shown: Option<Shown>,
    /// The paragraph of it that is being told.
    paragraph: u64,
    annotations: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Shown {
    Summary,
    Itself,
}

impl ReadStream for Reader {
    fn read(&mut self, frame: Frame, out: &mut Chunks) -> Result<Flow, Error> {
        if frame.data.trim_ascii() == b"[DONE]" {
            return Ok(Flow::Done);
        }
        let event: Value = match serde_json::from_slice(&frame.data) {
            Ok(event) => event,
            Err(_) if frame.event() == "error" => {
                return Err(failure::classify_in_stream(&self.provider, &frame));
            }
            Err(error) => {
                return Err(malformed("an event of the provider's stream cannot be read").with_source(error));
            }
        };
        let kind = match text(&event, "type") {
            "" => frame.event(),
            kind => kind,
        };
        let holds_error = event.get("error").is_some_and(|error| !error.is_null());
        if matches!(kind, "error" | "response.failed") || holds_error {
            return Err(failure::classify_in_stream(&self.provider, &frame));
        }
        Ok(self.event(kind, &event, out))
    }
}

impl Reader {
    pub(super) fn new(provider: &str, model: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            id: String::new(),
            model: model.to_owned(),
            created: 0,
            begun: false,
            calls: 0,
            items: BTreeMap::new(),
        }
    }

    fn event(&mut self, kind: &str, event: &Value, out: &mut Chunks) -> Flow {
        let at = tokens(event.get("output_index"));
        let piece = text(event, "delta");
        match kind {
            "response.created" | "response.in_progress" | "response.queued" => self.head(&event["response"]),
            "response.output_item.added" => self.added(at, &event["item"], out),
            "response.output_item.done" => self.done(at, &event["item"], out),
            "response.output_text.delta" => self.said(at, event, Delta::text(piece), out),
            "response.refusal.delta" => {
                self.said(at, event, Delta { refusal: Some(piece.to_owned()), ..Delta::default() }, out);
            }
            "response.output_text.annotation.added" => {
                self.items.entry(at).or_default().annotations += 1;
                let annotations = vec![items::annotation(&event["annotation"])];
                self.push(Delta { annotations, ..Delta::default() }, out);
            }
            "response.reasoning_summary_text.delta" => {
                self.reasoned(at, Shown::Summary, tokens(event.get("summary_index")), piece, out);
            }
            "response.reasoning_text.delta" | "response.reasoning.delta" => {
                self.reasoned(at, Shown::Itself, tokens(event.get("content_index")), piece, out);
            }
            "response.function_call_arguments.delta" => self.arguments(at, piece, out),
            "response.completed" | "response.incomplete" => {
                self.end_of(&event["response"], out);
                return Flow::Done;
            }
            _ => {}
        }
        Flow::More
    }

    fn head(&mut self, response: &Value) {
        for (known, name) in [(&mut self.id, "id"), (&mut self.model, "model")] {
            let told = text(response, name);
            if !told.is_empty() {
                told.clone_into(known);
            }
        }
        self.created = tokens(response.get("created_at")).max(self.created);
    }

    fn push(&mut self, mut delta: Delta, out: &mut Chunks) {
        if !std::mem::replace(&mut self.begun, true) {
            delta.role = Some(Role::Assistant);
        }
        out.push_back(self.chunk().with_delta(delta, None).into());
    }

    fn chunk(&self) -> ChatChunk {
        ChatChunk { created: self.created, ..ChatChunk::empty(self.id.as_str(), self.model.as_str()) }
    }

    fn said(&mut self, at: u64, event: &Value, delta: Delta, out: &mut Chunks) {
        self.items.entry(at).or_default().told = true;
        let probabilities = list(event, "logprobs");
        self.push(delta, out);
        if !probabilities.is_empty()
            && let Some(chunk) = out.back_mut()
            && let Some(choice) = chunk.choices.first_mut()
        {
            choice.logprobs = Some(json!({"content": probabilities}));
        }
    }

    fn added(&mut self, at: u64, item: &Value, out: &mut Chunks) {
        let mut known = Item::default();
        if text(item, "type") == "function_call" {
            known.call = self.begin_call(item, out);
        }
        self.items.insert(at, known);
    }

    /// The id and name of a call; its arguments follow.
    fn begin_call(&mut self, item: &Value, out: &mut Chunks) -> u32 {
        let index = self.calls;
        self.calls += 1;
        let id = match text(item, "call_id") {
            "" => new_tool_call_id(),
            id => id.to_owned(),
        };
        let function = FunctionDelta {
            name: Some(text(item, "name").to_owned()),
            arguments: Some(String::new()),
            extra: Extra::default(),
        };
        self.push_call(
            ToolCallDelta {
                index,
                id: Some(id),
                kind: Some("function".into()),
                function: Some(function),
                extra: Extra::default(),
            },
            out,
        );
        index
    }

    fn push_call(&mut self, call: ToolCallDelta, out: &mut Chunks) {
        self.push(Delta { tool_calls: vec![call], ..Delta::default() }, out);
    }

    fn arguments(&mut self, at: u64, piece: &str, out: &mut Chunks) {
        let item = self.items.entry(at).or_default();
        item.told = true;
        let index = item.call;
        let function = FunctionDelta { arguments: Some(piece.to_owned()), ..FunctionDelta::default() };
        self.push_call(ToolCallDelta { index, function: Some(function), ..ToolCallDelta::default() }, out);
    }

    fn reasoned(&mut self, at: u64, shown: Shown, paragraph: u64, piece: &str, out: &mut Chunks) {
        let first = self.items.range(..at).all(|(_, item)| item.shown.is_none());
        let item = self.items.entry(at).or_default();
        if *item.shown.get_or_insert(shown) != shown {
            return;
        }
        let new_paragraph = std::mem::replace(&mut item.paragraph, paragraph) != paragraph;
        let new_item = !std::mem::replace(&mut item.told, true);
        let gap = if new_paragraph { "\n\n" } else { "" };
        let block = ThinkingBlock {
            index: Some(index(at)),
            ..ThinkingBlock::thinking(format!("{gap}{piece}"), None)
        };
        let gap = if new_paragraph || (new_item && !first) { "\n\n" } else { "" };
        let delta = Delta {
            reasoning_content: Some(format!("{gap}{piece}")),
            thinking_blocks: vec![block],
            ..Delta::default()
        };
        self.push(delta, out);
    }

    /// The end of an item: what came with it alone.
    fn done(&mut self, at: u64, item: &Value, out: &mut Chunks) {
        if !self.items.contains_key(&at) {
            self.added(at, item, out);
        }
        let told = self.items.get(&at).is_some_and(|item| item.told);
        match text(item, "type") {
            "reasoning" => self.end_of_reasoning(at, item, told, out),
            "message" => self.end_of_message(at, item, told, out),
            "function_call" if !told => self.arguments(at, text(item, "arguments"), out),
            "custom_tool_call" => {
                if let Some(call) = items::tool_call(item) {
                    let index = self.calls;
                    self.calls += 1;
                    let delta = ToolCallDelta {
                        index,
                        id: Some(call.id),
                        kind: Some(call.kind),
                        function: None,
                        extra: call.extra,
                    };
                    self.push_call(delta, out);
                }
            }
            _ => {}
        }
    }

    fn end_of_reasoning(&mut self, at: u64, item: &Value, told: bool, out: &mut Chunks) {
        let mut block = ThinkingBlock { index: Some(index(at)), ..items::thinking_block(item) };
        let mut delta = Delta::default();
        if told {
            block.thinking = None;
        } else {
            delta.reasoning_content = block.thinking.clone().filter(|text| !text.is_empty());
        }
        delta.thinking_blocks = vec![block];
        self.push(delta, out);
    }

    fn end_of_message(&mut self, at: u64, item: &Value, told: bool, out: &mut Chunks) {
        let cited = self.items.get(&at).map_or(0, |item| item.annotations);
        let mut delta = Delta::default();
        for part in list(item, "content") {
            delta.annotations.extend(list(part, "annotations").iter().map(items::annotation));
            if !told {
                for (place, name) in [(&mut delta.content, "text"), (&mut delta.refusal, "refusal")] {
                    if !text(part, name).is_empty() {
                        place.get_or_insert_default().push_str(text(part, name));
                    }
                }
            }
        }
        delta.annotations.drain(..cited.min(delta.annotations.len()));
        if delta.has_content() {
            self.push(delta, out);
        }
    }

    fn end_of(&mut self, response: &Value, out: &mut Chunks) {
        self.head(response);
        let output = list(response, "output");
        // A server that sends nothing but the end.
        for (at, item) in (0..).zip(output) {
            if !self.items.contains_key(&at) {
                self.done(at, item, out);
            }
        }
        let mut delta = Delta::default();
        if !self.begun {
            delta.role = Some(Role::Assistant);
        }
        if let Some(items) = items::to_replay(output) {
            delta.extra.insert(OUTPUT_ITEMS, items);
        }
        let reason = items::finish_reason(response, self.calls > 0);
        let mut last = self.chunk().with_delta(delta, Some(reason));
        last.extra = items::about(response);
        out.push_back(last.into());
        if let Some(usage) = response.get("usage").and_then(items::usage) {
            let mut chunk = self.chunk();
            chunk.usage = Some(usage);
            out.push_back(chunk.into());
        }
    }
}

fn index(at: u64) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

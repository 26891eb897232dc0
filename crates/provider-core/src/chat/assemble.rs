//! From pieces to the whole, and back.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::{
    Answer, ChatChunk, ChatResponse, Choice, ChunkChoice, Content, Delta, FunctionCall, FunctionDelta,
    Message, Part, Role, ThinkingBlock, ToolCall, ToolCallDelta,
};
use crate::lossless::Extra;

/// Puts a whole answer together from its chunks.
///
/// Texts and arguments are joined, tool calls and thinking blocks by their index, citations and token probabilities
/// appended; of everything else (usage, finish reason, unknown members) the last word counts, and null is no word.
#[derive(Debug, Clone, Default)]
pub struct Assembler {
    answer: Option<ChatResponse>,
    /// Where each choice of the stream stands in the answer.
    choices: BTreeMap<u32, Place>,
}

/// Where the pieces of one choice go: a stream's indices may have gaps.
#[derive(Debug, Clone, Default)]
struct Place {
    choice: usize,
    tool_calls: BTreeMap<u32, usize>,
    thinking_blocks: BTreeMap<u32, usize>,
}

impl Assembler {
    /// Adds the next chunk.
    pub fn push(&mut self, chunk: &ChatChunk) {
        let answer = self.answer.get_or_insert_with(|| ChatResponse::empty(""));
        for (whole, piece) in [(&mut answer.id, &chunk.id), (&mut answer.model, &chunk.model)] {
            if whole.is_empty() {
                whole.clone_from(piece);
            }
        }
        if answer.created == 0 {
            answer.created = chunk.created;
        }
        if chunk.usage.is_some() {
            answer.usage.clone_from(&chunk.usage);
        }
        merge_extra(&mut answer.extra, &chunk.extra);
        for piece in &chunk.choices {
            let place = self.choices.entry(piece.index).or_insert_with(|| {
                answer.choices.push(Choice::new(piece.index, Message::empty(Role::Assistant), None));
                Place { choice: answer.choices.len() - 1, ..Place::default() }
            });
            push_choice(&mut answer.choices[place.choice], place, piece);
        }
    }

    /// Whether nothing was added yet.
    pub fn is_empty(&self) -> bool {
        self.answer.is_none()
    }

    /// The answer as far as it was added.
    pub fn finish(self) -> ChatResponse {
        let mut answer = self.answer.unwrap_or_else(|| ChatResponse::empty(""));
        answer.choices.sort_by_key(|choice| choice.index);
        for choice in &mut answer.choices {
            // The index orders pieces of a stream; in a whole answer the list does.
            choice.message.thinking_blocks.iter_mut().for_each(|block| block.index = None);
            take_back(&mut choice.message);
        }
        answer
    }
}

fn push_choice(choice: &mut Choice, place: &mut Place, piece: &ChunkChoice) {
    if piece.finished().is_some() {
        choice.finish_reason.clone_from(&piece.finish_reason);
    }
    merge_extra(&mut choice.extra, &piece.extra);
    if let Some(logprobs) = &piece.logprobs {
        merge_logprobs(choice.logprobs.get_or_insert(Value::Null), logprobs);
    }
    push_delta(&mut choice.message, place, &piece.delta);
}

fn push_delta(message: &mut Answer, place: &mut Place, delta: &Delta) {
    if let Some(role) = &delta.role {
        message.role = role.clone();
    }
    if let Some(text) = &delta.content {
        match message.content.get_or_insert_with(|| Content::Text(String::new())) {
            Content::Text(whole) => whole.push_str(text),
            Content::Parts(parts) => parts.push(Part::text(text)),
        }
    }
    append(&mut message.refusal, delta.refusal.as_deref());
    append(&mut message.reasoning_content, delta.reasoning_content.as_deref());
    message.annotations.extend(delta.annotations.iter().cloned());
    merge_delta_extra(&mut message.extra, &delta.extra);
    for piece in &delta.thinking_blocks {
        push_thinking(&mut message.thinking_blocks, &mut place.thinking_blocks, piece);
    }
    for piece in &delta.tool_calls {
        push_tool_call(&mut message.tool_calls, &mut place.tool_calls, piece);
    }
}

fn append(whole: &mut Option<String>, piece: Option<&str>) {
    if let Some(piece) = piece {
        whole.get_or_insert_default().push_str(piece);
    }
}

fn push_thinking(blocks: &mut Vec<ThinkingBlock>, places: &mut BTreeMap<u32, usize>, piece: &ThinkingBlock) {
    match piece.index.and_then(|index| places.get(&index)) {
        Some(at) => {
            let block = &mut blocks[*at];
            append(&mut block.thinking, piece.thinking.as_deref());
            append(&mut block.signature, piece.signature.as_deref());
            append(&mut block.data, piece.data.as_deref());
            merge_extra(&mut block.extra, &piece.extra);
        }
        None => {
            places.extend(piece.index.map(|index| (index, blocks.len())));
            blocks.push(piece.clone());
        }
    }
}

fn push_tool_call(calls: &mut Vec<ToolCall>, places: &mut BTreeMap<u32, usize>, piece: &ToolCallDelta) {
    let at = *places.entry(piece.index).or_insert_with(|| {
        calls.push(ToolCall {
            id: String::new(),
            kind: "function".into(),
            function: None,
            extra: Extra::default(),
        });
        calls.len() - 1
    });
    let call = &mut calls[at];
    if let Some(id) = &piece.id
        && call.id.is_empty()
    {
        call.id.clone_from(id);
    }
    if let Some(kind) = &piece.kind
        && !kind.is_empty()
    {
        call.kind.clone_from(kind);
    }
    merge_extra(&mut call.extra, &piece.extra);
    if let Some(new) = &piece.function {
        let function = call.function.get_or_insert_with(|| FunctionCall {
            name: String::new(),
            arguments: String::new(),
            extra: Extra::default(),
        });
        if let Some(name) = &new.name
            && function.name.is_empty()
        {
            function.name.clone_from(name);
        }
        function.arguments.push_str(new.arguments.as_deref().unwrap_or_default());
        merge_extra(&mut function.extra, &new.extra);
    }
}

fn merge_extra(whole: &mut Extra, piece: &Extra) {
    for (name, value) in piece.iter() {
        match whole.get_mut(name) {
            // Many providers repeat the same members (`system_fingerprint`) in each chunk.
            Some(old) if value.is_null() || old == value => {}
            Some(old) => old.clone_from(value),
            None => {
                whole.insert(name.clone(), value.clone());
            }
        }
    }
}

/// As [`merge_extra`], but what is known to come in pieces is joined: reasoning under the names that some providers
/// give it, spoken answers, and calls in the form that OpenAI had before tools.
fn merge_delta_extra(whole: &mut Extra, piece: &Extra) {
    for (name, new) in piece.iter() {
        match (name.as_str(), whole.get_mut(name), new) {
            (_, None, _) => {
                whole.insert(name.clone(), new.clone());
            }
            (_, Some(_), Value::Null) => {}
            ("reasoning", Some(Value::String(old)), Value::String(new)) => old.push_str(new),
            ("reasoning_details" | "images", Some(Value::Array(old)), Value::Array(new)) => {
                old.extend(new.iter().cloned());
            }
            ("audio" | "function_call", Some(Value::Object(old)), Value::Object(new)) => {
                join_members(old, new, &["data", "transcript", "arguments"]);
            }
            (_, Some(old), new) => old.clone_from(new),
        }
    }
}

fn join_members(whole: &mut Map<String, Value>, piece: &Map<String, Value>, joined: &[&str]) {
    for (name, new) in piece {
        match (whole.get_mut(name), new) {
            (Some(Value::String(old)), Value::String(new)) if joined.contains(&name.as_str()) => {
                old.push_str(new)
            }
            (Some(_), Value::Null) => {}
            _ => {
                whole.insert(name.clone(), new.clone());
            }
        }
    }
}

/// `{"content": […], "refusal": […]}`: the lists are appended.
fn merge_logprobs(whole: &mut Value, piece: &Value) {
    let (Value::Object(whole), Value::Object(piece)) = (&mut *whole, piece) else {
        if !piece.is_null() {
            whole.clone_from(piece);
        }
        return;
    };
    for (name, new) in piece {
        match (whole.get_mut(name), new) {
            (Some(Value::Array(old)), Value::Array(new)) => old.extend(new.iter().cloned()),
            (Some(_), Value::Null) => {}
            _ => {
                whole.insert(name.clone(), new.clone());
            }
        }
    }
}

/// The chunks that a stream of this answer could have had: per choice the role, the message, its end; then the usage.
///
/// An [`Assembler`] makes the same answer of them. Content in parts, which a chunk has no place for, is in `content`
/// as far as it is text and whole in the unknown member `content_parts`.
pub fn replay(answer: ChatResponse) -> Vec<ChatChunk> {
    let ChatResponse { id, object: _, created, model, mut choices, usage, extra } = answer;
    number_apart(&mut choices);
    let chunk = |choices: Vec<ChunkChoice>| ChatChunk {
        created,
        choices,
        extra: extra.clone(),
        ..ChatChunk::empty(id.clone(), model.clone())
    };
    let mut chunks = Vec::with_capacity(choices.len() * 2 + 1);
    for Choice { index, message: Answer(message), finish_reason, logprobs, extra } in choices {
        let piece = ChunkChoice {
            index,
            delta: whole_delta(message),
            finish_reason: None,
            logprobs,
            extra: Extra::default(),
        };
        let end = ChunkChoice { index, delta: Delta::default(), finish_reason, logprobs: None, extra };
        chunks.push(chunk(vec![piece]));
        chunks.push(chunk(vec![end]));
    }
    if usage.is_some() || chunks.is_empty() {
        let mut last = chunk(Vec::new());
        last.usage = usage;
        chunks.push(last);
    }
    chunks
}

/// Some servers give all choices the number 0; in a stream they would run into one.
fn number_apart(choices: &mut [Choice]) {
    let distinct: BTreeSet<u32> = choices.iter().map(|choice| choice.index).collect();
    if distinct.len() < choices.len() {
        choices.iter_mut().zip(0..).for_each(|(choice, index)| choice.index = index);
    }
}

const PARTS: &str = "content_parts";

fn whole_delta(message: Message) -> Delta {
    let Message { role, content, name, tool_calls, tool_call_id, refusal, annotations, .. } = message;
    let mut extra = message.extra;
    for (member, value) in [("name", name), ("tool_call_id", tool_call_id)] {
        if let Some(value) = value {
            extra.insert(member, value);
        }
    }
    let text = content.as_ref().map(|content| content.text().into_owned());
    if let Some(Content::Parts(parts)) = content {
        // Parts are plain data: they always print.
        extra.insert(PARTS, serde_json::to_value(parts).unwrap_or_default());
    }
    let tool_calls = tool_calls.into_iter().zip(0..).map(|(call, index)| ToolCallDelta {
        index,
        id: Some(call.id),
        kind: Some(call.kind),
        function: call.function.map(|function| FunctionDelta {
            name: Some(function.name),
            arguments: Some(function.arguments),
            extra: function.extra,
        }),
        extra: call.extra,
    });
    let thinking_blocks = message.thinking_blocks.into_iter().zip(0..);
    Delta {
        role: Some(role),
        content: text,
        refusal,
        tool_calls: tool_calls.collect(),
        annotations,
        reasoning_content: message.reasoning_content,
        thinking_blocks: thinking_blocks
            .map(|(block, index)| ThinkingBlock { index: Some(index), ..block })
            .collect(),
        extra,
    }
}

/// Puts back what [`whole_delta`] had to put elsewhere.
fn take_back(message: &mut Message) {
    let parts = message.extra.get(PARTS).and_then(|parts| Vec::deserialize(parts).ok());
    if let Some(parts) = parts {
        message.content = Some(Content::Parts(parts));
        message.extra.remove(PARTS);
    }
    for (name, field) in [("name", &mut message.name), ("tool_call_id", &mut message.tool_call_id)] {
        if let Some(Value::String(_)) = message.extra.get(name)
            && let Some(Value::String(text)) = message.extra.remove(name)
        {
            *field = Some(text);
        }
    }
}

//! From pieces to the whole, and back.

use serde_json::Value;

use super::{
    Answer, ChatChunk, ChatResponse, Choice, ChunkChoice, Content, Delta, FunctionCall, FunctionDelta, Message,
    Role, ThinkingBlock, ToolCall, ToolCallDelta,
};
use crate::lossless::Extra;

/// Puts a whole answer together from its chunks.
///
/// Texts and arguments are joined, tool calls and thinking blocks by their index, citations and token probabilities
/// appended; of everything else (usage, finish reason, unknown members) the last word counts.
#[derive(Debug, Clone, Default)]
pub struct Assembler {
    answer: Option<ChatResponse>,
    /// The tool-call index that the stream gave to each call, per choice: they may have gaps.
    tool_indices: Vec<(u32, Vec<u32>)>,
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
            push_choice(answer, &mut self.tool_indices, piece);
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
        }
        answer
    }
}

fn push_choice(answer: &mut ChatResponse, tool_indices: &mut Vec<(u32, Vec<u32>)>, piece: &ChunkChoice) {
    let at = answer.choices.iter().position(|choice| choice.index == piece.index).unwrap_or_else(|| {
        answer.choices.push(Choice::new(piece.index, Message::empty(Role::Assistant), None));
        answer.choices.len() - 1
    });
    let choice = &mut answer.choices[at];
    if piece.finish_reason.is_some() {
        choice.finish_reason.clone_from(&piece.finish_reason);
    }
    merge_extra(&mut choice.extra, &piece.extra);
    if let Some(logprobs) = &piece.logprobs {
        merge_logprobs(choice.logprobs.get_or_insert(Value::Null), logprobs);
    }
    let position = tool_indices.iter().position(|(index, _)| *index == piece.index).unwrap_or_else(|| {
        tool_indices.push((piece.index, Vec::new()));
        tool_indices.len() - 1
    });
    push_delta(&mut choice.message, &mut tool_indices[position].1, &piece.delta);
}

fn push_delta(message: &mut Answer, tool_indices: &mut Vec<u32>, delta: &Delta) {
    if let Some(role) = &delta.role {
        message.role = role.clone();
    }
    if let Some(text) = &delta.content {
        match message.content.get_or_insert_with(|| Content::Text(String::new())) {
            Content::Text(whole) => whole.push_str(text),
            Content::Parts(parts) => parts.push(super::Part::text(text)),
        }
    }
    append(&mut message.refusal, delta.refusal.as_deref());
    append(&mut message.reasoning_content, delta.reasoning_content.as_deref());
    message.annotations.extend(delta.annotations.iter().cloned());
    merge_extra(&mut message.extra, &delta.extra);
    for piece in &delta.thinking_blocks {
        push_thinking(&mut message.thinking_blocks, piece);
    }
    for piece in &delta.tool_calls {
        push_tool_call(&mut message.tool_calls, tool_indices, piece);
    }
}

fn append(whole: &mut Option<String>, piece: Option<&str>) {
    if let Some(piece) = piece {
        whole.get_or_insert_default().push_str(piece);
    }
}

fn push_thinking(blocks: &mut Vec<ThinkingBlock>, piece: &ThinkingBlock) {
    let same = |block: &&mut ThinkingBlock| piece.index.is_some() && block.index == piece.index;
    match blocks.iter_mut().find(same) {
        Some(block) => {
            append(&mut block.thinking, piece.thinking.as_deref());
            append(&mut block.signature, piece.signature.as_deref());
            append(&mut block.data, piece.data.as_deref());
            merge_extra(&mut block.extra, &piece.extra);
        }
        None => blocks.push(piece.clone()),
    }
}

fn push_tool_call(calls: &mut Vec<ToolCall>, indices: &mut Vec<u32>, piece: &ToolCallDelta) {
    let at = indices.iter().position(|index| *index == piece.index).unwrap_or_else(|| {
        indices.push(piece.index);
        calls.push(ToolCall { id: String::new(), kind: "function".into(), function: None, extra: Extra::default() });
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
        // Reasoning under the name that some providers give it is a text in pieces, like `content`.
        if let (Some(Value::String(old)), Value::String(new), "reasoning") = (whole.get(name), value, name.as_str()) {
            let joined = format!("{old}{new}");
            whole.insert(name.clone(), joined);
        } else {
            whole.insert(name.clone(), value.clone());
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
pub fn replay(answer: ChatResponse) -> Vec<ChatChunk> {
    let ChatResponse { id, object: _, created, model, choices, usage, extra } = answer;
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
    if usage.is_some() {
        let mut last = chunk(Vec::new());
        last.usage = usage;
        chunks.push(last);
    }
    chunks
}

fn whole_delta(message: Message) -> Delta {
    let text = message.content.as_ref().map(|content| content.text().into_owned());
    let tool_calls = message.tool_calls.into_iter().zip(0..).map(|(call, index)| ToolCallDelta {
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
    Delta {
        role: Some(message.role),
        content: text,
        refusal: message.refusal,
        tool_calls: tool_calls.collect(),
        annotations: message.annotations,
        reasoning_content: message.reasoning_content,
        thinking_blocks: message
            .thinking_blocks
            .into_iter()
            .zip(0..)
            .map(|(block, index)| ThinkingBlock { index: Some(index), ..block })
            .collect(),
        extra: message.extra,
    }
}

//! The messages: instructions apart, turns merged, tools' calls and results as blocks.

use mainstay_provider_core::Error;
use mainstay_provider_core::chat::{Content, Message, Part, Role, ThinkingBlock, ToolCall};
use serde_json::{Map, Value, json};

use super::blocks::REPLAY;
use super::content;
use super::request::put_extra;
use crate::translate::{arguments, invalid};

/// A conversation as Anthropic wants it.
pub(super) struct Conversation {
    /// The instructions, as text blocks.
    pub(super) system: Vec<Value>,
    /// The turns, as `{role, content}`.
    pub(super) turns: Vec<Value>,
}

/// Turns of one role that follow each other.
struct Turn {
    role: &'static str,
    blocks: Vec<Value>,
}

pub(super) fn conversation(messages: &[Message]) -> Result<Conversation, Error> {
    let mut system = Vec::new();
    let mut turns: Vec<Turn> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let (role, mut blocks) = match &message.role {
            Role::System | Role::Developer => ("system", content::blocks(message.content.as_ref(), at)?),
            Role::User => ("user", content::blocks(message.content.as_ref(), at)?),
            Role::Assistant => ("assistant", assistant(message, at)?),
            Role::Tool => ("user", vec![tool_result(message, at)?]),
            role => return Err(unknown_role(role, at)),
        };
        mark_last(&mut blocks, message);
        if role == "system" && instructs(message, at)? {
            system.append(&mut blocks);
        } else if !blocks.is_empty() {
            push(&mut turns, role, blocks);
        }
    }
    if turns.is_empty() {
        let message =
            "messages needs a message of the user besides instructions; Anthropic refuses a request without";
        return Err(invalid("messages", message));
    }
    Ok(Conversation { system, turns: turns.into_iter().map(Turn::encode).collect() })
}

fn unknown_role(role: &Role, at: usize) -> Error {
    let known = "system, developer, user, assistant or tool";
    let message = format!("messages[{at}].role is {:?}; it must be {known}", role.as_str());
    invalid(format!("messages[{at}].role"), message)
}

/// Whether an instruction can stand at the top of the request: it is all text. Anthropic's own blocks stay in place.
fn instructs(message: &Message, at: usize) -> Result<bool, Error> {
    let Some(Content::Parts(parts)) = &message.content else { return Ok(true) };
    if parts.iter().any(|part| matches!(part, Part::Image(_) | Part::Audio(_) | Part::File(_))) {
        let message =
            format!("messages[{at}]: instructions are text only; put images and files into a user message");
        return Err(invalid(format!("messages[{at}].content"), message));
    }
    Ok(!parts.iter().any(|part| matches!(part, Part::Other(_))))
}

/// A breakpoint of the message as a whole is one at its last block; reasoning cannot be marked.
fn mark_last(blocks: &mut [Value], message: &Message) {
    let Some(mark @ Value::Object(_)) = message.extra.get("cache_control") else { return };
    let is_thinking =
        |block: &Value| matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking"));
    if let Some(Value::Object(last)) = blocks.iter_mut().rfind(|block| !is_thinking(block)) {
        last.insert("cache_control".into(), mark.clone());
    }
}

fn push(turns: &mut Vec<Turn>, role: &'static str, mut blocks: Vec<Value>) {
    match turns.last_mut() {
        Some(turn) if turn.role == role => turn.blocks.append(&mut blocks),
        _ => turns.push(Turn { role, blocks }),
    }
}

impl Turn {
    fn encode(mut self) -> Value {
        let is_result = |block: &Value| block.get("type").is_some_and(|kind| kind == "tool_result");
        if self.role == "user" && !self.blocks.is_sorted_by_key(|block| !is_result(block)) {
            self.blocks.sort_by_key(|block| !is_result(block)); // results must stand first; the sort is stable
        }
        json!({"role": self.role, "content": plain_or_list(self.blocks).unwrap_or_default()})
    }
}

/// A single block that is nothing but text as that text, else the list; `None` when there is none.
pub(super) fn plain_or_list(mut blocks: Vec<Value>) -> Option<Value> {
    let plain =
        |block: &Value| block.as_object().is_some_and(|block| block.len() == 2 && block.contains_key("text"));
    match blocks.as_mut_slice() {
        [] => None,
        [only] if plain(only) => only.get_mut("text").map(Value::take),
        _ => Some(Value::Array(blocks)),
    }
}

fn assistant(message: &Message, at: usize) -> Result<Vec<Value>, Error> {
    if let Some(blocks) = replayed(message) {
        return Ok(blocks);
    }
    // In the order in which the model wrote them: it does not take its tool calls without the thinking before.
    let mut blocks: Vec<Value> = message.thinking_blocks.iter().filter_map(thinking).collect();
    blocks.append(&mut content::blocks(message.content.as_ref(), at)?);
    if let (true, Some(refusal)) = (message.text().is_empty(), &message.refusal) {
        blocks.extend(content::text(refusal));
    }
    for call in &message.tool_calls {
        blocks.push(tool_use(call, at)?);
    }
    Ok(blocks)
}

/// The blocks of the answer that this message once was, if the message still says the same.
fn replayed(message: &Message) -> Option<Vec<Value>> {
    let blocks = message.extra.get(REPLAY[0])?.get(REPLAY[1])?.get(REPLAY[2])?.as_array()?;
    let of = |kind: &'static str, member: &'static str| {
        blocks
            .iter()
            .filter(move |block| block["type"] == kind)
            .filter_map(move |block| block[member].as_str())
    };
    let same_text = of("text", "text").collect::<String>() == message.text();
    let same_calls = of("tool_use", "id").eq(message.tool_calls.iter().map(|call| call.id.as_str()));
    (same_text && same_calls).then(|| blocks.clone())
}

/// Signed and encrypted reasoning goes back unchanged. Anthropic refuses thinking without a signature, which only other
/// providers write.
fn thinking(block: &ThinkingBlock) -> Option<Value> {
    let mut members = Map::new();
    match block.kind.as_str() {
        "redacted_thinking" => {
            members.insert("data".into(), block.data.as_deref()?.into());
        }
        _ => {
            members.insert("signature".into(), block.signature.as_deref()?.into());
            members.insert("thinking".into(), block.thinking.as_deref().unwrap_or_default().into());
        }
    }
    members.insert("type".into(), block.kind.as_str().into());
    put_extra(&mut members, &block.extra);
    Some(Value::Object(members))
}

fn tool_use(call: &ToolCall, at: usize) -> Result<Value, Error> {
    let Some(function) = &call.function else {
        let message = format!("messages[{at}].tool_calls: Anthropic has only calls of functions");
        return Err(invalid(format!("messages[{at}].tool_calls"), message));
    };
    let input = arguments(function)?;
    if !input.is_object() {
        let message = format!("messages[{at}]: the arguments of \"{}\" must be a JSON object", function.name);
        return Err(invalid(format!("messages[{at}].tool_calls"), message));
    }
    let mut block =
        json!({"type": "tool_use", "id": tool_id(&call.id), "name": function.name, "input": input});
    for name in ["cache_control", "caller"] {
        if let (Some(block), Some(value @ Value::Object(_))) = (block.as_object_mut(), call.extra.get(name)) {
            block.insert(name.into(), value.clone());
        }
    }
    Ok(block)
}

fn tool_result(message: &Message, at: usize) -> Result<Value, Error> {
    let Some(id) = &message.tool_call_id else {
        let param = format!("messages[{at}].tool_call_id");
        let message = format!("{param} is missing; it must name the call that this message answers");
        return Err(invalid(param, message));
    };
    let mut block = Map::new();
    block.insert("type".into(), "tool_result".into());
    block.insert("tool_use_id".into(), tool_id(id).into());
    if let Some(content) = plain_or_list(content::blocks(message.content.as_ref(), at)?) {
        block.insert("content".into(), content);
    }
    if let Some(failed @ Value::Bool(_)) = message.extra.get("is_error") {
        block.insert("is_error".into(), failed.clone());
    }
    Ok(Value::Object(block))
}

/// Anthropic takes letters, digits, `_` and `-`; a conversation that another provider began may have other ids.
fn tool_id(id: &str) -> String {
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    let id: String = id.chars().map(|character| if fits(character) { character } else { '_' }).collect();
    if id.is_empty() { "_".into() } else { id }
}

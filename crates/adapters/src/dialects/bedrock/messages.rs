//! The messages: instructions apart, turns merged, tools' calls and results as blocks.

use mainstay_provider_core::Error;
use mainstay_provider_core::chat::{Content, Message, Part, Role, ThinkingBlock, ToolCall};
use serde_json::{Map, Value, json};

use super::blocks::REPLAY;
use super::content::{Encoder, cache_point, text};
use crate::translate::{arguments, invalid};

/// A conversation as Bedrock wants it.
pub(super) struct Conversation {
    /// The instructions, as blocks.
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
    let mut encoder = Encoder::default();
    let mut system = Vec::new();
    let mut turns: Vec<Turn> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let (role, mut blocks) = match &message.role {
            Role::System | Role::Developer => ("system", encoder.blocks(message.content.as_ref(), at)?),
            Role::User => ("user", encoder.blocks(message.content.as_ref(), at)?),
            Role::Assistant => ("assistant", assistant(&mut encoder, message, at)?),
            Role::Tool => ("user", tool_result(&mut encoder, message, at)?),
            role => return Err(unknown_role(role, at)),
        };
        if !blocks.is_empty() {
            blocks.extend(cache_point(&message.extra));
        }
        if role == "system" && instructs(message, &blocks, at)? {
            system.append(&mut blocks);
        } else if !blocks.is_empty() {
            push(&mut turns, role, blocks);
        }
    }
    if turns.is_empty() {
        let message =
            "messages needs a message of the user besides instructions; Bedrock refuses a request without";
        return Err(invalid("messages", message));
    }
    Ok(Conversation { system, turns: turns.into_iter().map(Turn::encode).collect() })
}

fn unknown_role(role: &Role, at: usize) -> Error {
    let known = "system, developer, user, assistant or tool";
    let message = format!("messages[{at}].role is {:?}; it must be {known}", role.as_str());
    invalid(format!("messages[{at}].role"), message)
}

/// Whether an instruction can stand at the top of the request; additions of tools stay in place.
fn instructs(message: &Message, blocks: &[Value], at: usize) -> Result<bool, Error> {
    if let Some(Content::Parts(parts)) = &message.content
        && parts.iter().any(|part| matches!(part, Part::Image(_) | Part::Audio(_) | Part::File(_)))
    {
        let message =
            format!("messages[{at}]: instructions are text only; put images and files into a user message");
        return Err(invalid(format!("messages[{at}].content"), message));
    }
    let at_the_top = |name: &String| matches!(name.as_str(), "text" | "guardContent" | "cachePoint");
    Ok(blocks.iter().filter_map(Value::as_object).flat_map(Map::keys).all(at_the_top))
}

fn push(turns: &mut Vec<Turn>, role: &'static str, mut blocks: Vec<Value>) {
    match turns.last_mut() {
        Some(turn) if turn.role == role => turn.blocks.append(&mut blocks),
        _ => turns.push(Turn { role, blocks }),
    }
}

impl Turn {
    fn encode(mut self) -> Value {
        let is_result = |block: &Value| block.get("toolResult").is_some();
        let said = |block: &Value| !is_result(block) && block.get("cachePoint").is_none();
        // The caller's results must stand first. A cache point between them keeps its place if nothing has to move.
        if self.role == "user"
            && let Some(first) = self.blocks.iter().position(said)
            && self.blocks[first..].iter().any(is_result)
        {
            self.blocks.sort_by_key(|block| !is_result(block)); // the sort is stable
        }
        json!({"role": self.role, "content": self.blocks})
    }
}

fn assistant(encoder: &mut Encoder, message: &Message, at: usize) -> Result<Vec<Value>, Error> {
    if let Some(blocks) = replayed(message) {
        return Ok(blocks);
    }
    // In the order in which the model wrote them: it does not take its tool calls without the reasoning before.
    let mut blocks: Vec<Value> = message.thinking_blocks.iter().filter_map(reasoning).collect();
    blocks.append(&mut encoder.blocks(message.content.as_ref(), at)?);
    if let (true, Some(refusal)) = (message.text().is_empty(), &message.refusal) {
        blocks.extend(text(refusal));
    }
    for call in &message.tool_calls {
        blocks.push(tool_use(call, at)?);
    }
    Ok(blocks)
}

/// The blocks of the answer that this message once was, if the message still says the same.
fn replayed(message: &Message) -> Option<Vec<Value>> {
    let blocks = message.extra.get(REPLAY[0])?.get(REPLAY[1])?.get(REPLAY[2])?.as_array()?;
    let same_text =
        blocks.iter().filter_map(|block| block["text"].as_str()).collect::<String>() == message.text();
    let calls =
        blocks.iter().filter_map(|block| block.get("toolUse")).filter(|call| call.get("type").is_none());
    let same_calls =
        calls.map(|call| &call["toolUseId"]).eq(message.tool_calls.iter().map(|call| call.id.as_str()));
    (same_text && same_calls).then(|| blocks.clone())
}

/// Signed and encrypted reasoning goes back unchanged. What is not signed is not demanded by any model and refused by some.
fn reasoning(block: &ThinkingBlock) -> Option<Value> {
    match block.kind.as_str() {
        "redacted_thinking" => Some(json!({"reasoningContent": {"redactedContent": block.data.as_deref()?}})),
        _ => {
            let signature = block.signature.as_deref()?;
            let text = block.thinking.as_deref().unwrap_or_default();
            Some(json!({"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}))
        }
    }
}

fn tool_use(call: &ToolCall, at: usize) -> Result<Value, Error> {
    let Some(function) = &call.function else {
        let message = format!("messages[{at}].tool_calls: Bedrock has only calls of functions");
        return Err(invalid(format!("messages[{at}].tool_calls"), message));
    };
    let input = arguments(function)?;
    if !input.is_object() {
        let message = format!("messages[{at}]: the arguments of \"{}\" must be a JSON object", function.name);
        return Err(invalid(format!("messages[{at}].tool_calls"), message));
    }
    Ok(json!({"toolUse": {"toolUseId": tool_id(&call.id), "name": function.name, "input": input}}))
}

/// The result, and behind it the cache points of its parts, which cannot stand within.
fn tool_result(encoder: &mut Encoder, message: &Message, at: usize) -> Result<Vec<Value>, Error> {
    let Some(id) = &message.tool_call_id else {
        let param = format!("messages[{at}].tool_call_id");
        let message = format!("{param} is missing; it must name the call that this message answers");
        return Err(invalid(param, message));
    };
    let blocks = encoder.blocks(message.content.as_ref(), at)?;
    let (points, content): (Vec<_>, Vec<_>) =
        blocks.into_iter().partition(|block| block.get("cachePoint").is_some());
    let mut result = Map::new();
    result.insert("toolUseId".into(), tool_id(id).into());
    result.insert("content".into(), content.into());
    if let Some(Value::Bool(failed)) = message.extra.get("is_error") {
        result.insert("status".into(), if *failed { "error" } else { "success" }.into());
    }
    Ok([vec![json!({"toolResult": result})], points].concat())
}

/// Bedrock takes up to 64 letters, digits and `_.:-`; a conversation that another provider began may have other ids. Ids
/// differ at their end.
fn tool_id(id: &str) -> String {
    const LONGEST: usize = 64;
    let fits = |character: char| character.is_ascii_alphanumeric() || "_.:-".contains(character);
    let id: String = id.chars().map(|character| if fits(character) { character } else { '_' }).collect();
    match id.len() {
        0 => "_".into(),
        length => id.get(length.saturating_sub(LONGEST)..).unwrap_or_default().to_owned(), // ASCII by now
    }
}

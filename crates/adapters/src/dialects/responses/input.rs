//! The conversation as items.

use std::collections::BTreeSet;

use mainstay_provider_core::Error;
use mainstay_provider_core::chat::{
    Content, FilePart, ImagePart, Message, Part, Role, ThinkingBlock, ToolCall,
};
use serde_json::{Map, Value, json};

use super::items::OUTPUT_ITEMS;
use crate::translate::{invalid, put};

/// What is said to the model.
pub(super) struct Input {
    /// The first instruction, if it is plain text.
    pub(super) instructions: Option<String>,
    /// The rest.
    pub(super) items: Vec<Value>,
}

/// `own_instructions`: the caller set `instructions` itself.
pub(super) fn input(messages: &[Message], own_instructions: bool) -> Result<Input, Error> {
    let first = messages.first().filter(|message| message.role.is_instruction() && !own_instructions);
    let instructions = first.and_then(plain_text);
    let mut items = Vec::new();
    // Which calls were of custom tools: their results have a type of their own.
    let mut custom = BTreeSet::new();
    for (at, message) in messages.iter().enumerate().skip(usize::from(instructions.is_some())) {
        match &message.role {
            Role::Assistant => assistant(message, &mut items, &mut custom),
            Role::Tool => items.push(tool_result(message, at, &custom)?),
            Role::System | Role::Developer | Role::User => {
                let content = content(message.content.as_ref(), at)?;
                items.push(json!({"type": "message", "role": message.role.as_str(), "content": content}));
            }
            role => {
                let message = format!(
                    "messages[{at}].role is {:?}; it must be system, developer, user, assistant or tool",
                    role.as_str()
                );
                return Err(invalid(format!("messages[{at}].role"), message));
            }
        }
    }
    Ok(Input { instructions, items })
}

/// The text of a message that is nothing else: a breakpoint on it needs an item.
fn plain_text(message: &Message) -> Option<String> {
    let plain =
        |part: &Part| matches!(part, Part::Text(text) if text.extra.get("prompt_cache_breakpoint").is_none());
    match &message.content {
        Some(Content::Parts(parts)) if !parts.iter().all(plain) => None,
        Some(content) if !content.is_empty() => Some(content.text().into_owned()),
        _ => None,
    }
}

fn content(content: Option<&Content>, at: usize) -> Result<Value, Error> {
    match content {
        None => Ok("".into()),
        Some(Content::Text(text)) => Ok(text.as_str().into()),
        Some(Content::Parts(parts)) => parts
            .iter()
            .enumerate()
            .map(|(number, part)| self::part(part, &format!("messages[{at}].content[{number}]")))
            .collect(),
    }
}

fn part(part: &Part, param: &str) -> Result<Value, Error> {
    let mut members: Map<String, Value> = part.extra().cloned().unwrap_or_default().into();
    members.retain(|name, value| name != "cache_control" && !value.is_null());
    match part {
        Part::Text(text) => put_typed(&mut members, "input_text", "text", &text.text),
        Part::Refusal(refusal) => put_typed(&mut members, "input_text", "text", &refusal.refusal),
        Part::Image(image) => put_image(&mut members, image),
        Part::File(file) => put_file(&mut members, file),
        Part::Audio(_) => {
            let message =
                format!("{param}: Responses take no recordings; use chat completions or send a transcript");
            return Err(invalid(param, message));
        }
        Part::Other(other) => return Ok(Value::Object(other.clone())),
        _ => return Err(invalid(param, format!("{param} is of a kind that Responses do not take"))),
    }
    Ok(Value::Object(members))
}

fn put_typed(members: &mut Map<String, Value>, kind: &str, name: &str, text: &str) {
    members.insert("type".into(), kind.into());
    members.insert(name.into(), text.into());
}

fn put_image(members: &mut Map<String, Value>, image: &ImagePart) {
    members.extend(Map::from(image.image_url.extra.clone()));
    put_typed(members, "input_image", "image_url", &image.image_url.url);
    let detail = image.image_url.detail.as_deref().unwrap_or("auto");
    members.insert("detail".into(), detail.into());
}

fn put_file(members: &mut Map<String, Value>, file: &FilePart) {
    members.extend(Map::from(file.file_extra.clone()));
    members.insert("type".into(), "input_file".into());
    put(members, "file_data", file.file_data.as_deref());
    put(members, "file_id", file.file_id.as_deref());
    put(members, "filename", file.filename.as_deref());
}

fn tool_result(message: &Message, at: usize, custom: &BTreeSet<&str>) -> Result<Value, Error> {
    let Some(id) = message.tool_call_id.as_deref() else {
        let param = format!("messages[{at}].tool_call_id");
        let message = format!("{param} is missing; a tool message must name the call that it answers");
        return Err(invalid(param, message));
    };
    let kind = if custom.contains(id) { "custom_tool_call_output" } else { "function_call_output" };
    Ok(json!({"type": kind, "call_id": id, "output": content(message.content.as_ref(), at)?}))
}

/// What the model said: its reasoning, then its text, then its calls.
fn assistant<'a>(message: &'a Message, items: &mut Vec<Value>, custom: &mut BTreeSet<&'a str>) {
    custom
        .extend(message.tool_calls.iter().filter(|call| call.kind == "custom").map(|call| call.id.as_str()));
    if let Some(replayed) = replayed(message) {
        items.extend(replayed);
        return;
    }
    items.extend(message.thinking_blocks.iter().filter_map(reasoning));
    let mut said = String::new();
    for part in message.content.iter().flat_map(parts) {
        match part {
            Spoken::Text(text) => said.push_str(text),
            Spoken::Item(item) => {
                say(&mut said, items);
                items.push(Value::Object(item.clone()));
            }
        }
    }
    if said.is_empty()
        && let Some(refusal) = &message.refusal
    {
        said.push_str(refusal);
    }
    say(&mut said, items);
    items.extend(message.tool_calls.iter().map(call));
}

fn say(said: &mut String, items: &mut Vec<Value>) {
    if !said.is_empty() {
        items.push(json!({"type": "message", "role": "assistant", "content": std::mem::take(said)}));
    }
}

enum Spoken<'a> {
    Text(&'a str),
    /// An item of Responses' own among the parts: a server tool's call.
    Item(&'a Map<String, Value>),
}

fn parts(content: &Content) -> Vec<Spoken<'_>> {
    match content {
        Content::Text(text) => vec![Spoken::Text(text)],
        Content::Parts(parts) => parts
            .iter()
            .filter_map(|part| match part {
                Part::Text(text) => Some(Spoken::Text(&text.text)),
                Part::Refusal(refusal) => Some(Spoken::Text(&refusal.refusal)),
                Part::Other(item) => Some(Spoken::Item(item)),
                _ => None, // a model says nothing else
            })
            .collect(),
    }
}

/// The items of the answer that this message once was, if it still says the same.
fn replayed(message: &Message) -> Option<Vec<Value>> {
    let items = message.extra.get(OUTPUT_ITEMS)?.as_array()?;
    let text: String = items
        .iter()
        .filter(|item| item["type"] == "message")
        .filter_map(|item| item["content"].as_array())
        .flatten()
        .filter_map(|part| part["text"].as_str().or(part["refusal"].as_str()))
        .collect();
    let said = match message.text() {
        text if text.is_empty() => message.refusal.clone().unwrap_or_default(),
        text => text.into_owned(),
    };
    let calls =
        items.iter().filter(|item| item["type"] == "function_call" || item["type"] == "custom_tool_call");
    let same_calls = calls
        .filter_map(|item| item["call_id"].as_str())
        .eq(message.tool_calls.iter().map(|call| call.id.as_str()));
    (text == said && same_calls).then(|| items.clone())
}

/// A block of reasoning as the item that it once was. Encrypted reasoning and items that the provider stored have a
/// summary; what is neither was said openly.
fn reasoning(block: &ThinkingBlock) -> Option<Value> {
    let text = block.thinking.as_deref().unwrap_or_default();
    let encrypted = block.signature.as_deref().or(block.data.as_deref()).filter(|data| !data.is_empty());
    let id = block.extra.get("id").and_then(Value::as_str);
    let stored = id.is_some_and(|id| id.starts_with("rs_"));
    let mut item = Map::new();
    item.insert("type".into(), "reasoning".into());
    put(&mut item, "id", id);
    let part = |kind: &str| match text.is_empty() {
        true => json!([]),
        false => json!([{"type": kind, "text": text}]),
    };
    if encrypted.is_some() || stored {
        item.insert("summary".into(), part("summary_text"));
        put(&mut item, "encrypted_content", encrypted);
    } else {
        if text.is_empty() {
            return None;
        }
        item.insert("summary".into(), json!([]));
        item.insert("content".into(), part("reasoning_text"));
    }
    Some(Value::Object(item))
}

fn call(call: &ToolCall) -> Value {
    let Some(function) = &call.function else {
        let custom = call.extra.get("custom").cloned().unwrap_or_default();
        return json!({
            "type": "custom_tool_call",
            "call_id": call.id,
            "name": custom["name"],
            "input": custom["input"],
        });
    };
    let arguments = if function.arguments.trim().is_empty() { "{}" } else { &function.arguments };
    json!({"type": "function_call", "call_id": call.id, "name": function.name, "arguments": arguments})
}

//! Messages as Ollama wants them: text as one string, images apart.

use std::collections::HashMap;

use mainstay_provider_core::Error;
use mainstay_provider_core::chat::{Content, ImageUrl, Message, Part, Role, ToolCall};
use serde_json::{Map, Value, json};

use crate::translate::{Image, arguments, image, invalid, put};

pub(super) fn messages(messages: &[Message]) -> Result<Vec<Value>, Error> {
    // Results name the function that they are from.
    let mut names = HashMap::new();
    let mut written = Vec::with_capacity(messages.len());
    for (number, message) in messages.iter().enumerate() {
        for call in &message.tool_calls {
            if let Some(function) = &call.function {
                names.insert(call.id.as_str(), function.name.as_str());
            }
        }
        written.push(self::message(message, &names, &format!("messages[{number}]"))?);
    }
    Ok(written)
}

fn message(message: &Message, names: &HashMap<&str, &str>, at: &str) -> Result<Value, Error> {
    let role = match &message.role {
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
        other => {
            let message =
                format!("{at}.role {:?} is unknown; take system, user, assistant or tool", other.as_str());
            return Err(invalid(format!("{at}.role"), message));
        }
    };
    let mut written = Map::new();
    written.insert("role".into(), role.into());
    let text = match message.content.as_ref().map(Content::text) {
        Some(text) if !text.is_empty() => text,
        _ => message.refusal.as_deref().unwrap_or_default().into(),
    };
    written.insert("content".into(), text.into());
    let images = images(message.content.as_ref(), at)?;
    if !images.is_empty() {
        written.insert("images".into(), images.into());
    }
    if message.role == Role::Assistant {
        put(&mut written, "thinking", message.reasoning_content.as_deref().filter(|text| !text.is_empty()));
    }
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().enumerate();
        let calls = calls.map(|(number, call)| tool_call(call, &format!("{at}.tool_calls[{number}]")));
        written.insert("tool_calls".into(), calls.collect::<Result<Vec<_>, _>>()?.into());
    }
    if message.role == Role::Tool {
        let called = message.tool_call_id.as_deref().and_then(|id| names.get(id).copied());
        put(&mut written, "tool_name", called.or(message.name.as_deref()));
    }
    Ok(Value::Object(written))
}

fn tool_call(call: &ToolCall, at: &str) -> Result<Value, Error> {
    let Some(function) = &call.function else {
        let message = format!("{at} is no function call; Ollama takes only those back");
        return Err(invalid(at, message));
    };
    let args = arguments(function)?;
    if !args.is_object() {
        let message = format!("{at}.function.arguments must be a JSON object as text");
        return Err(invalid(format!("{at}.function.arguments"), message));
    }
    Ok(json!({ "function": { "name": function.name, "arguments": args } }))
}

fn images(content: Option<&Content>, at: &str) -> Result<Vec<Value>, Error> {
    let Some(Content::Parts(parts)) = content else { return Ok(Vec::new()) };
    let mut images = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let at = format!("{at}.content[{number}]");
        match part {
            Part::Text(_) => {}
            Part::Image(part) => images.push(base64(&part.image_url, &at)?),
            _ => {
                let message = format!("{at} has a type that Ollama does not take; send text or image_url");
                return Err(invalid(at, message));
            }
        }
    }
    Ok(images)
}

/// Ollama takes the image itself and fetches nothing.
fn base64(url: &ImageUrl, at: &str) -> Result<Value, Error> {
    match image(url) {
        Image::Data { base64, .. } => Ok(base64.into()),
        Image::Url(_) => {
            let message = format!(
                "{at}.image_url.url is an address; Ollama takes images only as data:image/…;base64,… URLs"
            );
            Err(invalid(format!("{at}.image_url.url"), message))
        }
    }
}

//! Messages as Cohere wants them: nearly OpenAI's.

use mainstay_provider_core::Error;
use mainstay_provider_core::chat::{Content, Message, Part, Role, ToolCall};
use serde_json::{Map, Value, json};

use crate::translate::{arguments, invalid, put};

pub(super) fn messages(messages: &[Message]) -> Result<Vec<Value>, Error> {
    messages.iter().enumerate().map(|(number, one)| message(one, &format!("messages[{number}]"))).collect()
}

fn message(message: &Message, at: &str) -> Result<Value, Error> {
    match &message.role {
        Role::System | Role::Developer => turn("system", &["text"], message, at),
        Role::User => turn("user", &["text", "image_url"], message, at),
        Role::Assistant => assistant(message, at),
        Role::Tool => {
            let id = message.tool_call_id.as_deref().ok_or_else(|| {
                let message =
                    format!("{at}.tool_call_id is missing; name the call that this is the result of");
                invalid(format!("{at}.tool_call_id"), message)
            })?;
            // Cohere's own: results as documents, which can be cited.
            let mut written = turn("tool", &["text", "document"], message, at)?;
            written["tool_call_id"] = id.into();
            Ok(written)
        }
        other => {
            let message =
                format!("{at}.role {:?} is unknown; take system, user, assistant or tool", other.as_str());
            Err(invalid(format!("{at}.role"), message))
        }
    }
}

fn turn(role: &str, takes: &[&str], message: &Message, at: &str) -> Result<Value, Error> {
    let content = match &message.content {
        None => Value::from(""),
        Some(Content::Text(text)) => text.as_str().into(),
        Some(Content::Parts(parts)) => self::parts(parts, takes, at)?.into(),
    };
    Ok(json!({ "role": role, "content": content }))
}

/// The model's own turn. Its plan and its thoughts go back with the calls that they led to.
fn assistant(message: &Message, at: &str) -> Result<Value, Error> {
    let calls = message.tool_calls.iter().enumerate();
    let calls: Vec<_> = calls
        .map(|(number, call)| tool_call(call, &format!("{at}.tool_calls[{number}]")))
        .collect::<Result<_, _>>()?;
    let thought = message.reasoning_content.as_deref().filter(|text| !text.is_empty() && !calls.is_empty());
    let mut written = Map::new();
    written.insert("role".into(), "assistant".into());
    match (&message.content, thought) {
        (content, Some(thought)) => {
            let mut blocks = vec![json!({ "type": "thinking", "thinking": thought })];
            match content {
                Some(Content::Text(text)) if !text.is_empty() => {
                    blocks.push(json!({ "type": "text", "text": text }));
                }
                Some(Content::Parts(parts)) => blocks.extend(self::parts(parts, SAID, at)?),
                _ => {}
            }
            written.insert("content".into(), blocks.into());
        }
        (Some(Content::Text(text)), None) if text.is_empty() && !calls.is_empty() => {}
        (Some(Content::Text(text)), None) => put(&mut written, "content", Some(text.as_str())),
        (Some(Content::Parts(parts)), None) => {
            put(&mut written, "content", Some(self::parts(parts, SAID, at)?))
        }
        (None, None) if calls.is_empty() => {
            put(&mut written, "content", message.refusal.as_deref().or(Some("")))
        }
        (None, None) => {}
    }
    if !calls.is_empty() {
        put(
            &mut written,
            "tool_plan",
            message.extra.get("tool_plan").filter(|plan| plan.is_string()).cloned(),
        );
        written.insert("tool_calls".into(), calls.into());
    }
    Ok(Value::Object(written))
}

fn tool_call(call: &ToolCall, at: &str) -> Result<Value, Error> {
    let Some(function) = &call.function else {
        let message = format!("{at} is no function call; Cohere takes only those back");
        return Err(invalid(at, message));
    };
    arguments(function)?;
    let arguments = if function.arguments.trim().is_empty() { "{}" } else { &function.arguments };
    let function = json!({ "name": function.name, "arguments": arguments });
    Ok(json!({ "id": call.id, "type": "function", "function": function }))
}

/// What a turn of the model may hold.
const SAID: &[&str] = &["text", "thinking"];

fn parts(parts: &[Part], takes: &[&str], at: &str) -> Result<Vec<Value>, Error> {
    let at = |number| format!("{at}.content[{number}]");
    parts.iter().enumerate().map(|(number, one)| part(one, takes, &at(number))).collect()
}

fn part(part: &Part, takes: &[&str], at: &str) -> Result<Value, Error> {
    let written = match part {
        Part::Text(text) => json!({ "type": "text", "text": text.text }),
        Part::Refusal(refusal) => json!({ "type": "text", "text": refusal.refusal }),
        Part::Image(image) => {
            let mut url = json!({ "url": image.image_url.url });
            if let Some(detail) = &image.image_url.detail {
                url["detail"] = detail.as_str().into();
            }
            json!({ "type": "image_url", "image_url": url })
        }
        Part::Other(members) => Value::Object(members.clone()),
        _ => Value::Null,
    };
    if takes.iter().any(|kind| written["type"] == *kind) {
        return Ok(written);
    }
    let message = format!(
        "{at} has a type that Cohere does not take here; it takes {}. The text of files can stand in documents",
        takes.join(" and ")
    );
    Err(invalid(at, message))
}

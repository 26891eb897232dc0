//! From messages to `systemInstruction` and `contents`.

use std::collections::HashMap;

use mainstay_provider_core::chat::{Content, Message, Part, Role, ThinkingBlock, ToolCall};
use mainstay_provider_core::{Error, Extra};
use serde_json::{Map, Value, json};

use super::thinking::Family;
use super::{Place, media};
use crate::translate::{arguments, invalid};

/// Google's own word for "this call was not made by a Gemini 3 model": without it (or a signature) the whole
/// request is refused, and then no conversation could be taken over from another model.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Members of a content part that are Google's and go along with it.
const PART_MEMBERS: [&str; 4] = ["videoMetadata", "mediaResolution", "mediaProcessing", "partMetadata"];

/// The members of a part that say what it is.
const PART_KINDS: [&str; 9] = [
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
];

/// The conversation as Google wants it.
pub(super) struct Conversation {
    /// The parts of the system instruction.
    pub(super) system: Vec<Value>,
    pub(super) contents: Vec<Value>,
}

/// Translates the messages. Instructions stand apart wherever they were said; if there is nothing else, they
/// are the user's turn, since a request without any is refused.
pub(super) fn conversation(
    messages: &[Message],
    place: &Place,
    family: Family,
) -> Result<Conversation, Error> {
    let mut writer = Writer { place, family, calls: HashMap::new(), turns: Vec::new() };
    let mut system = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        let at = format!("messages[{number}]");
        if message.role.is_instruction() {
            system.extend(writer.content(message.content.as_ref(), &at)?);
        } else {
            writer.message(message, &at)?;
        }
    }
    if writer.turns.is_empty() {
        let parts = std::mem::take(&mut system);
        writer.turns.push(Turn { kind: Kind::User, parts });
    }
    Ok(Conversation { system, contents: writer.turns.into_iter().map(|turn| turn.print(family)).collect() })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Model,
    ToolResults,
}

struct Turn {
    kind: Kind,
    parts: Vec<Value>,
}

impl Turn {
    fn print(mut self, family: Family) -> Value {
        let role = if self.kind == Kind::Model { "model" } else { "user" };
        if family.needs_signatures() && self.kind == Kind::Model {
            sign_first_call(&mut self.parts);
        }
        json!({ "role": role, "parts": self.parts })
    }
}

/// Of parallel calls only the first is signed; if none is, the first is marked as coming from elsewhere.
fn sign_first_call(parts: &mut [Value]) {
    let mut calls: Vec<_> = parts.iter_mut().filter(|part| part.get("functionCall").is_some()).collect();
    if calls.iter().any(|call| call.get("thoughtSignature").is_some()) {
        return;
    }
    if let Some(first) = calls.first_mut() {
        first["thoughtSignature"] = NO_SIGNATURE.into();
    }
}

struct Writer<'a> {
    place: &'a Place,
    family: Family,
    /// The name of the function of each call so far: results name it again.
    calls: HashMap<&'a str, &'a str>,
    turns: Vec<Turn>,
}

impl<'a> Writer<'a> {
    fn message(&mut self, message: &'a Message, at: &str) -> Result<(), Error> {
        let (kind, parts) = match &message.role {
            Role::User => (Kind::User, self.content(message.content.as_ref(), at)?),
            Role::Assistant => (Kind::Model, self.assistant(message, at)?),
            Role::Tool => (Kind::ToolResults, self.tool_result(message, at)?),
            Role::Other(role) if role == "function" => (Kind::ToolResults, self.tool_result(message, at)?),
            other => {
                let message =
                    format!("{at}.role {:?} is unknown; take user, assistant or tool", other.as_str());
                return Err(invalid(format!("{at}.role"), message));
            }
        };
        match self.turns.last_mut() {
            // All results of a turn's calls must stand in one content, and a turn with calls must follow the
            // user's.
            Some(last) if last.kind == kind && kind != Kind::User => last.parts.extend(parts),
            _ if parts.is_empty() => {}
            _ => self.turns.push(Turn { kind, parts }),
        }
        Ok(())
    }

    fn content(&self, content: Option<&Content>, at: &str) -> Result<Vec<Value>, Error> {
        match content {
            None => Ok(Vec::new()),
            Some(Content::Text(text)) => Ok(vec![json!({ "text": text })]),
            Some(Content::Parts(parts)) => {
                let at = |number| format!("{at}.content[{number}]");
                parts.iter().enumerate().map(|(number, part)| self.part(part, &at(number))).collect()
            }
        }
    }

    fn part(&self, part: &Part, at: &str) -> Result<Value, Error> {
        let mut written = match part {
            Part::Text(text) => json!({ "text": text.text }),
            Part::Refusal(refusal) => json!({ "text": refusal.refusal }),
            Part::Image(image) => media::image_part(&image.image_url, self.place),
            Part::Audio(audio) => media::audio_part(audio),
            Part::File(file) => media::file_part(file, self.place, at)?,
            Part::Other(members) => return self.other_part(members, at),
            _ => return Err(unknown_part(at)),
        };
        for name in PART_MEMBERS {
            if let Some(value) = part.extra().and_then(|extra| extra.get(name)) {
                written[name] = value.clone();
            }
        }
        if let Some(signature) = part.extra().and_then(signature) {
            written["thoughtSignature"] = signature.into();
        }
        Ok(written)
    }

    /// A video, or one of Google's own parts as it stands.
    fn other_part(&self, members: &Map<String, Value>, at: &str) -> Result<Value, Error> {
        if let Some(video) = members.get("video_url") {
            let url = video.as_str().or_else(|| video["url"].as_str()).ok_or_else(|| unknown_part(at))?;
            return Ok(media::video_part(url, self.place));
        }
        if !PART_KINDS.iter().any(|kind| members.contains_key(*kind)) {
            return Err(unknown_part(at));
        }
        let mut raw = members.clone();
        raw.remove("type");
        raw.remove("cache_control");
        Ok(Value::Object(raw))
    }

    fn assistant(&mut self, message: &'a Message, at: &str) -> Result<Vec<Value>, Error> {
        let mut parts: Vec<_> = message.thinking_blocks.iter().filter_map(signed_thought).collect();
        if let Some(thought) = message.reasoning_content.as_deref().filter(|text| !text.is_empty())
            && parts.is_empty()
            && self.family != Family::Before25
        {
            parts.push(json!({ "text": thought, "thought": true }));
        }
        let google = message.extra.get("extra_content").map(|extra| &extra["google"]);
        let kept = google.and_then(|google| google["parts"].as_array());
        parts.extend(kept.into_iter().flatten().cloned());
        let mut texts = self.content(message.content.as_ref(), at)?;
        // An assistant that only calls tools often comes with an empty text.
        texts.retain(|part| part["text"].as_str() != Some("") || part.get("thoughtSignature").is_some());
        if let Some(refusal) = message.refusal.as_deref().filter(|_| texts.is_empty()) {
            texts.push(json!({ "text": refusal }));
        }
        if let Some(signature) = signature(&message.extra) {
            match texts.iter_mut().rfind(|part| part.get("text").is_some()) {
                Some(last) => last["thoughtSignature"] = signature.into(),
                None => texts.push(json!({ "text": "", "thoughtSignature": signature })),
            }
        }
        parts.extend(texts);
        parts.extend(drawn_images(&message.extra));
        for (number, call) in message.tool_calls.iter().enumerate() {
            parts.push(self.call(call, &format!("{at}.tool_calls[{number}]"))?);
        }
        Ok(parts)
    }

    fn call(&mut self, call: &'a ToolCall, at: &str) -> Result<Value, Error> {
        let Some(function) = &call.function else {
            let message = format!("{at} is no function call; Gemini takes only those back");
            return Err(invalid(at, message));
        };
        self.calls.insert(&call.id, &function.name);
        let args = arguments(function)?;
        if !args.is_object() {
            let message = format!("{at}.function.arguments must be a JSON object as text");
            return Err(invalid(format!("{at}.function.arguments"), message));
        }
        let mut written = json!({ "functionCall": { "name": function.name, "args": args } });
        if !call.id.is_empty() {
            written["functionCall"]["id"] = call.id.as_str().into();
        }
        if let Some(signature) = signature(&call.extra) {
            written["thoughtSignature"] = signature.into();
        }
        Ok(written)
    }

    fn tool_result(&mut self, message: &'a Message, at: &str) -> Result<Vec<Value>, Error> {
        let id = message.tool_call_id.as_deref();
        let known = id.and_then(|id| self.calls.get(id).copied());
        let name = known.or(message.name.as_deref()).ok_or_else(|| {
            let message = format!(
                "{at}.tool_call_id: no call before it has this id, and Gemini wants the function's name; \
                 send the assistant's message with the call, or set name"
            );
            invalid(format!("{at}.tool_call_id"), message)
        })?;
        let parts = self.content(message.content.as_ref(), at)?;
        let (texts, media): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| part.get("text").is_some());
        let text: String = texts.iter().filter_map(|part| part["text"].as_str()).collect();
        let mut result = json!({ "name": name, "response": response_object(&text) });
        if let Some(id) = id.filter(|id| !id.is_empty()) {
            result["id"] = id.into();
        }
        // From Gemini 3 on a result can hold media of its own; older models find them beside it.
        let takes = |part: &Value| self.family.needs_signatures() && part.get("inlineData").is_some();
        let (inside, beside): (Vec<_>, Vec<_>) = media.into_iter().partition(takes);
        if !inside.is_empty() {
            result["parts"] = inside.into();
        }
        let mut parts = vec![json!({ "functionResponse": result })];
        parts.extend(beside);
        Ok(parts)
    }
}

/// The result must be an object: one stays as it is, anything else is wrapped under the name that Google
/// documents.
fn response_object(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Value::Object(members),
        Ok(Value::Array(items)) => json!({ "output": items }),
        _ => json!({ "output": text }),
    }
}

/// A thought that Google signed. Other providers' signatures mean nothing to it and would have the request
/// refused.
fn signed_thought(block: &ThinkingBlock) -> Option<Value> {
    let signature = signature(&block.extra)?;
    let text = block.thinking.as_deref().unwrap_or_default();
    Some(json!({ "text": text, "thought": true, "thoughtSignature": signature }))
}

/// `{"extra_content": {"google": {"thought_signature": …}}}`
fn signature(extra: &Extra) -> Option<&str> {
    extra.get("extra_content")?.get("google")?.get("thought_signature")?.as_str()
}

/// The images that the model drew earlier: to change them it must see them.
fn drawn_images(extra: &Extra) -> Vec<Value> {
    let images = extra.get("images").and_then(Value::as_array);
    let part = |image: &Value| {
        let (media_type, base64) = crate::translate::data_url(image["image_url"]["url"].as_str()?)?;
        let mut part = media::inline(media_type, base64);
        if let Some(signature) = image["extra_content"]["google"]["thought_signature"].as_str() {
            part["thoughtSignature"] = signature.into();
        }
        Some(part)
    };
    images.into_iter().flatten().filter_map(part).collect()
}

fn unknown_part(at: &str) -> Error {
    let message =
        format!("{at} has a type that Gemini does not take; send text, image_url, input_audio or file");
    invalid(at, message)
}

//! One turn of a conversation as a provider takes it.

use std::borrow::Cow;

use mainstay_provider_core::Extra;
use mainstay_provider_core::chat::{Content, FilePart, Message, Part, Role, ToolCall};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::profile::{Messages, Reasoning};
use super::request::print_extra;
use crate::json::Text;

/// A message by a provider's rules.
pub(super) struct OutMessage<'a> {
    pub(super) message: &'a Message,
    pub(super) rules: &'a Messages,
}

impl Serialize for OutMessage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { message, rules } = self;
        let mut map = serializer.serialize_map(None)?;
        let role = match &message.role {
            Role::Developer if !rules.developer => "system",
            role => role.as_str(),
        };
        map.serialize_entry("role", role)?;
        self.print_content(&mut map)?;
        let named = if message.role == Role::Tool { rules.tool_name } else { rules.speaker_name };
        if let Some(name) = message.name.as_ref().filter(|_| named) {
            map.serialize_entry("name", name)?;
        }
        if !message.tool_calls.is_empty() {
            map.serialize_entry("tool_calls", &OutCalls { calls: &message.tool_calls, rules })?;
        }
        if let Some(id) = &message.tool_call_id {
            map.serialize_entry("tool_call_id", &call_id(id, rules))?;
        }
        self.print_answer_members(&mut map)?;
        print_extra(&mut map, &message.extra, |name| rules.keeps(name) && name != "reasoning")?;
        map.end()
    }
}

impl OutMessage<'_> {
    fn print_content<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Self { message, rules } = self;
        let thinking = self.reasoning().filter(|_| rules.reasoning == Reasoning::Part);
        match (&message.content, thinking) {
            (content, Some(thinking)) => {
                map.serialize_entry("content", &ThinkingFirst { thinking, content: content.as_ref(), rules })
            }
            (Some(Content::Text(text)), None) => map.serialize_entry("content", &Text(text)),
            (Some(content @ Content::Parts(parts)), None) => {
                let joined = rules.plain_texts && message.role != Role::User;
                if joined && parts.iter().all(|part| part.as_text().is_some()) {
                    return map.serialize_entry("content", &Text(&content.text()));
                }
                map.serialize_entry("content", &OutParts { parts, rules })
            }
            // A refusal is what the model said; where there is no field for it, it is a text like any other.
            (None, None) => match &message.refusal {
                Some(refusal) if !rules.keeps("refusal") => map.serialize_entry("content", refusal),
                _ if rules.content_required => map.serialize_entry("content", ""),
                _ => Ok(()),
            },
        }
    }

    /// What only an assistant's message has.
    fn print_answer_members<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Self { message, rules } = self;
        if let Some(refusal) = message.refusal.as_ref().filter(|_| rules.keeps("refusal")) {
            map.serialize_entry("refusal", refusal)?;
        }
        if !message.annotations.is_empty() && rules.keeps("annotations") {
            map.serialize_entry("annotations", &message.annotations)?;
        }
        let Some(reasoning) = self.reasoning() else { return Ok(()) };
        if matches!(rules.reasoning, Reasoning::Content | Reasoning::Both) {
            map.serialize_entry("reasoning_content", reasoning)?;
        }
        if matches!(rules.reasoning, Reasoning::Plain | Reasoning::Both) {
            map.serialize_entry("reasoning", reasoning)?;
        }
        Ok(())
    }

    /// The reasoning under either name; the provider's own wins.
    fn reasoning(&self) -> Option<&str> {
        let own = self.message.extra.get("reasoning").and_then(Value::as_str);
        own.or(self.message.reasoning_content.as_deref()).filter(|text| !text.is_empty())
    }
}

/// Mistral's form of reasoning: the first part of the content.
struct ThinkingFirst<'a> {
    thinking: &'a str,
    content: Option<&'a Content>,
    rules: &'a Messages,
}

impl Serialize for ThinkingFirst<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        let thinking = json!({"type": "thinking", "thinking": [{"type": "text", "text": self.thinking}]});
        list.serialize_element(&thinking)?;
        match self.content {
            Some(Content::Text(text)) if !text.is_empty() => list.serialize_element(&TextPart(text))?,
            Some(Content::Parts(parts)) => {
                for part in parts {
                    list.serialize_element(&OutPart { part, rules: self.rules })?;
                }
            }
            _ => {}
        }
        list.end()
    }
}

struct TextPart<'a>(&'a str);

impl Serialize for TextPart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("type", "text")?;
        map.serialize_entry("text", &Text(self.0))?;
        map.end()
    }
}

struct OutParts<'a> {
    parts: &'a [Part],
    rules: &'a Messages,
}

impl Serialize for OutParts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.parts.iter().map(|part| OutPart { part, rules: self.rules }))
    }
}

struct OutPart<'a> {
    part: &'a Part,
    rules: &'a Messages,
}

impl Serialize for OutPart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.part {
            Part::Text(part) => {
                map.serialize_entry("type", "text")?;
                map.serialize_entry("text", &Text(&part.text))?;
            }
            Part::Image(part) => {
                map.serialize_entry("type", "image_url")?;
                let image = &part.image_url;
                let known = [("url", Some(image.url.as_str())), ("detail", image.detail.as_deref())];
                map.serialize_entry("image_url", &Inner { known, extra: &image.extra })?;
            }
            Part::Audio(part) => {
                map.serialize_entry("type", "input_audio")?;
                if self.rules.mistral {
                    map.serialize_entry("input_audio", &part.data)?;
                } else {
                    let known = [("data", Some(part.data.as_str())), ("format", Some(part.format.as_str()))];
                    map.serialize_entry("input_audio", &Inner { known, extra: &part.audio_extra })?;
                }
            }
            Part::File(part) if self.rules.mistral => print_mistral_file(&mut map, part)?,
            Part::File(part) => {
                map.serialize_entry("type", "file")?;
                let known = [
                    ("file_data", part.file_data.as_deref()),
                    ("file_id", part.file_id.as_deref()),
                    ("filename", part.filename.as_deref()),
                ];
                map.serialize_entry("file", &Inner { known, extra: &part.file_extra })?;
            }
            Part::Refusal(part) => {
                let kind = if self.rules.keeps("refusal") { "refusal" } else { "text" };
                map.serialize_entry("type", kind)?;
                map.serialize_entry(kind, &part.refusal)?;
            }
            Part::Other(members) => {
                for (name, value) in
                    members.iter().filter(|(name, value)| self.rules.keeps(name) && !value.is_null())
                {
                    map.serialize_entry(name, value)?;
                }
            }
            // The contract's list of parts may grow.
            _ => return Err(serde::ser::Error::custom("a part of a kind that this dialect does not know")),
        }
        if let Some(extra) = self.part.extra() {
            print_extra(&mut map, extra, |name| self.rules.keeps(name))?;
        }
        map.end()
    }
}

/// The inner object of a part or a call.
struct Inner<'a, const N: usize> {
    known: [(&'static str, Option<&'a str>); N],
    extra: &'a Extra,
}

impl<const N: usize> Serialize for Inner<'_, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &self.known {
            if let Some(value) = value {
                map.serialize_entry(name, value)?;
            }
        }
        print_extra(&mut map, self.extra, |_| true)?;
        map.end()
    }
}

fn print_mistral_file<M: SerializeMap>(map: &mut M, file: &FilePart) -> Result<(), M::Error> {
    if let Some(id) = &file.file_id {
        map.serialize_entry("type", "file")?;
        return map.serialize_entry("file_id", id);
    }
    map.serialize_entry("type", "document_url")?;
    map.serialize_entry("document_url", file.file_data.as_deref().unwrap_or_default())?;
    match &file.filename {
        Some(name) => map.serialize_entry("document_name", name),
        None => Ok(()),
    }
}

struct OutCalls<'a> {
    calls: &'a [ToolCall],
    rules: &'a Messages,
}

impl Serialize for OutCalls<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let numbered = self.calls.iter().enumerate();
        serializer.collect_seq(numbered.map(|(number, call)| OutCall { number, call, rules: self.rules }))
    }
}

struct OutCall<'a> {
    number: usize,
    call: &'a ToolCall,
    rules: &'a Messages,
}

impl Serialize for OutCall<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { number, call, rules } = self;
        let mut map = serializer.serialize_map(None)?;
        if rules.numbered_calls {
            map.serialize_entry("index", number)?;
        }
        map.serialize_entry("id", &call_id(&call.id, rules))?;
        map.serialize_entry("type", &call.kind)?;
        if let Some(function) = &call.function {
            let arguments = if function.arguments.trim().is_empty() { "{}" } else { &function.arguments };
            let known = [("name", Some(function.name.as_str())), ("arguments", Some(arguments))];
            map.serialize_entry("function", &Inner { known, extra: &function.extra })?;
        }
        // Some providers number the calls of a whole answer as they do in a stream; their number is not the caller's.
        print_extra(&mut map, &call.extra, |name| rules.keeps(name) && name != "index")?;
        map.end()
    }
}

/// The id of a tool call. Mistral refuses ids that are not nine letters or digits, as those of all other providers are, so
/// a conversation that began elsewhere gets others, the same for a call and its result.
fn call_id<'a>(id: &'a str, rules: &Messages) -> Cow<'a, str> {
    const LENGTH: usize = 9;
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let fits = id.len() == LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !rules.mistral || fits {
        return Cow::Borrowed(id);
    }
    // FNV-1a: it must be the same in every process, and need not be hard to forge.
    let mut hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut digits = String::with_capacity(LENGTH);
    for _ in 0..LENGTH {
        digits.push(char::from(DIGITS[usize::try_from(hash % 62).unwrap_or_default()]));
        hash /= 62;
    }
    Cow::Owned(digits)
}

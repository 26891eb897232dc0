//! What a message says: plain text, or a list of parts.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::lossless::Extra;

/// The content of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// A list of parts: text, images, audio, files, refusals.
    Parts(Vec<Part>),
}

/// One part of a message's content.
///
/// A part whose type is unknown, or whose known members have another shape than documented, is kept whole as `Other`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Part {
    /// `{"type": "text", "text": …}`
    Text(TextPart),
    /// `{"type": "image_url", "image_url": {"url": …}}`
    Image(ImagePart),
    /// `{"type": "input_audio", "input_audio": {"data": …, "format": …}}`
    Audio(AudioPart),
    /// `{"type": "file", "file": {…}}`
    File(FilePart),
    /// `{"type": "refusal", "refusal": …}`
    Refusal(RefusalPart),
    /// Any other part, as it came.
    Other(Map<String, Value>),
}

/// A piece of text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TextPart {
    /// The text.
    pub text: String,
    /// Other members, `cache_control` for instance.
    pub extra: Extra,
}

/// An image.
#[derive(Debug, Clone, PartialEq)]
pub struct ImagePart {
    /// Where it is.
    pub image_url: ImageUrl,
    /// Other members.
    pub extra: Extra,
}

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImageUrl {
    /// An `https:` address, or the image itself as a `data:` URL.
    pub url: String,
    /// `auto`, `low` or `high`.
    pub detail: Option<String>,
    /// Other members.
    pub extra: Extra,
}

/// A recording.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AudioPart {
    /// The recording, base64.
    pub data: String,
    /// `wav` or `mp3`.
    pub format: String,
    /// Other members of the inner object.
    pub audio_extra: Extra,
    /// Other members.
    pub extra: Extra,
}

/// A document.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FilePart {
    /// The document as a `data:` URL or base64.
    pub file_data: Option<String>,
    /// The id of an uploaded document.
    pub file_id: Option<String>,
    /// Its name.
    pub filename: Option<String>,
    /// Other members of the inner object.
    pub file_extra: Extra,
    /// Other members.
    pub extra: Extra,
}

/// What the model said instead of an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RefusalPart {
    /// The refusal.
    pub refusal: String,
    /// Other members.
    pub extra: Extra,
}

impl Content {
    /// All text, parts joined without a separator. Borrowed when it is one piece.
    pub fn text(&self) -> Cow<'_, str> {
        let parts = match self {
            Content::Text(text) => return Cow::Borrowed(text),
            Content::Parts(parts) => parts,
        };
        let mut texts = parts.iter().filter_map(Part::as_text);
        match (texts.next(), texts.next()) {
            (None, _) => Cow::Borrowed(""),
            (Some(only), None) => Cow::Borrowed(only),
            (Some(first), Some(second)) => {
                let mut all = String::with_capacity(first.len() + second.len());
                all.push_str(first);
                all.push_str(second);
                texts.for_each(|text| all.push_str(text));
                Cow::Owned(all)
            }
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        match self {
            Content::Text(text) => text.is_empty(),
            Content::Parts(parts) => parts.is_empty(),
        }
    }

    /// The content as parts; plain text becomes one text part.
    pub fn into_parts(self) -> Vec<Part> {
        match self {
            Content::Text(text) => vec![Part::text(text)],
            Content::Parts(parts) => parts,
        }
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<Part>> for Content {
    fn from(parts: Vec<Part>) -> Self {
        Self::Parts(parts)
    }
}

impl Part {
    /// A text part.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(TextPart { text: text.into(), extra: Extra::default() })
    }

    /// An image part from an `https:` or `data:` URL.
    pub fn image(url: impl Into<String>) -> Self {
        let image_url = ImageUrl { url: url.into(), ..ImageUrl::default() };
        Self::Image(ImagePart { image_url, extra: Extra::default() })
    }

    /// The text of a text part.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Part::Text(part) => Some(&part.text),
            _ => None,
        }
    }

    /// The members that the contract has no field for.
    pub fn extra(&self) -> Option<&Extra> {
        match self {
            Part::Text(part) => Some(&part.extra),
            Part::Image(part) => Some(&part.extra),
            Part::Audio(part) => Some(&part.extra),
            Part::File(part) => Some(&part.extra),
            Part::Refusal(part) => Some(&part.extra),
            Part::Other(_) => None,
        }
    }

    fn from_object(mut members: Map<String, Value>) -> Self {
        let known = match members.get("type").and_then(Value::as_str) {
            Some("text") => text_part(&mut members),
            Some("image_url") => image_part(&mut members),
            Some("input_audio") => audio_part(&mut members),
            Some("file") => file_part(&mut members),
            Some("refusal") => refusal_part(&mut members),
            _ => None,
        };
        known.unwrap_or(Part::Other(members))
    }

    fn to_object(&self) -> Cow<'_, Map<String, Value>> {
        let (kind, name, inner, extra) = match self {
            Part::Other(members) => return Cow::Borrowed(members),
            Part::Text(part) => ("text", "text", Value::from(part.text.as_str()), &part.extra),
            Part::Refusal(part) => ("refusal", "refusal", Value::from(part.refusal.as_str()), &part.extra),
            Part::Image(part) => ("image_url", "image_url", image_value(&part.image_url), &part.extra),
            Part::Audio(part) => ("input_audio", "input_audio", audio_value(part), &part.extra),
            Part::File(part) => ("file", "file", file_value(part), &part.extra),
        };
        let mut members: Map<String, Value> =
            extra.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        members.insert("type".into(), kind.into());
        members.insert(name.into(), inner);
        Cow::Owned(members)
    }
}

/// Takes a text member out, if it is one; leaves the object as it was otherwise.
fn take_text(members: &mut Map<String, Value>, name: &str) -> Option<String> {
    match members.get_mut(name) {
        Some(Value::String(text)) => {
            let text = std::mem::take(text);
            members.remove(name);
            Some(text)
        }
        _ => None,
    }
}

/// Takes an object member out and the `type` with it, if `fits` says that its shape is the documented one.
fn take_object(
    members: &mut Map<String, Value>,
    name: &str,
    fits: fn(&Map<String, Value>) -> bool,
) -> Option<Map<String, Value>> {
    if !members.get(name)?.as_object().is_some_and(fits) {
        return None;
    }
    members.remove("type");
    match members.remove(name) {
        Some(Value::Object(inner)) => Some(inner),
        _ => None,
    }
}

fn is_text(members: &Map<String, Value>, name: &str) -> bool {
    members.get(name).is_some_and(Value::is_string)
}

/// Null counts as absent, and stays where it is.
fn is_text_or_absent(members: &Map<String, Value>, name: &str) -> bool {
    members.get(name).is_none_or(|value| value.is_string() || value.is_null())
}

fn text_part(members: &mut Map<String, Value>) -> Option<Part> {
    let text = take_text(members, "text")?;
    members.remove("type");
    Some(Part::Text(TextPart { text, extra: std::mem::take(members).into() }))
}

fn refusal_part(members: &mut Map<String, Value>) -> Option<Part> {
    let refusal = take_text(members, "refusal")?;
    members.remove("type");
    Some(Part::Refusal(RefusalPart { refusal, extra: std::mem::take(members).into() }))
}

fn image_part(members: &mut Map<String, Value>) -> Option<Part> {
    // Mistral's clients write the address itself where the object should be.
    if let Some(url) = take_text(members, "image_url") {
        members.remove("type");
        let image_url = ImageUrl { url, ..ImageUrl::default() };
        return Some(Part::Image(ImagePart { image_url, extra: std::mem::take(members).into() }));
    }
    let mut inner = take_object(members, "image_url", |inner| {
        is_text(inner, "url") && is_text_or_absent(inner, "detail")
    })?;
    let url = take_text(&mut inner, "url").unwrap_or_default();
    let detail = take_text(&mut inner, "detail");
    let image_url = ImageUrl { url, detail, extra: inner.into() };
    Some(Part::Image(ImagePart { image_url, extra: std::mem::take(members).into() }))
}

fn audio_part(members: &mut Map<String, Value>) -> Option<Part> {
    let mut inner =
        take_object(members, "input_audio", |inner| is_text(inner, "data") && is_text(inner, "format"))?;
    let data = take_text(&mut inner, "data").unwrap_or_default();
    let format = take_text(&mut inner, "format").unwrap_or_default();
    let extra = std::mem::take(members).into();
    Some(Part::Audio(AudioPart { data, format, audio_extra: inner.into(), extra }))
}

fn file_part(members: &mut Map<String, Value>) -> Option<Part> {
    let mut inner = take_object(members, "file", |inner| {
        ["file_data", "file_id", "filename"].iter().all(|name| is_text_or_absent(inner, name))
    })?;
    let file_data = take_text(&mut inner, "file_data");
    let file_id = take_text(&mut inner, "file_id");
    let filename = take_text(&mut inner, "filename");
    let extra = std::mem::take(members).into();
    Some(Part::File(FilePart { file_data, file_id, filename, file_extra: inner.into(), extra }))
}

fn object<'a>(known: impl IntoIterator<Item = (&'a str, Option<&'a String>)>, extra: &Extra) -> Value {
    let mut members: Map<String, Value> =
        extra.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    for (name, value) in known {
        if let Some(value) = value {
            members.insert(name.into(), value.as_str().into());
        }
    }
    Value::Object(members)
}

fn image_value(image: &ImageUrl) -> Value {
    object([("url", Some(&image.url)), ("detail", image.detail.as_ref())], &image.extra)
}

fn audio_value(audio: &AudioPart) -> Value {
    object([("data", Some(&audio.data)), ("format", Some(&audio.format))], &audio.audio_extra)
}

fn file_value(file: &FilePart) -> Value {
    let known = [
        ("file_data", file.file_data.as_ref()),
        ("file_id", file.file_id.as_ref()),
        ("filename", file.filename.as_ref()),
    ];
    object(known, &file.file_extra)
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Part::Text(part) = self
            && part.extra.is_empty()
        {
            use serde::ser::SerializeMap as _;
            let mut map = serializer.serialize_map(Some(2))?;
            map.serialize_entry("type", "text")?;
            map.serialize_entry("text", &part.text)?;
            return map.end();
        }
        self.to_object().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Part;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a content part, an object like {\"type\": \"text\", \"text\": …}")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Part, A::Error> {
                Map::deserialize(MapAccessDeserializer::new(map)).map(Part::from_object)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Content::Text(text) => serializer.serialize_str(text),
            Content::Parts(parts) => parts.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrParts;
        impl<'de> Visitor<'de> for TextOrParts {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of content parts")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Content, E> {
                Ok(Content::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Content, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Content::Parts)
            }
        }
        deserializer.deserialize_any(TextOrParts)
    }
}

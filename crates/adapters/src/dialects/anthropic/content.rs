//! The parts of a message as content blocks.

use base64::Engine as _;
use mainstay_provider_core::Error;
use mainstay_provider_core::chat::{Content, FilePart, ImagePart, Part};
use serde_json::{Map, Value, json};

use super::request::put_extra;
use crate::translate::{Image, data_url, image, invalid};

/// The blocks of a message's content. Empty texts are left out: Anthropic refuses them.
pub(super) fn blocks(content: Option<&Content>, at: usize) -> Result<Vec<Value>, Error> {
    match content {
        None => Ok(Vec::new()),
        Some(Content::Text(whole)) => Ok(text(whole).into_iter().collect()),
        Some(Content::Parts(parts)) => {
            let mut blocks = Vec::with_capacity(parts.len());
            for (number, part) in parts.iter().enumerate() {
                blocks.extend(block(part, &format!("messages[{at}].content[{number}]"))?);
            }
            Ok(blocks)
        }
    }
}

/// A block of text, unless it is empty.
pub(super) fn text(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!({"type": "text", "text": text}))
}

fn block(part: &Part, param: &str) -> Result<Option<Value>, Error> {
    let mut members = match part {
        Part::Text(part) if part.text.is_empty() => return Ok(None),
        Part::Text(part) => {
            Map::from_iter([("type".into(), "text".into()), ("text".into(), part.text.clone().into())])
        }
        Part::Refusal(part) => return Ok(text(&part.refusal)),
        Part::Image(part) => typed("image", image_source(part, param)?),
        Part::File(part) => document(part, param)?,
        Part::Audio(_) => {
            return Err(invalid(param, format!("{param}: Anthropic takes no audio; send a transcript")));
        }
        Part::Other(members) => own_block(members, param)?,
        _ => return Err(invalid(param, format!("{param} is of a type that Anthropic does not take"))),
    };
    if let Some(extra) = part.extra() {
        put_extra(&mut members, extra);
    }
    Ok(Some(Value::Object(members)))
}

fn typed(kind: &str, source: Value) -> Map<String, Value> {
    Map::from_iter([("type".into(), kind.into()), ("source".into(), source)])
}

/// Anthropic's own blocks pass through.
fn own_block(members: &Map<String, Value>, param: &str) -> Result<Map<String, Value>, Error> {
    match members.get("type").and_then(Value::as_str) {
        Some("video_url" | "input_video" | "audio_url" | "image_url" | "input_audio" | "file") | None => {
            Err(invalid(
                param,
                format!("{param} is no content part that Anthropic takes; send text, image_url or file"),
            ))
        }
        Some(_) => Ok(members
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect()),
    }
}

fn image_source(part: &ImagePart, param: &str) -> Result<Value, Error> {
    match image(&part.image_url) {
        Image::Data { media_type, base64 } => {
            let media_type = match media_type {
                "image/jpg" => "image/jpeg",
                known @ ("image/jpeg" | "image/png" | "image/gif" | "image/webp") => known,
                other => {
                    let message =
                        format!("{param}: Anthropic takes JPEG, PNG, GIF and WebP images, not {other:?}");
                    return Err(invalid(param, message));
                }
            };
            Ok(json!({"type": "base64", "media_type": media_type, "data": base64}))
        }
        Image::Url(url) if is_web(url) => Ok(json!({"type": "url", "url": url})),
        Image::Url(_) => {
            let message =
                format!("{param}: the image's url must begin with https:// or be a data: URL in base64");
            Err(invalid(param, message))
        }
    }
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

/// A document: PDF in base64 or by address, anything textual as plain text.
fn document(part: &FilePart, param: &str) -> Result<Map<String, Value>, Error> {
    let source = match (&part.file_data, &part.file_id) {
        (Some(data), _) if is_web(data) => json!({"type": "url", "url": data}),
        (Some(data), _) => data_source(data, part.filename.as_deref(), param)?,
        // Ids of Anthropic's own file store, which is a beta; OpenAI's begin with `file-`.
        (None, Some(id)) if id.starts_with("file_") => json!({"type": "file", "file_id": id}),
        (None, _) => {
            let message = format!(
                "{param}: send the document itself as file_data; Anthropic does not know OpenAI's files"
            );
            return Err(invalid(param, message));
        }
    };
    let mut members = typed("document", source);
    if let Some(name) = part.filename.as_ref().filter(|name| !name.is_empty()) {
        members.insert("title".into(), name.as_str().into());
    }
    put_extra(&mut members, &part.file_extra);
    Ok(members)
}

fn data_source(data: &str, filename: Option<&str>, param: &str) -> Result<Value, Error> {
    let (media_type, base64) = match data_url(data) {
        Some((media_type, base64)) => (media_type, base64),
        None if data.starts_with("data:") => {
            return Err(invalid(param, format!("{param}: the data: URL must be in base64")));
        }
        None => (media_type_by_name(filename), data),
    };
    if media_type == "application/pdf" {
        return Ok(json!({"type": "base64", "media_type": "application/pdf", "data": base64}));
    }
    let textual = media_type.starts_with("text/")
        || matches!(
            media_type,
            "application/json" | "application/xml" | "application/yaml" | "application/x-yaml"
        );
    let text = textual.then(|| base64::engine::general_purpose::STANDARD.decode(base64).ok());
    match text.flatten().and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(text) => Ok(json!({"type": "text", "media_type": "text/plain", "data": text})),
        None => {
            let message = format!(
                "{param}: Anthropic takes PDF and UTF-8 text in base64 as a file, not this {media_type:?}"
            );
            Err(invalid(param, message))
        }
    }
}

/// What a file without a media type is taken for: PDF, unless its name says text.
fn media_type_by_name(filename: Option<&str>) -> &'static str {
    let extension = filename.and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension);
    match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("txt" | "md" | "csv" | "html" | "htm" | "json" | "xml" | "yaml" | "yml" | "log") => "text/plain",
        _ => "application/pdf",
    }
}

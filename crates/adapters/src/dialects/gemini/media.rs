//! Images, recordings and documents as parts.

use mainstay_provider_core::chat::{AudioPart, FilePart, ImageUrl};
use mainstay_provider_core::{Error, Extra};
use serde_json::{Value, json};

use super::Place;
use crate::translate::{Image, data_url, image, invalid};

/// Media types by the end of a name.
const TYPES: [(&str, &str); 33] = [
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("pdf", "application/pdf"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("html", "text/html"),
    ("htm", "text/html"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("xml", "text/xml"),
    ("json", "application/json"),
    ("js", "text/javascript"),
    ("py", "text/x-python"),
    ("rtf", "text/rtf"),
    ("wav", "audio/wav"),
    ("mp3", "audio/mp3"),
    ("aac", "audio/aac"),
    ("ogg", "audio/ogg"),
    ("flac", "audio/flac"),
    ("aiff", "audio/aiff"),
    ("m4a", "audio/m4a"),
    ("mp4", "video/mp4"),
    ("mpeg", "video/mpeg"),
    ("mov", "video/quicktime"),
    ("avi", "video/avi"),
    ("webm", "video/webm"),
    ("wmv", "video/wmv"),
    ("3gp", "video/3gpp"),
];

pub(super) fn inline(media_type: &str, base64: &str) -> Value {
    json!({ "inlineData": { "mimeType": media_type, "data": base64 } })
}

pub(super) fn image_part(url: &ImageUrl, place: &Place) -> Value {
    match image(url) {
        Image::Data { media_type, base64 } => inline(media_type, base64),
        Image::Url(address) => at_address(address, said_type(&url.extra), place, "image/jpeg"),
    }
}

/// A video part has no type of its own in OpenAI's form; several gateways write it like an image.
pub(super) fn video_part(url: &str, place: &Place) -> Value {
    match data_url(url) {
        Some((media_type, base64)) => inline(media_type, base64),
        None => at_address(url, None, place, "video/mp4"),
    }
}

pub(super) fn audio_part(audio: &AudioPart) -> Value {
    match data_url(&audio.data) {
        Some((media_type, base64)) => inline(media_type, base64),
        None => inline(&format!("audio/{}", audio.format), &audio.data),
    }
}

pub(super) fn file_part(file: &FilePart, place: &Place, param: &str) -> Result<Value, Error> {
    let by_name = file.filename.as_deref().and_then(by_ending);
    let said = said_type(&file.file_extra).or(by_name);
    match (file.file_data.as_deref(), file.file_id.as_deref()) {
        (Some(data), _) => Ok(match data_url(data) {
            Some((media_type, base64)) => inline(media_type, base64),
            None if data.contains("://") => at_address(data, said, place, "application/pdf"),
            None => inline(said.unwrap_or("application/pdf"), data),
        }),
        (None, Some(id)) if id.starts_with("files/") => {
            // Gemini's Files API gives names, its models want addresses.
            let address = format!("https://generativelanguage.googleapis.com/v1beta/{id}");
            Ok(at_address(&address, said, place, "application/pdf"))
        }
        (None, Some(id)) => Ok(at_address(id, said, place, "application/pdf")),
        (None, None) => {
            let message = format!("{param} has neither file_data nor file_id; send one of them");
            Err(invalid(param, message))
        }
    }
}

/// Gemini finds out the media type by itself, Vertex wants to be told: a guess is better there than a certain
/// refusal.
fn at_address(address: &str, said: Option<&str>, place: &Place, guess: &str) -> Value {
    let mut file = json!({ "fileUri": address });
    let media_type = said.or_else(|| by_ending(address)).or_else(|| place.is_vertex().then_some(guess));
    if let Some(media_type) = media_type {
        file["mimeType"] = media_type.into();
    }
    json!({ "fileData": file })
}

/// The media type where the caller names it, under one of the names that are in use.
fn said_type(extra: &Extra) -> Option<&str> {
    ["format", "mime_type", "mimeType", "media_type"].iter().find_map(|name| extra.get(name)?.as_str())
}

fn by_ending(name: &str) -> Option<&'static str> {
    let path = name.split(['?', '#']).next().unwrap_or(name);
    // Some addresses end in the type alone: `/image/jpeg`.
    let ending = path.rsplit(['.', '/']).next()?.to_ascii_lowercase();
    TYPES.iter().find(|(known, _)| *known == ending).map(|(_, media_type)| *media_type)
}

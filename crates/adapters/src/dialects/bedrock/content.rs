//! The parts of a message as content blocks.

use mainstay_provider_core::chat::{AudioPart, Content, FilePart, ImagePart, Part};
use mainstay_provider_core::{Error, Extra};
use serde_json::{Map, Value, json};

use crate::translate::{Image, data_url, image, invalid};

/// Bedrock's own blocks, which pass through.
const OWN: &[&str] = &[
    "audio",
    "cachePoint",
    "citationsContent",
    "document",
    "guardContent",
    "image",
    "json",
    "reasoningContent",
    "searchResult",
    "text",
    "toolAddition",
    "toolRemoval",
    "toolResult",
    "toolUse",
    "video",
];

/// Writes the contents of one request.
#[derive(Default)]
pub(super) struct Encoder {
    /// Of the documents so far: Bedrock wants each to have its own.
    names: Vec<String>,
}

/// A block of text, unless it is empty: Bedrock refuses those.
pub(super) fn text(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!({"text": text}))
}

/// The cache point that a `cache_control` stands for.
pub(super) fn cache_point(extra: &Extra) -> Option<Value> {
    let control = extra.get("cache_control")?.as_object()?;
    let mut point = Map::from_iter([("type".into(), "default".into())]);
    if let Some(ttl @ Value::String(_)) = control.get("ttl") {
        point.insert("ttl".into(), ttl.clone());
    }
    Some(json!({"cachePoint": point}))
}

impl Encoder {
    /// The blocks of a message's content.
    pub(super) fn blocks(&mut self, content: Option<&Content>, at: usize) -> Result<Vec<Value>, Error> {
        match content {
            None => Ok(Vec::new()),
            Some(Content::Text(whole)) => Ok(text(whole).into_iter().collect()),
            Some(Content::Parts(parts)) => {
                let mut blocks = Vec::with_capacity(parts.len());
                for (number, part) in parts.iter().enumerate() {
                    let block = self.block(part, &format!("messages[{at}].content[{number}]"))?;
                    let point = part.extra().filter(|_| block.is_some()).and_then(cache_point);
                    blocks.extend(block);
                    blocks.extend(point);
                }
                Ok(blocks)
            }
        }
    }

    fn block(&mut self, part: &Part, param: &str) -> Result<Option<Value>, Error> {
        match part {
            Part::Text(part) => Ok(text(&part.text)),
            Part::Refusal(part) => Ok(text(&part.refusal)),
            Part::Image(part) => image_block(part, param).map(Some),
            Part::Audio(part) => audio_block(part, param).map(Some),
            Part::File(part) => self.document(part, param).map(Some),
            Part::Other(members) => own_block(members, param).map(Some),
            _ => Err(invalid(param, format!("{param} is of a type that Bedrock does not take"))),
        }
    }

    fn document(&mut self, part: &FilePart, param: &str) -> Result<Value, Error> {
        let Some(data) = &part.file_data else {
            let message =
                format!("{param}: send the document itself as file_data; Bedrock has no file store");
            return Err(invalid(param, message));
        };
        let by_name = part.filename.as_deref().and_then(format_by_name);
        let (format, source) = match data_url(data) {
            Some((media_type, base64)) => (format_by_type(media_type).or(by_name), json!({"bytes": base64})),
            None if data.starts_with("s3://") => {
                (format_by_name(data).or(by_name), s3(data, &part.file_extra))
            }
            None if data.contains(':') => (None, Value::Null), // another address: no base64 has a colon
            None => (by_name.or(Some("pdf")), json!({"bytes": data})),
        };
        let Some(format) = format else {
            let formats = "PDF, CSV, DOC, DOCX, XLS, XLSX, HTML, TXT and MD";
            let message = format!("{param}: Bedrock takes {formats} as a data: URL in base64 or from s3://");
            return Err(invalid(param, message));
        };
        let mut document = Map::new();
        document.insert("format".into(), format.into());
        document.insert("name".into(), self.name(part.filename.as_deref()).into());
        document.insert("source".into(), source);
        for name in ["citations", "context"] {
            let said = part.extra.get(name).or_else(|| part.file_extra.get(name));
            if let Some(value) = said.filter(|value| !value.is_null()) {
                document.insert(name.into(), value.clone());
            }
        }
        Ok(json!({"document": document}))
    }

    /// A name of Bedrock's characters that no document before has.
    fn name(&mut self, filename: Option<&str>) -> String {
        const LONGEST: usize = 180; // of 200, so that a number fits behind
        let stem =
            filename.map(|name| name.rsplit_once('.').map_or(name, |(stem, _)| stem)).unwrap_or_default();
        let fits = |character: char| character.is_ascii_alphanumeric() || "-()[]".contains(character);
        let clean: String =
            stem.chars().map(|character| if fits(character) { character } else { ' ' }).collect();
        let mut clean = clean.split_whitespace().collect::<Vec<_>>().join(" ");
        clean.truncate(LONGEST); // ASCII by now
        if clean.is_empty() {
            clean.push_str("Document");
        }
        let mut name = clean.clone();
        let mut number = 1;
        while self.names.contains(&name) {
            number += 1;
            name = format!("{clean} {number}");
        }
        self.names.push(name.clone());
        name
    }
}

fn own_block(members: &Map<String, Value>, param: &str) -> Result<Value, Error> {
    let mut named = members.iter().filter(|(name, _)| *name != "type" && *name != "cache_control");
    match (named.next(), named.next()) {
        (Some((name, value)), None) if OWN.contains(&name.as_str()) => Ok(json!({name.as_str(): value})),
        _ => {
            let message = format!(
                "{param} is no content part that Bedrock takes; send text, image_url, input_audio or file"
            );
            Err(invalid(param, message))
        }
    }
}

fn image_block(part: &ImagePart, param: &str) -> Result<Value, Error> {
    let (format, source) = match image(&part.image_url) {
        Image::Data { media_type, base64 } => (media_type.strip_prefix("image/"), json!({"bytes": base64})),
        Image::Url(url) if url.starts_with("s3://") => {
            (url.rsplit_once('.').map(|(_, extension)| extension), s3(url, &part.image_url.extra))
        }
        Image::Url(_) => {
            let message =
                format!("{param}: Bedrock fetches no images; send a data: URL in base64 or an s3:// address");
            return Err(invalid(param, message));
        }
    };
    let format = match format {
        Some("jpg" | "jpeg") => "jpeg",
        Some(known @ ("png" | "gif" | "webp")) => known,
        _ => return Err(invalid(param, format!("{param}: Bedrock takes JPEG, PNG, GIF and WebP images"))),
    };
    Ok(json!({"image": {"format": format, "source": source}}))
}

fn audio_block(part: &AudioPart, param: &str) -> Result<Value, Error> {
    const FORMATS: &[&str] = &[
        "mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg", "mpga",
        "pcm", "webm",
    ];
    if !FORMATS.contains(&part.format.as_str()) {
        let message = format!("{param}: the audio's format must be one of {}", FORMATS.join(", "));
        return Err(invalid(param, message));
    }
    Ok(json!({"audio": {"format": part.format, "source": {"bytes": part.data}}}))
}

/// An address in S3, with the bucket's owner if the part names one.
fn s3(uri: &str, extra: &Extra) -> Value {
    match extra.get("bucketOwner") {
        Some(owner @ Value::String(_)) => json!({"s3Location": {"uri": uri, "bucketOwner": owner}}),
        _ => json!({"s3Location": {"uri": uri}}),
    }
}

fn format_by_type(media_type: &str) -> Option<&'static str> {
    Some(match media_type {
        "application/pdf" => "pdf",
        "text/csv" => "csv",
        "application/msword" => "doc",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.ms-excel" => "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        "text/html" => "html",
        "text/markdown" => "md",
        "application/json" | "application/xml" | "application/yaml" => "txt",
        text if text.starts_with("text/") => "txt",
        _ => return None,
    })
}

fn format_by_name(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "pdf" => "pdf",
        "csv" => "csv",
        "doc" => "doc",
        "docx" => "docx",
        "xls" => "xls",
        "xlsx" => "xlsx",
        "html" | "htm" => "html",
        "md" => "md",
        "txt" | "json" | "xml" | "yaml" | "yml" | "log" => "txt",
        _ => return None,
    })
}

//! One recorded exchange, as `fixtures/README.md` describes its file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// One recorded exchange.
#[derive(Debug, Deserialize)]
pub(crate) struct Fixture {
    pub(crate) provider: String,
    pub(crate) name: String,
    pub(crate) api: String,
    #[serde(default)]
    pub(crate) categories: Vec<String>,
    pub(crate) expected_class: Option<String>,
    pub(crate) request: Option<Request>,
    pub(crate) response: Response,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) body: Value,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Response {
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Outer `None`: the member is absent; inner null: the source quotes only status and headers.
    #[serde(default, deserialize_with = "present")]
    pub(crate) body: Option<Value>,
    pub(crate) body_text: Option<String>,
    pub(crate) sse_text: Option<String>,
    pub(crate) ndjson_text: Option<String>,
    pub(crate) eventstream_base64: Option<String>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Fixture {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no recorded exchange", path.display()))
    }

    /// `openai/chat_plain_01`
    pub(crate) fn id(&self) -> String {
        format!("{}/{}", self.provider, self.name)
    }

    /// The body of the recorded request; null when there is none.
    pub(crate) fn asked(&self) -> &Value {
        self.request.as_ref().map_or(&Value::Null, |request| &request.body)
    }

    /// Whether the exchange failed: by its status, or by an error event in its stream.
    pub(crate) fn is_failure(&self) -> bool {
        self.expected_class.is_some() || !(200..300).contains(&self.response.status)
    }
}

impl Response {
    /// The bytes that the provider sent.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>> {
        if let Some(encoded) = &self.eventstream_base64 {
            return base64::engine::general_purpose::STANDARD
                .decode(encoded)
                .context("eventstream_base64 is no base64");
        }
        if let Some(text) = self.sse_text.as_ref().or(self.ndjson_text.as_ref()).or(self.body_text.as_ref()) {
            return Ok(text.clone().into_bytes());
        }
        match &self.body {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(body) => Ok(serde_json::to_vec(body)?),
        }
    }

    /// Whether it was answered in pieces.
    pub(crate) fn is_stream(&self) -> bool {
        self.sse_text.is_some() || self.ndjson_text.is_some() || self.eventstream_base64.is_some()
    }

    /// Whether the answer has the form of chat completions.
    pub(crate) fn is_chat_completion(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.get("choices").is_some())
            || self.sse_text.as_ref().is_some_and(|text| text.contains("\"chat.completion.chunk\""))
    }

    /// The media type that belongs to the recorded form, for recordings without that header.
    pub(crate) fn media_type(&self) -> &'static str {
        if self.sse_text.is_some() {
            "text/event-stream"
        } else if self.ndjson_text.is_some() {
            "application/x-ndjson"
        } else if self.eventstream_base64.is_some() {
            "application/vnd.amazon.eventstream"
        } else if self.body_text.is_some() {
            "text/plain"
        } else {
            "application/json"
        }
    }
}

/// Every recorded exchange below a folder, in the order of names.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(folder, &mut found)?;
    found.sort();
    anyhow::ensure!(!found.is_empty(), "there is no .json file in {}", folder.display());
    Ok(found)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    Ok(())
}

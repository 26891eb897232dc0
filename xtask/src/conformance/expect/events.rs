//! The events of a recorded stream, or the one of a whole answer.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::conformance::fixture::Response;

/// One event: its name where it has one, and its JSON.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Value,
    /// Whether it is a whole answer and not a piece.
    pub(crate) whole: bool,
}

impl Event {
    fn piece(name: &str, data: Value) -> Self {
        Self { name: name.to_owned(), data, whole: false }
    }
}

pub(crate) fn of(response: &Response) -> Result<Vec<Event>> {
    if let Some(text) = &response.sse_text {
        return sse(text);
    }
    if let Some(text) = &response.ndjson_text {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        return lines.map(|line| Ok(Event::piece("", serde_json::from_str(line)?))).collect();
    }
    if response.eventstream_base64.is_some() {
        return frames(&response.bytes()?);
    }
    match response.body.clone() {
        // Gemini without `alt=sse` streams one JSON list.
        Some(Value::Array(list)) => Ok(list.into_iter().map(|data| Event::piece("", data)).collect()),
        Some(data) => Ok(vec![Event { name: String::new(), data, whole: true }]),
        None => Ok(Vec::new()),
    }
}

fn sse(text: &str) -> Result<Vec<Event>> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut events = Vec::new();
    for block in text.split("\n\n") {
        let (mut name, mut data) = ("", Vec::new());
        for line in block.lines() {
            if let Some(value) = line.strip_prefix("event:") {
                name = value.trim();
            } else if let Some(value) = line.strip_prefix("data:") {
                data.push(value.strip_prefix(' ').unwrap_or(value));
            }
        }
        let data = data.join("\n");
        if data.trim().is_empty() || data.trim() == "[DONE]" {
            continue;
        }
        events.push(Event::piece(
            name,
            serde_json::from_str(&data).with_context(|| format!("event {data:?}"))?,
        ));
    }
    Ok(events)
}

/// AWS event-stream frames; the checksums are the adapter's to check.
fn frames(mut bytes: &[u8]) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    while bytes.len() >= 16 {
        let total = number(&bytes[..4]);
        let headers_end = 12 + number(&bytes[4..8]);
        ensure!(total <= bytes.len() && headers_end + 4 <= total, "a frame of the event stream is cut");
        let headers = headers(&bytes[12..headers_end]);
        let name = headers.iter().find(|(name, _)| name == ":event-type" || name == ":exception-type");
        let payload = serde_json::from_slice(&bytes[headers_end..total - 4])?;
        events.push(Event::piece(name.map_or("", |(_, value)| value), payload));
        bytes = &bytes[total..];
    }
    Ok(events)
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn headers(mut bytes: &[u8]) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    while let [length, rest @ ..] = bytes {
        let Some((name, rest)) = rest.split_at_checked(usize::from(*length)) else { break };
        // Kind 7 is a text with a length of two bytes; Bedrock sends no other.
        let [7, high, low, rest @ ..] = rest else { break };
        let Some((value, rest)) = rest.split_at_checked(number(&[*high, *low])) else { break };
        headers
            .push((String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned()));
        bytes = rest;
    }
    headers
}

//! The caller: a plain HTTP client that asks as OpenAI's own clients do, and keeps all that it is told.

use super::answer;
use super::log::Log;
use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// After `[DONE]` a client is content; this long it looks whether the transfer ends too.
const GRACE: Duration = Duration::from_millis(500);

/// What a caller got. Times are from the scenario's start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Got {
    pub(crate) asked: Duration,
    pub(crate) status: Option<u16>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) first_word: Option<Duration>,
    pub(crate) ended: Duration,
    pub(crate) text: String,
    pub(crate) model: Option<String>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) usage: Vec<Value>,
    pub(crate) error: Option<Value>,
    /// `[DONE]` has come, or a whole answer that is no stream.
    pub(crate) done: bool,
    /// Events that are no JSON.
    pub(crate) malformed: usize,
    /// How the connection failed.
    pub(crate) broken: Option<String>,
    /// It was still waiting when its patience ended.
    pub(crate) hung: bool,
    /// Every byte of the body, as text.
    pub(crate) raw: String,
}

/// What a call came to, in a caller's eyes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every word once, a finish reason, and the end said so.
    Whole,
    /// An error that the API tells: a status with a body, or an event.
    Error(String),
    /// It looks complete, and is not.
    Truncated(String),
    /// A part, with a finish reason that says so (`length`, `content_filter`, `timeout`).
    Partial(String),
    /// Words that are wrong, or events that nobody can read.
    Garbled(String),
    /// The connection ended without a word about it.
    BrokenOff(String),
    /// Nothing more came, and no end either.
    Hung(String),
}

/// Asks once, and for no longer than `patience`.
pub(crate) async fn ask(address: SocketAddr, body: &Value, patience: Duration, log: &Log) -> Got {
    let mut got = Got { asked: log.now(), ..Got::default() };
    match tokio::time::timeout(patience, converse(address, body, log, &mut got)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => got.broken = Some(error.root_cause().to_string()),
        Err(_) => got.hung = true,
    }
    if !got.done || got.ended.is_zero() {
        got.ended = log.now();
    }
    got
}

async fn converse(address: SocketAddr, body: &Value, log: &Log, got: &mut Got) -> Result<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = http::Request::post("/v1/chat/completions")
        .header("host", address.to_string())
        .header("content-type", "application/json")
        .header("authorization", "Bearer test")
        .body(Full::new(Bytes::from(body.to_string())))?;
    let response = sender.send_request(request).await?;
    got.status = Some(response.status().as_u16());
    for (name, value) in response.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        got.headers.insert(name.as_str().to_owned(), value);
    }
    let streamed = got.headers.get("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
    if streamed {
        read_events(response.into_body(), log, got).await?;
    } else {
        let body = response.into_body().collect().await?.to_bytes();
        got.read_whole(&body, log.now());
    }
    connection.abort();
    Ok(())
}

async fn read_events(mut body: Incoming, log: &Log, got: &mut Got) -> Result<()> {
    let mut unread = Vec::new();
    loop {
        let frame = if got.done {
            match tokio::time::timeout(GRACE, body.frame()).await {
                Ok(frame) => frame,
                Err(_) => return Ok(()),
            }
        } else {
            body.frame().await
        };
        let Some(frame) = frame else { return Ok(()) };
        let frame = match frame {
            // What comes after the end matters to nobody.
            Err(_) if got.done => return Ok(()),
            frame => frame?,
        };
        unread.extend_from_slice(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
        while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = unread.drain(..=end).collect();
            got.read_line(String::from_utf8_lossy(&line).trim_end(), log.now());
        }
    }
}

impl Got {
    fn read_line(&mut self, line: &str, now: Duration) {
        self.raw.push_str(line);
        self.raw.push('\n');
        let Some(data) = line.strip_prefix("data:").map(str::trim) else { return };
        if data == "[DONE]" {
            self.done = true;
            self.ended = now;
            return;
        }
        let Ok(event) = serde_json::from_str::<Value>(data) else {
            self.malformed += 1;
            return;
        };
        let choice = &event["choices"][0];
        let text = choice["delta"]["content"].as_str().unwrap_or_default();
        self.take(&event, choice, text, now);
    }

    fn read_whole(&mut self, body: &[u8], now: Duration) {
        self.raw = String::from_utf8_lossy(body).into_owned();
        let Ok(answer) = serde_json::from_slice::<Value>(body) else {
            self.malformed += 1;
            return;
        };
        let choice = &answer["choices"][0];
        self.take(&answer, choice, &answer::text_of(&choice["message"]), now);
        self.done = self.error.is_none();
        self.ended = now;
    }

    fn take(&mut self, event: &Value, choice: &Value, text: &str, now: Duration) {
        if !event["error"].is_null() {
            self.error.get_or_insert_with(|| event["error"].clone());
        }
        if !text.is_empty() {
            self.first_word.get_or_insert(now);
            self.text.push_str(text);
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.finish_reason = Some(reason.to_owned());
        }
        if let Some(model) = event["model"].as_str().filter(|model| !model.is_empty()) {
            self.model = Some(model.to_owned());
        }
        if event["usage"].is_object() {
            self.usage.push(event["usage"].clone());
        }
    }

    /// From the question to the first word.
    pub(crate) fn first_word_after(&self) -> Option<Duration> {
        Some(self.first_word?.saturating_sub(self.asked))
    }

    /// From the question to the end.
    pub(crate) fn took(&self) -> Duration {
        self.ended.saturating_sub(self.asked)
    }

    pub(crate) fn outcome(&self) -> Outcome {
        let flaw = answer::difference(&self.text);
        let part = flaw.clone().unwrap_or_else(|| "all words".to_owned());
        if self.hung {
            return Outcome::Hung(part);
        }
        if self.malformed > 0 {
            return Outcome::Garbled(format!("{part}, {} events that are no JSON", self.malformed));
        }
        if answer::rest_after(&self.text).is_none() {
            return Outcome::Garbled(part);
        }
        if let Some(error) = &self.error {
            // An error after which the stream says that all is well is none that a client sees.
            if self.done || self.finish_reason.as_deref() == Some("stop") {
                return Outcome::Garbled(format!("{part}, an error event, and an end as if all were well"));
            }
            let code = [&error["code"], &error["type"]].into_iter().find_map(Value::as_str);
            let status = self.status.unwrap_or_default();
            return Outcome::Error(format!("{status} {}", code.unwrap_or("error")));
        }
        if let Some(broken) = &self.broken {
            return Outcome::BrokenOff(format!("{part}, then {broken}"));
        }
        if self.status != Some(200) {
            return Outcome::BrokenOff(format!(
                "status {} without an error",
                self.status.unwrap_or_default()
            ));
        }
        match (&flaw, self.finish_reason.as_deref()) {
            (None, Some("stop")) if self.done => Outcome::Whole,
            (None, reason) => Outcome::BrokenOff(format!(
                "all words, finish reason {}, {}",
                reason.unwrap_or("none"),
                if self.done { "[DONE]" } else { "no [DONE]" }
            )),
            (Some(flaw), None | Some("stop")) => Outcome::Truncated(flaw.clone()),
            (Some(flaw), Some(reason)) => Outcome::Partial(format!("{flaw}, marked {reason}")),
        }
    }
}

impl Outcome {
    /// For the table.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Whole => "whole answer".to_owned(),
            Self::Error(text) => format!("error {text}"),
            Self::Truncated(text) => format!("truncated success: {text}"),
            Self::Partial(text) => format!("partial answer: {text}"),
            Self::Garbled(text) => format!("garbled: {text}"),
            Self::BrokenOff(text) => format!("broken off: {text}"),
            Self::Hung(text) => format!("hung: {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streamed(lines: &[&str]) -> Got {
        let mut got = Got { status: Some(200), ..Got::default() };
        for line in lines {
            got.read_line(line, Duration::from_secs(1));
        }
        got
    }

    fn words(from: usize, to: usize) -> String {
        let text = answer::tokens()[from..to].concat();
        format!("data: {}", serde_json::json!({"choices": [{"delta": {"content": text}}]}))
    }

    const STOP: &str = r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    const ERROR: &str = r#"data: {"error":{"message":"m","type":"server_error","code":"network"}}"#;
    const DONE: &str = "data: [DONE]";

    #[test]
    fn whole_is_every_word_once_and_a_proper_end() {
        assert_eq!(streamed(&[&words(0, 60), STOP, DONE]).outcome(), Outcome::Whole);
        assert!(matches!(streamed(&[&words(0, 60), STOP]).outcome(), Outcome::BrokenOff(_)));
        assert!(matches!(streamed(&[&words(0, 60), DONE]).outcome(), Outcome::BrokenOff(_)));
    }

    #[test]
    fn a_short_answer_is_truncated_however_properly_it_ends() {
        for end in [&[STOP, DONE][..], &[DONE], &[STOP], &[]] {
            let words = words(0, 40);
            let lines = [&[words.as_str()], end].concat();
            assert!(matches!(streamed(&lines).outcome(), Outcome::Truncated(_)), "{end:?}");
        }
        let marked = STOP.replace("stop", "length");
        assert!(matches!(streamed(&[&words(0, 40), &marked, DONE]).outcome(), Outcome::Partial(_)));
    }

    #[test]
    fn an_error_event_is_an_error_unless_the_end_denies_it() {
        assert_eq!(streamed(&[&words(0, 40), ERROR]).outcome(), Outcome::Error("200 network".to_owned()));
        assert!(matches!(streamed(&[&words(0, 40), ERROR, DONE]).outcome(), Outcome::Garbled(_)));
        assert!(matches!(streamed(&[&words(0, 40), ERROR, STOP]).outcome(), Outcome::Garbled(_)));
    }

    #[test]
    fn gaps_repetitions_and_unreadable_events_are_garbled() {
        for middle in [vec![words(0, 9), words(10, 60)], vec![words(0, 40), words(0, 60)]] {
            let lines: Vec<&str> = middle.iter().map(String::as_str).chain([STOP, DONE]).collect();
            assert!(matches!(streamed(&lines).outcome(), Outcome::Garbled(_)));
        }
        let got = streamed(&[&words(0, 60), "data: {\"choices\":[{", STOP, DONE]);
        assert!(matches!(got.outcome(), Outcome::Garbled(_)));
    }

    #[test]
    fn a_connection_that_ends_or_says_nothing_is_no_answer() {
        let mut got = streamed(&[&words(0, 40)]);
        got.broken = Some("reset".to_owned());
        assert_eq!(got.outcome(), Outcome::BrokenOff("40 of 60 words, then reset".to_owned()));
        got.hung = true;
        assert_eq!(got.outcome(), Outcome::Hung("40 of 60 words".to_owned()));
    }

    #[test]
    fn a_whole_answer_that_is_no_stream_is_read_too() {
        let mut got = Got { status: Some(200), ..Got::default() };
        let choice = serde_json::json!({"message": {"content": answer::text()}, "finish_reason": "stop"});
        got.read_whole(serde_json::json!({"choices": [choice]}).to_string().as_bytes(), Duration::ZERO);
        assert_eq!(got.outcome(), Outcome::Whole);
    }
}

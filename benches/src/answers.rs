//! What is asked and what is answered, and how to tell that an answer is complete.

use anyhow::{Context, Result, ensure};
use memchr::memmem;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::LazyLock;

/// Events of a stream before `[DONE]`.
pub const EVENTS: usize = 20;

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Shape {
    /// A whole answer of 473 bytes.
    Json,
    /// 20 events, each its own write, as fast as they go.
    Stream,
    /// 20 events: the first after 20 ms, then one every 10 ms.
    Paced,
    /// One event each second until the client leaves.
    Held,
}

impl Shape {
    /// The model that a client asks for. The gateway's configuration maps it to `<name>-model`.
    pub fn model(self) -> &'static str {
        match self {
            Self::Json | Self::Stream => "bench",
            Self::Paced => "paced",
            Self::Held => "held",
        }
    }

    /// Whether the answer comes as events.
    pub fn is_stream(self) -> bool {
        self != Self::Json
    }

    /// What the upstream is asked for, by model and `stream`.
    pub fn of_request(body: &[u8]) -> Self {
        let says = |text: &str| memmem::find(body, text.as_bytes()).is_some();
        match () {
            () if says("\"held") => Self::Held,
            () if says("\"paced") => Self::Paced,
            () if says("\"stream\":true") || says("\"stream\": true") => Self::Stream,
            () => Self::Json,
        }
    }

    /// The bytes of a request: two messages, a little under 300 bytes of body.
    pub fn request(self, address: SocketAddr) -> Vec<u8> {
        let body = json!({
            "model": self.model(),
            "messages": [
                {"role": "system", "content": "You are the mate of a sailing ship. Answer in one short sentence."},
                {"role": "user", "content": "What is the rope called that holds the mast from behind, and what does it do in a storm?"},
            ],
            "temperature": 0.2,
            "max_tokens": 64,
            "stream": self.is_stream(),
        })
        .to_string();
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer sk-bench\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// An error unless the answer is whole.
    pub fn check(self, status: Option<u16>, body: &[u8]) -> Result<()> {
        ensure!(status == Some(200), "status {status:?}: {}", start_of(body));
        if self.is_stream() { check_stream(body) } else { check_json(body) }
    }
}

/// 473 bytes of JSON with usage.
pub static ANSWER: LazyLock<String> = LazyLock::new(|| {
    let content = |filling: usize| {
        json!({
            "id": "chatcmpl-bench0000000000000000",
            "object": "chat.completion",
            "created": 1_750_000_000,
            "model": "bench-model",
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": format!("{TEXT}{}", ".".repeat(filling)), "refusal": null},
                "logprobs": null,
                "finish_reason": "stop",
            }],
            "usage": {"prompt_tokens": 48, "completion_tokens": 17, "total_tokens": 65},
            "system_fingerprint": "fp_bench",
        })
        .to_string()
    };
    content(ANSWER_BYTES.saturating_sub(content(0).len()))
});
const ANSWER_BYTES: usize = 473;
const TEXT: &str =
    "It is the mainstay: it runs from the mast to the deck and takes the strain when the wind is up.";

/// The events of a stream, each as the text after which a blank line follows.
pub static STREAM: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut events: Vec<String> = (0..EVENTS).map(event).collect();
    events.push("data: [DONE]\n\n".to_owned());
    events
});

/// The first brings the role and text already, the last the finish reason and usage: nothing that could be held back.
fn event(number: usize) -> String {
    let mut chunk = json!({
        "id": "chatcmpl-bench0000000000000000",
        "object": "chat.completion.chunk",
        "created": 1_750_000_000,
        "model": "bench-model",
        "choices": [{"index": 0, "delta": {"content": format!("word{number:02} ")}, "finish_reason": null}],
    });
    if number == 0 {
        chunk["choices"][0]["delta"]["role"] = json!("assistant");
    }
    if number == EVENTS - 1 {
        chunk["choices"][0]["finish_reason"] = json!("stop");
        chunk["usage"] = json!({"prompt_tokens": 48, "completion_tokens": 20, "total_tokens": 68});
    }
    format!("data: {chunk}\n\n")
}

/// Ends of events in a stream so far.
pub fn events_in(body: &[u8]) -> usize {
    memmem::find_iter(body, b"\n\n").count()
}

fn check_json(body: &[u8]) -> Result<()> {
    let has = |text: &str| memmem::find(body, text.as_bytes()).is_some();
    ensure!(
        has(TEXT) && has("\"total_tokens\"") && body.ends_with(b"}"),
        "not the whole answer: {}",
        start_of(body)
    );
    Ok(())
}

fn check_stream(body: &[u8]) -> Result<()> {
    let events = memmem::find_iter(body, b"data: {").count();
    ensure!(events == EVENTS, "{events} events instead of {EVENTS}: {}", start_of(body));
    ensure!(body.trim_ascii_end().ends_with(b"data: [DONE]"), "no [DONE] at the end: {}", start_of(body));
    Ok(())
}

/// The slow check, made once before measuring: every text is JSON and says what was sent.
pub fn check_meaning(shape: Shape, body: &[u8]) -> Result<()> {
    if shape == Shape::Json {
        let answer: serde_json::Value = serde_json::from_slice(body).context("the answer is not JSON")?;
        ensure!(
            answer.pointer("/usage/total_tokens") == Some(&json!(65)),
            "the usage is not what was sent: {answer}"
        );
        return Ok(());
    }
    let text = std::str::from_utf8(body).context("the stream is no text")?;
    let mut said = String::new();
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]") {
        let chunk: serde_json::Value =
            serde_json::from_str(data).with_context(|| format!("not JSON: {data}"))?;
        said +=
            chunk.pointer("/choices/0/delta/content").and_then(serde_json::Value::as_str).unwrap_or_default();
    }
    let sent: String = (0..EVENTS).map(|number| format!("word{number:02} ")).collect();
    ensure!(said == sent, "the stream says {said:?} instead of {sent:?}");
    Ok(())
}

fn start_of(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_the_size_that_earlier_measurements_used() {
        assert_eq!(ANSWER.len(), ANSWER_BYTES);
        Shape::Json.check(Some(200), ANSWER.as_bytes()).unwrap();
        check_meaning(Shape::Json, ANSWER.as_bytes()).unwrap();
    }

    #[test]
    fn a_whole_stream_passes_and_a_shortened_one_does_not() {
        let stream = STREAM.concat();
        Shape::Stream.check(Some(200), stream.as_bytes()).unwrap();
        check_meaning(Shape::Stream, stream.as_bytes()).unwrap();
        assert_eq!(events_in(stream.as_bytes()), EVENTS + 1);
        let without_done = STREAM[..EVENTS].concat();
        assert!(Shape::Stream.check(Some(200), without_done.as_bytes()).is_err());
        let with_a_gap = [&STREAM[..5], &STREAM[6..]].concat().concat();
        assert!(Shape::Stream.check(Some(200), with_a_gap.as_bytes()).is_err());
    }

    #[test]
    fn the_upstream_knows_what_it_is_asked_for_also_through_the_gateways_names() {
        let address = "127.0.0.1:1".parse().unwrap();
        for shape in [Shape::Json, Shape::Stream, Shape::Paced, Shape::Held] {
            let request = String::from_utf8(shape.request(address)).unwrap();
            assert_eq!(Shape::of_request(request.as_bytes()), shape);
            let mapped =
                request.replace(&format!("\"{}\"", shape.model()), &format!("\"{}-model\"", shape.model()));
            assert_eq!(Shape::of_request(mapped.as_bytes()), shape);
        }
    }
}

//! Streams: events pass as they arrive, ends are told truly.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{
    Client, FINISH, Gateway, LAST_CHUNK, STREAM_HEAD, USAGE, Upstream, chat, chat_body, json_response, post,
    sse_chunk, word,
};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

const WHOLE: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"the-model","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;

fn stream_of(events: &[&str]) -> String {
    let events: String = events.iter().map(|event| sse_chunk(event)).collect();
    format!("{STREAM_HEAD}{events}{LAST_CHUNK}")
}

#[tokio::test]
async fn a_complete_stream_ends_with_done_and_usage_only_for_those_who_asked() {
    let events = stream_of(&[&word("hello"), FINISH, USAGE, "[DONE]"]);
    let upstream = Upstream::answering(events).await;
    let gateway = Gateway::before(&upstream, "");
    let plain = chat(&gateway, "\"stream\":true").await;
    assert!(plain.contains("text/event-stream") && plain.contains("hello"), "{plain}");
    assert!(plain.contains("data: [DONE]") && !plain.contains("prompt_tokens"), "{plain}");
    let asked = chat(&gateway, "\"stream\":true,\"stream_options\":{\"include_usage\":true}").await;
    assert!(asked.contains("\"prompt_tokens\":3"), "{asked}");
    // The provider's own text is passed on untouched.
    assert!(asked.contains(USAGE), "{asked}");
    assert!(asked.contains("x-mainstay-deployment: up/the-model"), "{asked}");
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_an_error_event_and_never_done() {
    let upstream = Upstream::answering(format!("{STREAM_HEAD}{}", sse_chunk(&word("hello")))).await;
    let gateway = Gateway::before(&upstream, "");
    let answer = chat(&gateway, "\"stream\":true").await;
    assert!(answer.contains("hello") && answer.contains("\"error\""), "{answer}");
    assert!(!answer.contains("[DONE]"), "{answer}");
}

#[tokio::test]
async fn a_stream_that_ends_without_a_finish_reason_is_an_error_event() {
    let upstream = Upstream::answering(stream_of(&[&word("hello")])).await;
    let gateway = Gateway::before(&upstream, "");
    let answer = chat(&gateway, "\"stream\":true").await;
    assert!(answer.contains("malformed_response") && !answer.contains("[DONE]"), "{answer}");
}

#[tokio::test]
async fn a_missing_done_after_the_finish_reason_is_a_whole_answer() {
    let upstream = Upstream::answering(stream_of(&[&word("hello"), FINISH])).await;
    let gateway = Gateway::before(&upstream, "");
    let answer = chat(&gateway, "\"stream\":true").await;
    assert!(answer.contains("data: [DONE]") && !answer.contains("\"error\""), "{answer}");
}

// S1.7: to a client that reads events, a body without any is an empty answer.
#[tokio::test]
async fn an_upstream_that_answers_whole_is_streamed_to_those_who_asked_for_a_stream() {
    let upstream = Upstream::answering(json_response("200 OK", WHOLE)).await;
    let gateway = Gateway::before(&upstream, "");
    let answer = chat(&gateway, "\"stream\":true,\"stream_options\":{\"include_usage\":true}").await;
    assert!(answer.contains("content-type: text/event-stream"), "{answer}");
    assert!(
        answer.contains("\"content\":\"hello\"") && answer.contains("\"finish_reason\":\"stop\""),
        "{answer}"
    );
    assert!(answer.contains("\"prompt_tokens\":3") && answer.contains("data: [DONE]"), "{answer}");
    let whole = chat(&gateway, "").await;
    assert!(whole.ends_with(WHOLE), "{whole}");
}

#[tokio::test]
async fn an_error_event_before_content_is_an_http_error() {
    let error = r#"{"error":{"message":"overloaded","type":"server_error","code":"server_is_overloaded"}}"#;
    let upstream = Upstream::answering(stream_of(&[error])).await;
    let gateway = Gateway::before(&upstream, "");
    let answer = chat(&gateway, "\"stream\":true").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("\"kind\":\"overloaded\""), "{answer}");
}

/// Two gateways of the field leave Nagle's algorithm on: on a kept-alive connection every event then waits about 40 ms
/// for the client's delayed acknowledgement. The gaps of the whole stream would add up to far more than this bound.
#[tokio::test]
async fn events_on_a_kept_alive_connection_are_not_held_back() {
    const EVENTS: u32 = 20;
    const GAP: Duration = Duration::from_millis(5);
    /// 20 gaps of 5 ms are 100 ms (timers may make it 140); 20 held-back events would be 800 ms.
    const MOST: Duration = Duration::from_millis(400);
    let upstream = Upstream::start(|mut stream| async move {
        // The upstream answers requests on one connection, one after the other.
        loop {
            stream.write_all(STREAM_HEAD.as_bytes()).await.unwrap();
            for _ in 0..EVENTS {
                tokio::time::sleep(GAP).await;
                stream.write_all(sse_chunk(&word("w")).as_bytes()).await.unwrap();
                // Two small writes in a row are what Nagle's algorithm holds back.
                stream.write_all(sse_chunk(&word("v")).as_bytes()).await.unwrap();
            }
            let end = format!("{}{}{LAST_CHUNK}", sse_chunk(FINISH), sse_chunk("[DONE]"));
            stream.write_all(end.as_bytes()).await.unwrap();
            let mut request = [0; 8192];
            if !matches!(tokio::io::AsyncReadExt::read(&mut stream, &mut request).await, Ok(1..)) {
                return;
            }
        }
    })
    .await;
    let gateway = Gateway::before(&upstream, "");
    let mut client = Client::connect(&gateway).await;
    let mut fastest = Duration::MAX;
    // A busy machine makes some of them slow, Nagle's algorithm each.
    for _ in 0..20 {
        if fastest < MOST {
            break;
        }
        let begun = Instant::now();
        client.send(&post("/v1/chat/completions", &chat_body("\"stream\":true"))).await;
        client.read_until("0\r\n\r\n").await;
        fastest = fastest.min(begun.elapsed());
    }
    assert!(fastest < MOST, "took {fastest:?}");
}

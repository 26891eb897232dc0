//! Stopping: readiness first, running answers to their end, the rest cut off with an error event (rules G1, G2).

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{
    Client, FINISH, Gateway, LAST_CHUNK, PATIENCE, STREAM_HEAD, Upstream, chat_body, exchange, post,
    sse_chunk, word,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const READY: &str = "GET /health/ready HTTP/1.1\r\nhost: g\r\n\r\n";

/// An upstream whose stream takes `middle` between its first and its last event.
async fn slow_stream(middle: Duration) -> Upstream {
    Upstream::start(move |mut stream| async move {
        stream.write_all(format!("{STREAM_HEAD}{}", sse_chunk(&word("first"))).as_bytes()).await.unwrap();
        tokio::time::sleep(middle).await;
        let rest =
            format!("{}{}{}{LAST_CHUNK}", sse_chunk(&word("last")), sse_chunk(FINISH), sse_chunk("[DONE]"));
        let _ = stream.write_all(rest.as_bytes()).await;
    })
    .await
}

async fn open_stream(gateway: &Gateway) -> Client {
    let mut client = Client::connect(gateway).await;
    client.send(&post("/v1/chat/completions", &chat_body("\"stream\":true"))).await;
    client.read_until("first").await;
    client
}

async fn not_ready(gateway: &Gateway) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !exchange(gateway, READY).await.starts_with("HTTP/1.1 503") {
        assert!(tokio::time::Instant::now() < deadline, "still ready");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the gateway takes no more connections.
async fn closed(gateway: &Gateway) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while TcpStream::connect(&gateway.address).await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "still listening");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_running_stream_is_finished_before_the_gateway_stops() {
    let upstream = slow_stream(Duration::from_millis(500)).await;
    let mut gateway = Gateway::before(&upstream, "");
    let mut client = open_stream(&gateway).await;
    gateway.terminate();
    let rest = client.read_until("[DONE]").await;
    assert!(rest.contains("last"), "{rest}");
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn readiness_fails_first_while_requests_are_still_taken() {
    let upstream = slow_stream(Duration::ZERO).await;
    let mut gateway = Gateway::before(&upstream, "drain_delay = \"60s\"");
    assert!(exchange(&gateway, READY).await.starts_with("HTTP/1.1 200"));
    gateway.terminate();
    not_ready(&gateway).await;
    open_stream(&gateway).await.read_until("[DONE]").await;
    gateway.terminate();
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn the_delay_before_draining_ends_by_itself() {
    let upstream = slow_stream(Duration::ZERO).await;
    let mut gateway = Gateway::before(&upstream, "drain_delay = \"300ms\"");
    gateway.terminate();
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn what_takes_too_long_is_cut_off_with_an_error_event() {
    let upstream = slow_stream(Duration::from_secs(60)).await;
    let mut gateway = Gateway::before(&upstream, "drain_limit = \"300ms\"");
    let mut client = open_stream(&gateway).await;
    gateway.terminate();
    let rest = client.read_to_end().await;
    assert!(
        rest.contains("\"error\"") && rest.contains("shutting down") && !rest.contains("[DONE]"),
        "{rest}"
    );
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn a_second_signal_cuts_off_at_once() {
    let upstream = slow_stream(Duration::from_secs(60)).await;
    let mut gateway = Gateway::before(&upstream, "");
    let mut client = open_stream(&gateway).await;
    gateway.terminate();
    // Two signals before the first is seen would be one.
    closed(&gateway).await;
    gateway.terminate();
    let rest = client.read_to_end().await;
    assert!(rest.contains("shutting down"), "{rest}");
    assert!(gateway.ended().await.success());
}

/// An upstream that takes a request and does not answer.
async fn silent() -> Upstream {
    Upstream::start(|stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await
}

/// A call that has reached the upstream and waits for it.
async fn asked(gateway: &Gateway, upstream: &Upstream, path: &str, body: &str) -> Client {
    let mut client = Client::connect(gateway).await;
    client.send(&post(path, body)).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while upstream.requests.lock().unwrap().is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "the upstream is not asked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    client
}

fn assert_refused(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("shutting down") && answer.contains("\"code\":\"unavailable\""), "{answer}");
    assert!(answer.contains("\"type\":\"server_error\"") && answer.contains("x-request-id: "), "{answer}");
}

// G2: a client that gets nothing does not know whether to ask again.
#[tokio::test]
async fn a_whole_answer_that_takes_too_long_is_a_503() {
    for (path, body) in [
        ("/v1/chat/completions", chat_body("")),
        ("/v1/chat/completions", chat_body("\"stream\":true")),
        ("/v1/embeddings", "{\"model\":\"m\",\"input\":\"hi\"}".to_owned()),
    ] {
        let upstream = silent().await;
        let mut gateway = Gateway::before(&upstream, "drain_limit = \"300ms\"");
        let mut client = asked(&gateway, &upstream, path, &body).await;
        gateway.terminate();
        assert_refused(&client.read_to_end().await);
        assert!(gateway.ended().await.success());
    }
}

#[tokio::test]
async fn a_second_signal_makes_a_whole_answer_a_503_at_once() {
    let upstream = silent().await;
    let mut gateway = Gateway::before(&upstream, "");
    let mut client = asked(&gateway, &upstream, "/v1/chat/completions", &chat_body("")).await;
    gateway.terminate();
    closed(&gateway).await;
    gateway.terminate();
    assert_refused(&client.read_to_end().await);
    assert!(gateway.ended().await.success());
}

// Who asks twice does not mean the delay alone.
#[tokio::test]
async fn a_second_signal_before_draining_cuts_off_at_once_too() {
    let upstream = slow_stream(Duration::from_secs(60)).await;
    let mut gateway = Gateway::before(&upstream, "drain_delay = \"60s\"");
    let mut client = open_stream(&gateway).await;
    gateway.terminate();
    not_ready(&gateway).await;
    gateway.terminate();
    let rest = client.read_to_end().await;
    assert!(rest.contains("shutting down"), "{rest}");
    assert!(gateway.ended().await.success());
}

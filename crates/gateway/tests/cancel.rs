//! When the client goes away, the upstream request is cancelled within 100 ms.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Client, Gateway, PATIENCE, STREAM_HEAD, Upstream, chat_body, post, sse_chunk, word};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// An upstream that sends `first`, then reports when its socket is closed.
async fn watched(first: String) -> (Upstream, mpsc::UnboundedReceiver<&'static str>) {
    let (tell, told) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |mut stream| {
        let (first, tell) = (first.clone(), tell.clone());
        async move {
            stream.write_all(first.as_bytes()).await.unwrap();
            let _ = tell.send("asked");
            let mut byte = [0];
            let _ = stream.read(&mut byte).await; // 0 or an error: the gateway has let go
            let _ = tell.send("closed");
        }
    })
    .await;
    (upstream, told)
}

fn chat(more: &str) -> String {
    post("/v1/chat/completions", &chat_body(more))
}

/// Asks, waits until the upstream was asked and `awaited` has come, and leaves. A busy machine may keep one
/// close waiting; all of them only a gateway that does not pass it on.
async fn closes_within_100_ms(
    told: &mut mpsc::UnboundedReceiver<&'static str>,
    gateway: &Gateway,
    request: &str,
    awaited: Option<&str>,
) {
    let mut quickest = Duration::MAX;
    for _ in 0..10 {
        let mut client = Client::connect(gateway).await;
        client.send(request).await;
        if let Some(awaited) = awaited {
            client.read_until(awaited).await;
        }
        assert_eq!(told.recv().await, Some("asked"));
        let gone = Instant::now();
        drop(client);
        let event = timeout(PATIENCE, told.recv()).await.expect("the upstream socket is closed");
        assert_eq!(event, Some("closed"));
        quickest = quickest.min(gone.elapsed());
        if quickest < Duration::from_millis(100) {
            return;
        }
    }
    panic!("took {quickest:?}");
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_cancels_the_upstream_request() {
    let (upstream, mut told) = watched(String::new()).await;
    let gateway = Gateway::before(&upstream, "");
    closes_within_100_ms(&mut told, &gateway, &chat(""), None).await;
}

#[tokio::test]
async fn a_client_that_leaves_within_a_stream_cancels_the_upstream_request() {
    let (upstream, mut told) = watched(format!("{STREAM_HEAD}{}", sse_chunk(&word("one")))).await;
    let gateway = Gateway::before(&upstream, "");
    closes_within_100_ms(&mut told, &gateway, &chat("\"stream\":true"), Some("one")).await;
}

// hyper holds what is beyond the request, and looks for no end while it does.
#[tokio::test]
async fn a_client_that_had_sent_more_than_its_request_is_gone_all_the_same() {
    let (upstream, mut told) = watched(String::new()).await;
    let gateway = Gateway::before(&upstream, "");
    for more in ["\r\n", &chat(""), "GET /health/live HT"] {
        let request = format!("{}{more}", chat(""));
        closes_within_100_ms(&mut told, &gateway, &request, None).await;
    }
}

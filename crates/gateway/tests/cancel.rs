//! When the client goes away, the upstream request is cancelled within 100 ms.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Client, Gateway, STREAM_HEAD, Upstream, chat_body, post, sse_chunk, word};
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

async fn closes_within_100_ms(told: &mut mpsc::UnboundedReceiver<&'static str>, client: Client) {
    let gone = Instant::now();
    drop(client);
    let event = timeout(Duration::from_secs(5), told.recv()).await.expect("the upstream socket is closed");
    assert_eq!(event, Some("closed"));
    assert!(gone.elapsed() < Duration::from_millis(100), "took {:?}", gone.elapsed());
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_cancels_the_upstream_request() {
    let (upstream, mut told) = watched(String::new()).await;
    let gateway = Gateway::before(&upstream, "");
    let mut client = Client::connect(&gateway).await;
    client.send(&post("/v1/chat/completions", &chat_body(""))).await;
    assert_eq!(told.recv().await, Some("asked"));
    closes_within_100_ms(&mut told, client).await;
}

#[tokio::test]
async fn a_client_that_leaves_within_a_stream_cancels_the_upstream_request() {
    let (upstream, mut told) = watched(format!("{STREAM_HEAD}{}", sse_chunk(&word("one")))).await;
    let gateway = Gateway::before(&upstream, "");
    let mut client = Client::connect(&gateway).await;
    client.send(&post("/v1/chat/completions", &chat_body("\"stream\":true"))).await;
    client.read_until("one").await;
    assert_eq!(told.recv().await, Some("asked"));
    closes_within_100_ms(&mut told, client).await;
}

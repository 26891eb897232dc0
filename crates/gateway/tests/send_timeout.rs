//! A client that does not read its answer keeps nothing for long (S8.2): not its upstream, not its place.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{
    Client, FINISH, Gateway, LAST_CHUNK, PATIENCE, STREAM_HEAD, Upstream, chat_body, post, sse_chunk, word,
};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;

fn streaming() -> String {
    post("/v1/chat/completions", &chat_body("\"stream\":true"))
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go_and_its_upstream_with_it() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |mut stream| {
        let tell = tell.clone();
        async move {
            let event = sse_chunk(&word(&"word ".repeat(2_000)));
            stream.write_all(STREAM_HEAD.as_bytes()).await.unwrap();
            // More than all buffers between hold, until the gateway lets go.
            while stream.write_all(event.as_bytes()).await.is_ok() {}
            let _ = tell.send(());
        }
    })
    .await;
    let gateway = Gateway::before(&upstream, "send_timeout = \"300ms\"");
    let mut client = Client::connect(&gateway).await;
    client.send(&streaming()).await;
    timeout(PATIENCE, told.recv()).await.expect("the upstream is let go").unwrap();
}

#[tokio::test]
async fn a_client_that_waits_for_a_slow_upstream_is_not_let_go() {
    let upstream = Upstream::start(|mut stream| async move {
        stream.write_all(format!("{STREAM_HEAD}{}", sse_chunk(&word("first"))).as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let rest = format!("{}{}{LAST_CHUNK}", sse_chunk(FINISH), sse_chunk("[DONE]"));
        stream.write_all(rest.as_bytes()).await.unwrap();
    })
    .await;
    let gateway = Gateway::before(&upstream, "send_timeout = \"300ms\"");
    let mut client = Client::connect(&gateway).await;
    client.send(&streaming()).await;
    client.read_until("[DONE]").await;
}

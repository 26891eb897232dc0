//! A call that needs a prefill is written as one, and no other is.
#![cfg(feature = "mistral")]
#![allow(clippy::unwrap_used)]

use mainstay_adapters::{Adapter, AdapterConfig, Transport, TransportConfig};
use mainstay_provider_core::{Call, ChatRequest, ErrorKind, Message, Provider as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A server that answers every request, and hands out what it was asked.
async fn server() -> (String, mpsc::UnboundedReceiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (asked, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                let mut read = [0; 4096];
                let length = socket.read(&mut read).await.unwrap();
                request.extend_from_slice(&read[..length]);
            }
            let body = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
            asked.send(serde_json::from_slice(&request[body..]).unwrap()).unwrap();
            let message = json!({"role": "assistant", "content": "and so on"});
            let answer = json!({"id": "a", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
            let answer = answer.to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            socket.write_all((head + &answer).as_bytes()).await.unwrap();
        }
    });
    (address, requests)
}

#[tokio::test]
async fn the_message_is_marked_if_the_call_needs_it_and_else_it_goes_as_it_came() {
    let (address, mut requests) = server().await;
    let transport = Transport::new(&TransportConfig::default()).unwrap();
    let adapter = Adapter::new(AdapterConfig::new("mistral").base_url(address), &transport).unwrap();
    assert!(adapter.accepts_prefill("mistral-large-latest") && !adapter.accepts_prefill("voxtral-small"));
    let messages = vec![Message::user("Hi"), Message::assistant("So be it ")];
    let mut call = Call::new(ChatRequest::new("mistral-large-latest", messages));
    adapter.ask(call.clone()).await.unwrap();
    let expected = json!({"role": "assistant", "content": "So be it "});
    assert_eq!(requests.recv().await.unwrap()["messages"][1], expected);
    call.context_mut().needs.prefill = true;
    adapter.ask(call.clone()).await.unwrap();
    let expected = json!({"role": "assistant", "content": "So be it", "prefix": true});
    assert_eq!(requests.recv().await.unwrap()["messages"][1], expected);

    call.request_mut().model = "voxtral-small".into();
    let error = adapter.ask(call).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(requests.try_recv().is_err(), "nothing was sent");
}

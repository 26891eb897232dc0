//! A provider that answers whole though a stream was asked for is understood, not reported as broken.
#![cfg(all(feature = "gemini", feature = "openai"))]
#![allow(clippy::unwrap_used)]

use mainstay_adapters::{Adapter, AdapterConfig, Transport, TransportConfig};
use mainstay_provider_core::{Call, ChatRequest, FinishReason, Message, Provider as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A server that answers one request with this JSON.
async fn answering(body: Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            let mut read = [0; 4096];
            let length = socket.read(&mut read).await.unwrap();
            request.extend_from_slice(&read[..length]);
        }
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=UTF-8\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all((head + &body).as_bytes()).await.unwrap();
    });
    format!("http://{address}")
}

async fn streamed(kind: &str, body: Value) -> mainstay_provider_core::ChatResponse {
    let transport = Transport::new(&TransportConfig::default()).unwrap();
    let config = AdapterConfig::new(kind).base_url(answering(body).await).key("test-key");
    let mut request = ChatRequest::new("some-model", vec![Message::user("Hello")]);
    request.stream = Some(true);
    let reply = Adapter::new(config, &transport).unwrap().ask(Call::new(request)).await.unwrap();
    reply.collect().await.unwrap().into_inner()
}

#[tokio::test]
async fn geminis_list_of_pieces_is_one_answer_and_its_reasons_may_be_numbers() {
    let piece =
        |text: &str| json!({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}}]});
    let mut last = piece("ribou");
    last["candidates"][0]["finishReason"] = 1.into();
    last["usageMetadata"] = json!({"promptTokenCount": 3, "candidatesTokenCount": 2});
    let answer = streamed("gemini", json!([piece("Ca"), last])).await;
    assert_eq!(answer.text(), "Caribou");
    assert_eq!(answer.finish_reason(), Some(&FinishReason::Stop));
    assert_eq!(answer.usage().unwrap().output, 2);
}

#[tokio::test]
async fn a_server_that_ignores_stream_is_understood() {
    let message = json!({"role": "assistant", "content": "Caribou"});
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
    let answer = streamed("openai", json!({"id": "a", "model": "m", "choices": [choice]})).await;
    assert_eq!(answer.text(), "Caribou");
}

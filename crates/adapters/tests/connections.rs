//! Connections are kept while they are good, and let go when they are not.
#![cfg(feature = "openai")]
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_adapters::{Adapter, AdapterConfig, Transport, TransportConfig};
use mainstay_provider_core::{Call, ErrorKind, Provider as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What a server saw.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

/// A server that answers every request with `text`, and closes each connection after so many requests, with a word before
/// or without. It tells when a client closes one.
async fn server(text: String, most: (usize, bool)) -> (String, Arc<Seen>, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Seen::default());
    let (closed, closings) = mpsc::unbounded_channel();
    let counted = seen.clone();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            counted.connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(socket, text.clone(), most, counted.clone(), closed.clone()));
        }
    });
    (address, seen, closings)
}

async fn serve(
    mut socket: TcpStream,
    text: String,
    (most, tells): (usize, bool),
    seen: Arc<Seen>,
    closed: mpsc::UnboundedSender<()>,
) {
    let message = json!({"role": "assistant", "content": text});
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
    let body = json!({"id": "a", "model": "m", "choices": [choice]}).to_string();
    for left in (0..most).rev() {
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            let mut read = [0; 4096];
            match socket.read(&mut read).await {
                Ok(0) | Err(_) => {
                    let _ = closed.send(());
                    return;
                }
                Ok(length) => request.extend_from_slice(&read[..length]),
            }
        }
        seen.requests.fetch_add(1, Ordering::SeqCst);
        let last = if left == 0 && tells { "connection: close\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{last}content-length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all((head + &body).as_bytes()).await.unwrap();
    }
}

fn adapter(address: &str, config: &TransportConfig) -> Adapter {
    let transport = Transport::new(config).unwrap();
    Adapter::new(AdapterConfig::new("openai").base_url(address).key("test-key"), &transport).unwrap()
}

async fn ask(adapter: &Adapter) -> String {
    let reply = adapter.ask(Call::ask("m", "Hello")).await.unwrap();
    reply.collect().await.unwrap().text().into_owned()
}

#[tokio::test]
async fn calls_one_after_another_share_a_connection() {
    let (address, seen, _closings) = server("Caribou".into(), (usize::MAX, false)).await;
    let adapter = adapter(&address, &TransportConfig::default());
    for _ in 0..20 {
        assert_eq!(ask(&adapter).await, "Caribou");
    }
    assert_eq!(seen.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_while_idle_costs_no_call() {
    let (address, seen, _closings) = server("Caribou".into(), (1, false)).await;
    let adapter = adapter(&address, &TransportConfig::default());
    for _ in 0..20 {
        assert_eq!(ask(&adapter).await, "Caribou");
        tokio::time::sleep(Duration::from_millis(5)).await; // the server's FIN arrives
    }
    // No request was lost, and none was sent twice.
    assert_eq!(seen.requests.load(Ordering::SeqCst), 20);
    assert_eq!(seen.connections.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time_without_further_calls() {
    let (address, _seen, mut closings) = server("Caribou".into(), (usize::MAX, false)).await;
    let mut config = TransportConfig::default();
    config.idle_timeout = Duration::from_millis(50);
    let adapter = adapter(&address, &config);
    ask(&adapter).await;
    tokio::time::timeout(Duration::from_secs(10), closings.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_dropped_call_closes_its_connection_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let adapter = adapter(&format!("http://{}", listener.local_addr().unwrap()), &TransportConfig::default());
    let call = tokio::spawn(async move { ask(&adapter).await });
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut read = [0; 4096];
    assert_ne!(socket.read(&mut read).await.unwrap(), 0);
    call.abort();
    let end = async { while socket.read(&mut read).await.is_ok_and(|length| length > 0) {} };
    tokio::time::timeout(Duration::from_secs(10), end).await.unwrap();
}

// T4: what the head of an error answer says is known before its body, which may not come at all.
#[tokio::test]
async fn the_body_of_an_error_answer_is_not_waited_for_long() {
    for (status, body, kind) in [
        ("429 Too Many Requests", "", ErrorKind::RateLimited),
        ("503 Service Unavailable", "{\"error\":", ErrorKind::Overloaded),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let adapter =
            adapter(&format!("http://{}", listener.local_addr().unwrap()), &TransportConfig::default());
        let call = tokio::spawn(async move { adapter.ask(Call::ask("m", "Hello")).await });
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut read = [0; 4096];
        assert_ne!(socket.read(&mut read).await.unwrap(), 0);
        let head = format!("HTTP/1.1 {status}\r\nretry-after: 7\r\ncontent-length: 100\r\n\r\n{body}");
        socket.write_all(head.as_bytes()).await.unwrap();
        // Well before the transport's own 120 s.
        let error = tokio::time::timeout(Duration::from_secs(60), call).await.unwrap().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.retry_after()), (kind, Some(Duration::from_secs(7))), "{error:?}");
    }
}

/// Its reads take more than the share of the processor that a task has before others run.
#[tokio::test]
async fn a_large_answer_arrives_whole() {
    let text = "Caribou ".repeat(2 << 20);
    let (address, ..) = server(text.clone(), (usize::MAX, false)).await;
    assert!(ask(&adapter(&address, &TransportConfig::default())).await == text, "not what was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_are_all_answered() {
    let (address, seen, _closings) = server("Caribou".into(), (7, true)).await;
    let adapter = adapter(&address, &TransportConfig::default());
    let calls = (0..64).map(|_| {
        let adapter = adapter.clone();
        tokio::spawn(async move {
            for _ in 0..30 {
                assert_eq!(ask(&adapter).await, "Caribou");
            }
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert_eq!(seen.requests.load(Ordering::SeqCst), 64 * 30);
}

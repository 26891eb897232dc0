//! A receiver of webhooks on this machine.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Counts connections, keeps what they say, and answers each from a list; the last for ever.
pub(super) struct Receiver {
    pub(super) port: u16,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Receiver {
    pub(super) async fn answering(answers: &[&str]) -> Self {
        // One listener for every form of a loopback address where there is IPv6.
        let listener = match TcpListener::bind("[::]:0").await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind("0.0.0.0:0").await.unwrap(),
        };
        let port = listener.local_addr().unwrap().port();
        let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<_>>>::default());
        let answers: Vec<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
        let (count, seen) = (connections.clone(), requests.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let answer = answers[number.min(answers.len() - 1)].clone();
                tokio::spawn(answer_one(stream, answer, seen.clone()));
            }
        });
        Self { port, connections, requests }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// What was received, head and body.
    pub(super) fn requests(&self) -> Vec<Vec<u8>> {
        self.requests.lock().unwrap().clone()
    }
}

/// An empty answer hangs.
async fn answer_one(mut stream: TcpStream, answer: String, seen: Arc<Mutex<Vec<Vec<u8>>>>) {
    let request = read_request(&mut stream).await;
    seen.lock().unwrap().push(request);
    match answer.as_str() {
        "" => std::future::pending().await,
        "close" => {}
        _ => {
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }
}

/// As much as its content-length says, or until there is no more; what is no HTTP at all counts as soon as it is there.
async fn read_request(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return read,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
        }
        if is_whole(&read) || !read.starts_with(b"POST") {
            return read;
        }
    }
}

fn is_whole(read: &[u8]) -> bool {
    let text = String::from_utf8_lossy(read);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0usize)
}

/// The value of a header, if it is there exactly once.
pub(super) fn header(request: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(request).into_owned();
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let values: Vec<_> =
        head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect();
    assert_eq!(values.len(), 1, "{name}: {head}");
    values[0].to_owned()
}

pub(super) fn body(request: &[u8]) -> String {
    String::from_utf8_lossy(request).split_once("\r\n\r\n").unwrap().1.to_owned()
}

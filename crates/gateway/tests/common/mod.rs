//! A real gateway process, a raw upstream, and a raw client: the tests watch sockets, so nothing stands in between.

#![allow(clippy::unwrap_used, dead_code, missing_docs, unreachable_pub)] // tests; each file uses its part

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How long a test waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway process on a free port; it is killed when the test ends.
pub struct Gateway {
    child: Child,
    pub address: String,
    /// Of the admin API, if there is one.
    pub admin: String,
    /// Of the metrics, if they have a listener of their own.
    pub metrics: String,
    pub config: tempfile::NamedTempFile,
    /// What it said at its start.
    pub greeting: String,
}

impl Gateway {
    /// Starts the binary with this configuration and waits until it serves.
    pub fn start(config: &str) -> Self {
        Self::start_with(config, Stdio::null())
    }

    /// The same, with its log going there.
    pub fn start_with(config: &str, log: Stdio) -> Self {
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        file.write_all(config.as_bytes()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_mainstay"))
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(file.path())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = String::new();
        // It ends with an empty line after what to try.
        while !(greeting.contains("Try it:") && greeting.ends_with("\n\n")) {
            assert!(said.read_line(&mut greeting).unwrap() > 0, "the gateway said: {greeting}");
        }
        let mut addresses = greeting.split("http://").skip(1).map(|rest| {
            let address = rest.split(['/', '\n', ' ']).next().unwrap_or_default();
            address.to_owned()
        });
        let mut next_address = || addresses.next().unwrap();
        let address = next_address();
        let admin = if config.contains("[admin]") { next_address() } else { String::new() };
        let metrics = if config.contains("[metrics]\nlisten") { next_address() } else { String::new() };
        drop(addresses);
        Self { child, address, admin, metrics, config: file, greeting }
    }

    /// A gateway before one OpenAI-compatible upstream; model `m`; a call is sent once.
    pub fn before(upstream: &Upstream, server: &str) -> Self {
        Self::start(&format!(
            "[server]\n{server}\n[router]\nnum_retries = 0\n[providers.up]\nkind = \"openai\"\nbase_url = \"http://{}/v1\"\napi_key = \"sk-test\"\n\
             [models.m]\ndeployments = [{{ model = \"up/the-model\" }}]\n",
            upstream.address
        ))
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let status = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the process to end by itself.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(tokio::time::Instant::now() < deadline, "the gateway did not stop");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An upstream that answers each connection by a script.
pub struct Upstream {
    pub address: String,
    pub requests: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    /// `script` is run for each connection once a whole request was read.
    pub async fn start<F, W>(script: F) -> Self
    where
        F: Fn(TcpStream) -> W + Send + Sync + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = requests.clone();
        let script = Arc::new(script);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let (seen, script) = (seen.clone(), script.clone());
                tokio::spawn(async move {
                    let request = read_message(&mut stream).await;
                    seen.lock().unwrap().push(request);
                    script(stream).await;
                });
            }
        });
        Self { address, requests }
    }

    /// An upstream that answers everything with this.
    pub async fn answering(response: impl Into<String>) -> Self {
        let response = response.into();
        Self::start(move |mut stream| {
            let response = response.clone();
            async move {
                stream.write_all(response.as_bytes()).await.unwrap();
                let _ = stream.shutdown().await;
            }
        })
        .await
    }
}

/// Reads a head and as much body as its content-length says.
async fn read_message(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = find(&read, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
                .unwrap_or(0);
            if read.len() >= end + 4 + length {
                return String::from_utf8_lossy(&read).into_owned();
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&read).into_owned(),
            Ok(count) => read.extend_from_slice(&buffer[..count]),
        }
    }
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The head of an OpenAI-style event stream, to be followed by chunks.
pub const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// One event in a chunk of its own.
pub fn sse_chunk(data: &str) -> String {
    let event = format!("data: {data}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len())
}

pub const LAST_CHUNK: &str = "0\r\n\r\n";

pub fn word(text: &str) -> String {
    format!(
        r#"{{"id":"c1","object":"chat.completion.chunk","created":1,"model":"the-model","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]}}"#
    )
}

pub const FINISH: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"the-model","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

pub const USAGE: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"the-model","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;

pub fn json_response(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A request for a chat; `more` is further members, `"stream": true` for instance.
pub fn chat_body(more: &str) -> String {
    let comma = if more.is_empty() { "" } else { "," };
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{comma}{more}}}"#)
}

pub fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// One raw connection to the gateway, and what was read of it beyond what was waited for.
pub struct Client(pub TcpStream, Vec<u8>);

impl Client {
    pub async fn connect(gateway: &Gateway) -> Self {
        let stream = TcpStream::connect(&gateway.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    pub fn over(stream: TcpStream) -> Self {
        Self(stream, Vec::new())
    }

    pub async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until `end` has come, and returns all that has. What came after `end`, which on a busy machine is more than
    /// usual, comes again with the next read.
    pub async fn read_until(&mut self, end: &str) -> String {
        let mut read = std::mem::take(&mut self.1);
        let mut buffer = [0; 4096];
        while find(&read, end.as_bytes()).is_none() {
            let count =
                tokio::time::timeout(PATIENCE, self.0.read(&mut buffer)).await.expect("in time").unwrap();
            assert!(count > 0, "closed before {end:?}: {}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&buffer[..count]);
        }
        let beyond = find(&read, end.as_bytes()).unwrap_or_default() + end.len();
        self.1 = read[beyond..].to_vec();
        String::from_utf8_lossy(&read).into_owned()
    }

    /// Reads until the gateway closes.
    pub async fn read_to_end(&mut self) -> String {
        let mut read = std::mem::take(&mut self.1);
        let _ = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut read)).await.expect("closed in time");
        String::from_utf8_lossy(&read).into_owned()
    }
}

/// Sends one request on a connection of its own and returns the whole answer.
pub async fn exchange(gateway: &Gateway, request: &str) -> String {
    let mut client = Client::connect(gateway).await;
    client.send(&request.replacen("\r\n\r\n", "\r\nconnection: close\r\n\r\n", 1)).await;
    client.read_to_end().await
}

pub async fn chat(gateway: &Gateway, more: &str) -> String {
    exchange(gateway, &post("/v1/chat/completions", &chat_body(more))).await
}

//! The same exchanges through a real gateway: the neutral request as a client of OpenAI's API sends it, the answer
//! as that client gets it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use mainstay_provider_core::ChatChunk;
use mainstay_provider_core::chat::Assembler;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::dialect::{ACCESS_KEY_ID, KEY, Target};
use super::expect::{Expected, failure};
use super::json::{Look as _, difference};
use super::replay::answer_flaw;
use super::reverse::Ask;

/// A running gateway; it ends when this is dropped.
pub(crate) struct Gateway {
    process: Child,
    address: String,
    /// The configured provider of each exchange. Each has its own: what a gateway learns from a recorded failure (a
    /// rejected key, a provider that rests) must not show in the next exchange.
    names: BTreeMap<String, String>,
    /// Holds the configuration file.
    _folder: tempfile::TempDir,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a client got.
pub(crate) struct Answer {
    status: u16,
    retry_after: Option<f64>,
    content_type: String,
    body: Bytes,
}

impl Gateway {
    /// Starts `binary` with one provider for each exchange, all of them at `origin`.
    pub(crate) async fn start(binary: &Path, targets: &[Target], origin: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = free_address()?;
        let mut names = BTreeMap::new();
        let mut config = format!("[server]\nlisten = \"{address}\"\n[router]\nnum_retries = 0\n");
        for target in targets {
            let name = format!("p{}", names.len());
            config.push_str(&provider_table(&name, target, origin));
            names.insert(target.exchange.clone(), name);
        }
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, config)?;
        let process = Command::new(binary)
            .arg("serve")
            .arg("--config")
            .arg(&file)
            .env("MAINSTAY_LOG", "off")
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let gateway = Self { process, address, names, _folder: folder };
        gateway.wait_until_ready().await?;
        Ok(gateway)
    }

    async fn wait_until_ready(&self) -> Result<()> {
        for _ in 0..100 {
            if TcpStream::connect(&self.address).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the gateway does not listen on {} after 10 s", self.address)
    }

    /// Sends the neutral request to the target's provider.
    pub(crate) async fn ask(&self, target: &Target, ask: &Ask) -> Result<Answer> {
        let name =
            self.names.get(&target.exchange).context("no provider was configured for this exchange")?;
        let (path, mut body) = match ask {
            Ask::Chat(chat) => ("/v1/chat/completions", chat.clone()),
            Ask::Embed(embed) => ("/v1/embeddings", embed.clone()),
        };
        if body["stream"] == true {
            // A client that wants the usage of a stream says so; the adapters ask for it always.
            body["stream_options"] = json!({"include_usage": true});
        }
        body["model"] = format!("{name}/{}", body.text("model")).into();
        let request = http::Request::post(path)
            .header("host", &self.address)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))?;
        let stream = TcpStream::connect(&self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let response = sender.send_request(request).await?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let (retry_after, content_type) = (header("retry-after"), header("content-type"));
        Ok(Answer {
            status: response.status().as_u16(),
            retry_after: retry_after.and_then(|value| value.parse().ok()),
            content_type: content_type.unwrap_or_default(),
            body: response.into_body().collect().await?.to_bytes(),
        })
    }
}

fn free_address() -> Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}

fn provider_table(name: &str, target: &Target, origin: &str) -> String {
    let text = |value: &str| Value::from(value).to_string();
    let mut table = format!(
        "\n[providers.{name}]\nkind = {}\nbase_url = {}\napi_key = {}\n",
        text(&target.kind),
        text(&format!("{origin}{}", target.prefix)),
        text(KEY),
    );
    let api = match target.api {
        mainstay_adapters::Api::ChatCompletions => Some("chat_completions"),
        mainstay_adapters::Api::Responses => Some("responses"),
        _ => None,
    };
    let id = (target.kind == "bedrock").then_some(ACCESS_KEY_ID);
    let members = [
        ("api", api),
        ("project", target.project.as_deref()),
        ("region", target.region.as_deref()),
        ("api_version", target.api_version.as_deref()),
        ("access_key_id", id),
    ];
    for (member, value) in members {
        if let Some(value) = value {
            table.push_str(&format!("{member} = {}\n", text(value)));
        }
    }
    table.push_str("prompt_caching = false\n");
    for (header, value) in &target.headers {
        table.push_str(&format!("headers.{} = {}\n", text(header), text(value)));
    }
    table
}

/// Whether the gateway answers that the request is wrong.
pub(crate) fn refused(answer: &Answer) -> bool {
    answer.status == 400
}

/// The answer as it can be shown.
pub(crate) fn said(answer: &Answer) -> String {
    format!("HTTP {}: {}", answer.status, String::from_utf8_lossy(&answer.body))
}

/// What of the client's answer is wrong.
pub(crate) fn flaw(expected: &Expected, answer: &Answer) -> Option<String> {
    match expected {
        Expected::Answer(expected) if answer.status == 200 => match whole(answer) {
            Ok(body) => answer_flaw(expected, &body),
            Err(error) => Some(format!("{error:#}")),
        },
        Expected::Vectors { vectors, input } if answer.status == 200 => vectors_flaw(vectors, *input, answer),
        Expected::Failure(expected) => failure_flaw(expected, answer),
        _ => Some(format!("expected an answer, got {}", said(answer))),
    }
}

/// The answer as one: a stream's chunks are put together.
fn whole(answer: &Answer) -> Result<Value> {
    if !answer.content_type.starts_with("text/event-stream") {
        return Ok(serde_json::from_slice(&answer.body)?);
    }
    let text = std::str::from_utf8(&answer.body)?;
    let mut assembler = Assembler::default();
    let mut done = false;
    for line in text.lines().filter_map(|line| line.strip_prefix("data:")) {
        if line.trim() == "[DONE]" {
            done = true;
            continue;
        }
        let event: Value = serde_json::from_str(line)?;
        if event.some("error").is_some() {
            bail!("an error event: {event}");
        }
        assembler.push(&serde_json::from_value::<ChatChunk>(event)?);
    }
    anyhow::ensure!(done, "the stream ends without [DONE]");
    Ok(serde_json::to_value(assembler.finish())?)
}

fn vectors_flaw(vectors: &[Vec<f32>], input: Option<u64>, answer: &Answer) -> Option<String> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    let got: Value = body.items("data").iter().map(|one| numbers(&one["embedding"])).collect();
    if let Some(difference) = difference(&json!(vectors), &got) {
        return Some(difference.to_string());
    }
    let used = body["usage"].get("prompt_tokens").and_then(Value::as_u64);
    (input.is_some() && used != input)
        .then(|| format!("$.usage.prompt_tokens: expected {input:?}, got {used:?}"))
}

/// A vector as numbers, also where the client asked for base64.
fn numbers(vector: &Value) -> Value {
    let Some(text) = vector.as_str() else { return vector.clone() };
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect::<Vec<_>>().into()
}

/// The error as the table of docs/gateway.md has it.
fn failure_flaw(expected: &failure::Failure, answer: &Answer) -> Option<String> {
    let body: Value = match error_body(answer) {
        Ok(body) => body,
        Err(error) => {
            return Some(format!("no error body: {error:#}: {}", String::from_utf8_lossy(&answer.body)));
        }
    };
    let error = &body["error"];
    let kind = snake_case(&expected.kind);
    let status = status_of(&kind, expected.status);
    let mut right = json!({"kind": kind});
    let mut got = json!({"kind": error["mainstay"]["kind"]});
    if !expected.is_inside_success() {
        right["provider_status"] = expected.status.into();
        got["provider_status"] = error["mainstay"]["provider_status"].clone();
    }
    if let Some(id) = &expected.request_id {
        right["provider_request_id"] = id.as_str().into();
        got["provider_request_id"] = error["mainstay"]["provider_request_id"].clone();
    }
    // An error after the first content is an event of a stream that began with 200.
    if !answer.content_type.starts_with("text/event-stream") {
        right["status"] = status.into();
        got["status"] = answer.status.into();
    }
    if let Some(difference) = difference(&right, &got) {
        return Some(format!("{difference} ({body})"));
    }
    let mut expected = expected.clone();
    // The header has whole seconds, rounded up.
    expected.waits.iter_mut().for_each(|wait| *wait = wait.map(f64::ceil));
    if answer.content_type.starts_with("text/event-stream") {
        expected.waits.clear();
    }
    failure::flaws(&expected, answer.retry_after, error.text("message"))
}

fn error_body(answer: &Answer) -> Result<Value> {
    if !answer.content_type.starts_with("text/event-stream") {
        return Ok(serde_json::from_slice(&answer.body)?);
    }
    let text = std::str::from_utf8(&answer.body)?;
    let events =
        text.lines().filter_map(|line| line.strip_prefix("data:")).filter(|line| line.trim() != "[DONE]");
    let events: Result<Vec<Value>, _> = events.map(serde_json::from_str).collect();
    events?.into_iter().find(|event| event.some("error").is_some()).context("no error event in the stream")
}

fn snake_case(kind: &str) -> String {
    let mut snake = String::new();
    for letter in kind.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

fn status_of(kind: &str, provider_status: u16) -> u16 {
    match kind {
        "authentication" => 401,
        "permission_denied" => 403,
        "model_not_found" => 404,
        "rate_limited" | "quota_exhausted" | "limit_reached" => 429,
        "network" | "malformed_response" | "malformed_tool_call" => 502,
        "server_error" if provider_status >= 500 => provider_status,
        "server_error" => 502,
        "overloaded" | "unavailable" => 503,
        "timeout" => 504,
        _ => 400,
    }
}

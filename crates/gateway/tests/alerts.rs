//! The gateway's webhook: what the log tells, a receiver hears too, signed.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Gateway, PATIENCE, Upstream, chat, json_response};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

const SECRET: &str = "canary-secret-0123456789abcdef";

/// A provider that rejects our key, which is an alert.
async fn rejecting() -> Upstream {
    let body = r#"{"error":{"message":"Incorrect API key","type":"invalid_request_error","code":"invalid_api_key"}}"#;
    Upstream::answering(json_response("401 Unauthorized", body)).await
}

fn config(upstream: &Upstream, receiver: &Upstream) -> String {
    format!(
        "[alerts]\nwebhook = \"http://{}/canary-path\"\nsecret = \"{SECRET}\"\nallow_private = true\n\
         [router]\nnum_retries = 0\n[providers.up]\nkind = \"openai\"\nbase_url = \"http://{}/v1\"\napi_key = \"sk-test\"\n\
         [models.m]\ndeployments = [{{ model = \"up/the-model\" }}]\n",
        receiver.address, upstream.address
    )
}

async fn received(receiver: &Upstream) -> String {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(request) = receiver.requests.lock().unwrap().first() {
            return request.clone();
        }
        assert!(tokio::time::Instant::now() < deadline, "no alert came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(": ");
    request.lines().find_map(value).unwrap_or_else(|| panic!("no {name}: {request}"))
}

fn verify(request: &str) {
    let (time, signature) =
        header(request, "x-mainstay-signature").strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{time}.{}", request.split_once("\r\n\r\n").unwrap().1).as_bytes());
    let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(signature, expected);
}

#[tokio::test]
async fn an_alert_reaches_the_log_and_the_webhook_signed_and_without_prompt_or_secret() {
    let upstream = rejecting().await;
    let receiver = Upstream::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let log = tempfile::NamedTempFile::new().unwrap();
    let gateway = Gateway::start_with(&config(&upstream, &receiver), Stdio::from(log.reopen().unwrap()));
    assert!(!chat(&gateway, "\"user\":\"canary-user\"").await.starts_with("HTTP/1.1 200"));
    let request = received(&receiver).await;
    verify(&request);
    assert!(request.starts_with("POST /canary-path HTTP/1.1\r\n"), "{request}");
    assert_eq!(header(&request, "x-mainstay-event"), "key.rejected");
    let body: serde_json::Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&body["severity"], &body["provider"]), (&"alert".into(), &"up".into()));
    assert!(!body.to_string().contains("canary"), "{body}");
    let log = std::fs::read_to_string(log.path()).unwrap();
    assert!(log.contains("key.rejected") && log.contains("provider=up"), "{log}");
    assert!(!log.contains("canary"), "{log}");
}

#[tokio::test]
async fn an_alert_that_is_queued_is_sent_before_the_gateway_stops() {
    let upstream = rejecting().await;
    let receiver = Upstream::start(|mut stream| async move {
        use tokio::io::AsyncWriteExt as _;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let _ = stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 100\r\n\r\n").await;
    })
    .await;
    let mut gateway = Gateway::start(&config(&upstream, &receiver));
    chat(&gateway, "").await;
    gateway.terminate();
    // Long before the receiver wants anything again: each has one attempt at the stop, besides one that was over before.
    assert!(gateway.ended().await.success());
    verify(&received(&receiver).await);
    let requests = receiver.requests.lock().unwrap();
    let ids: HashSet<_> = requests.iter().map(|request| request.split("\"id\":").nth(1)).collect();
    assert!(requests.len() <= 2 * ids.len(), "{requests:?}");
}

#[tokio::test]
async fn a_check_tells_what_is_wrong_with_the_webhook() {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    let check = |text: &str, secret: &str| {
        std::fs::write(file.path(), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
        let output = command.arg("check").arg(file.path()).env("HOOK_SECRET", secret).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let of = |url: &str| format!("[alerts]\nwebhook = \"{url}\"\nsecret = \"${{HOOK_SECRET}}\"\n");
    let (sound, said) = check(&of("http://127.0.0.1:1/"), SECRET);
    assert!(!sound && said.contains("line 1,") && said.contains("allow_private"), "{said}");
    let (sound, said) = check(&of("https://hooks.example.com/"), "short");
    assert!(!sound && said.contains("openssl rand -hex 32"), "{said}");
    let (sound, said) = check(&of("https://hooks.example.com/"), SECRET);
    assert!(sound, "{said}");
}

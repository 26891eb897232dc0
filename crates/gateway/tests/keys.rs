//! Keys of callers: made on the command line and by the admin API, asked for at the door of real gateway processes.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{Client, Gateway, Upstream, chat_body, exchange, json_response, post};
use mainstay_test_servers::redis;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"the-model","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;
const TOKEN: &str = "admin-token-canary-0123456789";

async fn upstream() -> Upstream {
    Upstream::answering(json_response("200 OK", ANSWER)).await
}

/// A gateway with its keys in this folder.
fn config(upstream: &Upstream, folder: &Path) -> String {
    with_keys(upstream, &format!("file = \"{}\"", folder.join("keys.json").display()))
}

fn with_keys(upstream: &Upstream, keys: &str) -> String {
    format!(
        "[keys]\n{keys}\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"{TOKEN}\"\n[router]\nnum_retries = 0\n\
         [providers.up]\nkind = \"openai\"\nbase_url = \"http://{}/v1\"\napi_key = \"sk-upstream\"\n\
         [models.m]\ndeployments = [{{ model = \"up/the-model\" }}]\n[models.other]\ndeployments = [{{ model = \"up/x\" }}]\n",
        upstream.address
    )
}

/// `mainstay keys …` with the gateway's configuration.
fn keys(gateway: &Gateway, arguments: &[&str]) -> Value {
    let done = Command::new(env!("CARGO_BIN_EXE_mainstay"))
        .args(["keys", "--json", "--config"])
        .arg(gateway.config.path())
        .args(arguments)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

/// A key, and the time in which gateways hear of it.
async fn made(gateway: &Gateway, arguments: &[&str]) -> (String, String) {
    let key = keys(gateway, &[&["create", "a key"], arguments].concat());
    let (id, secret) = (key["id"].as_str().unwrap().to_owned(), key["secret"].as_str().unwrap().to_owned());
    until(async || !get(&gateway.address, "/v1/models", &secret).await.starts_with("HTTP/1.1 401")).await;
    (id, secret)
}

fn with_key(request: &str, secret: &str) -> String {
    request.replacen("\r\n", &format!("\r\nauthorization: Bearer {secret}\r\n"), 1)
}

async fn chat(gateway: &Gateway, secret: &str, model: &str) -> String {
    let body = chat_body("").replace("\"m\"", &format!("\"{model}\""));
    exchange(gateway, &with_key(&post("/v1/chat/completions", &body), secret)).await
}

async fn get(address: &str, path: &str, secret: &str) -> String {
    send(address, "GET", path, secret, "").await
}

/// To the gateway or to its admin API.
async fn send(address: &str, method: &str, path: &str, secret: &str, body: &str) -> String {
    let mut client = Client::over(tokio::net::TcpStream::connect(address).await.unwrap());
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {secret}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    client.0.write_all(head.as_bytes()).await.unwrap();
    client.read_to_end().await
}

/// How long it takes until that is so.
async fn until(is_so: impl AsyncFn() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < common::PATIENCE, "it does not come to be");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}

#[tokio::test]
async fn who_shows_a_key_is_served_and_nobody_else() {
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let gateway = Gateway::start(&config(&upstream, folder.path()));
    let (_, secret) = made(&gateway, &[]).await;
    let answer = chat(&gateway, &secret, "m").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(ANSWER), "{answer}");
    let by_other_header = post("/v1/chat/completions", &chat_body("")).replacen(
        "\r\n",
        &format!("\r\nx-api-key: {secret}\r\n"),
        1,
    );
    assert!(exchange(&gateway, &by_other_header).await.starts_with("HTTP/1.1 200"));
    // The caller's key stays here; the provider's goes up.
    for asked in upstream.requests.lock().unwrap().iter() {
        assert!(asked.contains("Bearer sk-upstream") && !asked.contains(&secret), "{asked}");
    }
    let asked = upstream.requests.lock().unwrap().len();
    for path in ["/v1/chat/completions", "/v1/embeddings"] {
        let answer = exchange(&gateway, &post(path, &chat_body(""))).await;
        assert!(
            answer.starts_with("HTTP/1.1 401") && answer.contains("www-authenticate: Bearer"),
            "{answer}"
        );
        assert!(answer.contains("x-request-id: req_"), "{answer}");
        assert!(
            answer.contains("\"type\":\"authentication_error\"") && answer.contains("invalid_api_key"),
            "{answer}"
        );
        // Security test 3; the quickest of a hundred, since the machine may be busy. Who takes longer by itself, takes it each time.
        let mut quickest = Duration::MAX;
        for _ in 0..100 {
            let begun = Instant::now();
            let hostile = with_key(&post(path, &chat_body("")), "' OR pg_sleep(8)--");
            assert!(exchange(&gateway, &hostile).await.starts_with("HTTP/1.1 401"));
            quickest = quickest.min(begun.elapsed());
            if quickest < Duration::from_millis(50) {
                break;
            }
        }
        assert!(quickest < Duration::from_millis(50), "{quickest:?}");
    }
    assert_eq!(upstream.requests.lock().unwrap().len(), asked);
    for path in ["/health/live", "/health/ready", "/metrics"] {
        assert!(
            exchange(&gateway, &format!("GET {path} HTTP/1.1\r\nhost: g\r\n\r\n"))
                .await
                .starts_with("HTTP/1.1 200")
        );
    }
}

// Before the body is read: none was sent.
#[tokio::test]
async fn who_has_no_key_is_refused_before_the_body_is_read() {
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let gateway = Gateway::start(&config(&upstream, folder.path()));
    for key in ["", "x-api-key: sk-ms-000000000000000000000000000000000000000000\r\n"] {
        let mut client = Client::connect(&gateway).await;
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\n";
        client.send(&format!("{head}{key}content-encoding: gzip\r\ncontent-length: 30000000\r\n\r\n")).await;
        let answer = client.read_until("invalid_api_key").await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
}

#[tokio::test]
async fn a_key_asks_for_the_models_that_it_may_and_sees_no_others() {
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let gateway = Gateway::start(&config(&upstream, folder.path()));
    let (_, secret) = made(&gateway, &["--model", "m"]).await;
    assert!(chat(&gateway, &secret, "m").await.starts_with("HTTP/1.1 200"));
    // Neither the other one, nor the same deployment by its own name.
    for model in ["other", "up/the-model", "up/x", "M"] {
        let answer = chat(&gateway, &secret, model).await;
        assert!(
            answer.starts_with("HTTP/1.1 403") && answer.contains("model_not_allowed"),
            "{model}: {answer}"
        );
    }
    let listed = get(&gateway.address, "/v1/models", &secret).await;
    assert!(listed.contains("\"id\":\"m\"") && !listed.contains("\"id\":\"other\""), "{listed}");
    assert!(get(&gateway.address, "/v1/models/m", &secret).await.starts_with("HTTP/1.1 200"));
    assert!(get(&gateway.address, "/v1/models/other", &secret).await.starts_with("HTTP/1.1 404"));
    let embeddings = post("/v1/embeddings", r#"{"model":"other","input":"x"}"#);
    let answer = exchange(&gateway, &with_key(&embeddings, &secret)).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[tokio::test]
async fn headers_name_what_the_key_allows() {
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let gateway = Gateway::start(&config(&upstream, folder.path()));
    let (_, plain) = made(&gateway, &[]).await;
    let (_, free) = made(&gateway, &["--caller-namespace", "acme-*", "--caller-subject", "user:*"]).await;
    for (header, by_plain, by_free) in [
        ("x-mainstay-namespace: acme-1", 403, 200),
        ("x-mainstay-namespace: other", 403, 403),
        ("x-mainstay-namespace: key:0123456789abcdef", 403, 403),
        ("x-mainstay-subjects: user:ann", 403, 200),
        ("x-mainstay-subjects: user:ann, org:other", 403, 403),
        ("x-mainstay-subjects: key:0123456789abcdef", 403, 403),
    ] {
        for (secret, status) in [(&plain, by_plain), (&free, by_free)] {
            let request = with_key(&post("/v1/chat/completions", &chat_body("")), secret);
            let answer = exchange(&gateway, &request.replacen("\r\n", &format!("\r\n{header}\r\n"), 1)).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{header}: {answer}");
        }
    }
}

// Security tests 14 and 20: what one key has asked is not another's, and goes with the key.
#[tokio::test]
async fn what_caches_hold_is_a_keys_own_and_goes_with_it() {
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let config = format!("[cache]\nany_temperature = true\n{}", config(&upstream, folder.path()));
    let log = folder.path().join("log");
    let gateway = Gateway::start_with(&config, std::fs::File::create(&log).unwrap().into());
    let (id, one) = made(&gateway, &[]).await;
    let (_, other) = made(&gateway, &[]).await;
    let (_, team) = made(&gateway, &["--namespace", "team"]).await;
    let (_, colleague) = made(&gateway, &["--namespace", "team"]).await;
    for (secret, status) in
        [(&one, "miss"), (&one, "hit"), (&other, "miss"), (&team, "miss"), (&colleague, "hit")]
    {
        let answer = chat(&gateway, secret, "m").await;
        assert!(answer.contains(&format!("x-mainstay-cache: {status}\r")), "{status}: {answer}");
    }
    let answer = send(&gateway.admin, "DELETE", &format!("/admin/keys/{id}"), TOKEN, "").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    until(async || std::fs::read_to_string(&log).unwrap().contains("cache.purged")).await;
    assert!(chat(&gateway, &one, "m").await.starts_with("HTTP/1.1 401"));
    assert!(chat(&gateway, &other, "m").await.contains("x-mainstay-cache: hit"));
}

// Everything that nobody has opened is for administrators.
#[tokio::test]
async fn other_paths_are_for_administrators() {
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let gateway = Gateway::start(&config(&upstream, folder.path()));
    let (_, member) = made(&gateway, &[]).await;
    let (_, manager) = made(&gateway, &["--role", "manager"]).await;
    let (_, admin) = made(&gateway, &["--role", "admin"]).await;
    for path in ["/", "/metrics/", "/admin/keys", "/v2/models", "/health"] {
        for (secret, status) in [("", 401), (TOKEN, 401), (&member, 403), (&manager, 403), (&admin, 404)] {
            let answer = get(&gateway.address, path, secret).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path} {status}: {answer}");
        }
    }
}

async fn a_disabled_key_stops_in_the_other_gateway_within_a_second(config: &str) {
    let (one, other) = (Gateway::start(config), Gateway::start(config));
    let (id, secret) = made(&one, &[]).await;
    until(async || chat(&other, &secret, "m").await.starts_with("HTTP/1.1 200")).await;
    // The quickest of five, since the machine may be busy.
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        let answer = send(&one.admin, "POST", &format!("/admin/keys/{id}/disable"), TOKEN, "").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        // At once where it was done.
        assert!(chat(&one, &secret, "m").await.contains("this key is disabled"));
        until(async || chat(&other, &secret, "m").await.contains("this key is disabled")).await;
        quickest = quickest.min(begun.elapsed());
        keys(&other, &["enable", &id]);
        for gateway in [&one, &other] {
            until(async || chat(gateway, &secret, "m").await.starts_with("HTTP/1.1 200")).await;
        }
        if quickest < Duration::from_secs(1) {
            return;
        }
    }
    panic!("{quickest:?}");
}

#[tokio::test]
async fn a_disabled_key_stops_within_a_second_in_every_gateway_with_the_same_file() {
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    a_disabled_key_stops_in_the_other_gateway_within_a_second(&config(&upstream, folder.path())).await;
}

#[tokio::test]
async fn a_disabled_key_stops_within_a_second_in_every_gateway_with_the_same_redis() {
    let Some(server) = redis().await else { return };
    let keys = format!("redis_url = \"{}\"\nsecret = \"{}\"", server.redis_url(), "s".repeat(32));
    let config = with_keys(&upstream().await, &keys);
    a_disabled_key_stops_in_the_other_gateway_within_a_second(&config).await;
}

// S3
#[tokio::test]
async fn without_its_store_the_gateway_goes_on_and_says_so() {
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let gateway = Gateway::start(&config(&upstream, folder.path()));
    let (_, secret) = made(&gateway, &[]).await;
    assert!(!chat(&gateway, &secret, "m").await.contains("x-mainstay-keys"));
    std::fs::remove_file(folder.path().join("keys.json")).unwrap();
    until(async || chat(&gateway, &secret, "m").await.contains("x-mainstay-keys: stale")).await;
    let listed = get(&gateway.address, "/v1/models", &secret).await;
    assert!(listed.starts_with("HTTP/1.1 200") && listed.contains("x-mainstay-keys: stale"), "{listed}");
    let status = get(&gateway.admin, "/admin/status", TOKEN).await;
    assert!(status.contains("\"stale\":true"), "{status}");
}

// Security test 2: neither in the log, at its most talkative, nor in any answer but the one that shows it.
#[tokio::test]
async fn no_secret_is_in_the_log_or_in_an_answer() {
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let log = folder.path().join("log");
    let gateway =
        Gateway::start_with(&config(&upstream, folder.path()), std::fs::File::create(&log).unwrap().into());
    let (id, first) = made(&gateway, &[]).await;
    let rotated = keys(&gateway, &["rotate", &id, "--grace", "1h"]);
    let second = rotated["secret"].as_str().unwrap().to_owned();
    let mut answers = String::new();
    for secret in [&first, &second, &format!("{}x", &first[..48])] {
        answers.push_str(&chat(&gateway, secret, "m").await);
        answers.push_str(&chat(&gateway, secret, "nothing/of/the/kind").await);
        answers.push_str(&get(&gateway.address, "/nowhere", secret).await);
        for path in ["/admin/keys", &format!("/admin/keys/{id}"), "/admin/status", "/nowhere"] {
            answers.push_str(&get(&gateway.admin, path, secret).await);
        }
    }
    for path in ["/admin/keys", &format!("/admin/keys/{id}"), "/admin/status", "/nowhere"] {
        answers.push_str(&get(&gateway.admin, path, TOKEN).await);
    }
    answers.push_str(
        &send(&gateway.admin, "POST", "/admin/keys", TOKEN, &format!("{{\"name\":\"{first}\",}}")).await,
    );
    answers.push_str(&keys(&gateway, &["list"]).to_string());
    assert!(answers.contains("this is no key of this gateway"), "{answers}");
    gateway.terminate();
    let log = std::fs::read_to_string(&log).unwrap();
    let stored = std::fs::read_to_string(folder.path().join("keys.json")).unwrap();
    let digest = stored.split("\"digest\": \"").nth(1).and_then(|rest| rest.get(..64)).unwrap();
    for canary in [&first[6..], &second[6..], TOKEN, "sk-upstream", digest] {
        for part in canary.as_bytes().windows(8) {
            let part = std::str::from_utf8(part).unwrap();
            assert!(!log.contains(part), "{part} in the log: {log}");
            assert!(!answers.contains(part), "{part} in an answer: {answers}");
        }
    }
}

#[tokio::test]
async fn the_command_line_makes_lists_changes_and_deletes_keys() {
    let (upstream, folder) = (upstream().await, tempfile::tempdir().unwrap());
    let gateway = Gateway::start(&config(&upstream, folder.path()));
    let made = keys(
        &gateway,
        &[
            "create",
            "search",
            "--rpm",
            "60",
            "--limit",
            "12.50 usd/month",
            "--concurrent",
            "5",
            "--subject",
            "org:acme",
            "--namespace",
            "acme",
            "--expires",
            "30d",
            "--metadata",
            "owner=ann",
            "--model",
            "m",
            "--model",
            "up/*",
        ],
    );
    assert_eq!(made["limits"].to_string(), r#"["60 requests/minute","5 concurrent","12.5 usd/month"]"#);
    assert_eq!((made["namespace"].as_str(), made["metadata"]["owner"].as_str()), (Some("acme"), Some("ann")));
    let changed = keys(&gateway, &["update", "search", "--rpm", "30", "--model", "*", "--expires", "never"]);
    assert_eq!(changed["limits"].to_string(), r#"["5 concurrent","12.5 usd/month","30 requests/minute"]"#);
    assert!(
        changed["models"].is_null() && changed["expires_at"].is_null() && changed["secret"].is_null(),
        "{changed}"
    );
    assert_eq!(keys(&gateway, &["disable", "search"])["status"], "disabled");
    let listed = keys(&gateway, &["list"]);
    assert!(listed.as_array().unwrap().len() == 1 && listed[0]["name"] == "search", "{listed}");
    let done = Command::new(env!("CARGO_BIN_EXE_mainstay"))
        .args(["keys", "delete", "search", "--config"])
        .arg(gateway.config.path())
        .output()
        .unwrap();
    assert!(done.status.success());
    assert!(keys(&gateway, &["list"]).as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_check_of_the_configuration_looks_at_the_keys_and_makes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mainstay.toml");
    let check = |keys: &str| {
        let file = folder.path().join("keys.json");
        std::fs::write(&path, keys.replace("FILE", file.to_str().unwrap()) + "\n[providers.sim]\n").unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_mainstay")).arg("check").arg(&path).output().unwrap();
        assert!(!file.exists());
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    assert!(check("[keys]\nfile = \"FILE\"").0);
    for (keys, told) in [
        ("[keys]\nfile = \"FILE\"\nsecret = \"short\"", "at least 32"),
        ("[keys]\nfile = \"${MAINSTAY_NOT_SET}\"", "MAINSTAY_NOT_SET is not set"),
        ("[keys]\nredis_url = \"nowhere\"\nsecret = \"01234567890123456789012345678901\"", "keys.redis_url"),
        ("[keys]\nfile = \"FILE\"\n[admin]\ntoken = \"hunter2\"", "24 to 256 bytes"),
    ] {
        let (success, said) = check(keys);
        assert!(!success && said.contains(told) && !said.contains("hunter2"), "{keys}: {said}");
    }
}

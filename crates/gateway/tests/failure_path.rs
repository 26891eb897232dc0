//! What clients see when the upstream has a bad day, and how their headers shape it.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Gateway, Upstream, chat_body, exchange, json_response, post};
use tokio::io::AsyncWriteExt as _;

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"the-model","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}"#;
const TOO_LONG: &str = r#"{"error":{"message":"This model's maximum context length is 100 tokens. However, your messages resulted in 160 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#;

fn failure() -> String {
    json_response("500 Internal Server Error", r#"{"error":{"message":"it broke","type":"server_error"}}"#)
}

/// An upstream that gives these answers, then the last one for ever.
async fn scripted(answers: Vec<String>) -> (Upstream, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let answers = Arc::new(answers);
    let upstream = Upstream::start(move |mut stream| {
        let (count, answers) = (count.clone(), answers.clone());
        async move {
            let at = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            let _ = stream.write_all(answers[at].as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    })
    .await;
    (upstream, asked)
}

fn gateway(upstream: &Upstream, router: &str) -> Gateway {
    Gateway::start(&format!(
        "[router]\nretry_base = \"20ms\"\n{router}\n[providers.up]\nkind = \"openai\"\nbase_url = \"http://{}/v1\"\n\
         api_key = \"sk-test\"\n[models.m]\ndeployments = [{{ model = \"up/the-model\" }}]\n",
        upstream.address
    ))
}

fn with_header(header: &str, body: &str) -> String {
    post("/v1/chat/completions", body).replacen("\r\n", &format!("\r\n{header}\r\n"), 1)
}

// S2.1: backoff, and the reply says how many attempts it took.
#[tokio::test]
async fn a_failure_that_passes_is_not_felt() {
    let (upstream, asked) = scripted(vec![failure(), json_response("200 OK", ANSWER)]).await;
    let gateway = gateway(&upstream, "");
    let answer = exchange(&gateway, &post("/v1/chat/completions", &chat_body(""))).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-mainstay-attempts: 2"), "{answer}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

// T3: what the client, or a proxy before us, has tried already lowers our own attempts.
#[tokio::test]
async fn an_inbound_attempt_count_lowers_our_own_attempts() {
    for (header, attempts) in [
        ("x-stainless-retry-count: 0", 3),
        ("x-stainless-retry-count: 1", 2),
        ("x-stainless-retry-count: 9", 1),
        ("x-envoy-attempt-count: 2", 2),
        ("x-stainless-retry-count: many", 3),
    ] {
        let (upstream, asked) = scripted(vec![failure()]).await;
        let gateway = gateway(&upstream, "");
        let answer = exchange(&gateway, &with_header(header, &chat_body(""))).await;
        assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
        assert_eq!(asked.load(Ordering::SeqCst), attempts, "{header}");
    }
}

// S1.6
#[tokio::test]
async fn when_all_attempts_fail_each_providers_own_error_is_listed() {
    let (upstream, _) = scripted(vec![failure()]).await;
    let answer = exchange(&gateway(&upstream, ""), &post("/v1/chat/completions", &chat_body(""))).await;
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let attempts = body["error"]["mainstay"]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 3, "{body}");
    assert!(attempts.iter().all(|attempt| attempt["deployment"] == "up/the-model"), "{body}");
}

// D1: one deadline for the whole call, retries and all.
#[tokio::test]
async fn a_deadline_in_the_request_ends_the_call() {
    let upstream = Upstream::start(|stream| async move {
        tokio::time::sleep(Duration::from_secs(30)).await;
        drop(stream);
    })
    .await;
    let gateway = gateway(&upstream, "");
    let begun = tokio::time::Instant::now();
    let answer = exchange(&gateway, &with_header("x-mainstay-timeout-ms: 300", &chat_body(""))).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let answer = exchange(&gateway, &with_header("x-mainstay-timeout-ms: soon", &chat_body(""))).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("x-mainstay-timeout-ms"), "{answer}");
}

// S2.1: a conversation that is too long is sent again shorter, never unchanged, and the reply says so.
#[tokio::test]
async fn a_conversation_that_is_too_long_is_shortened_and_the_reply_says_so() {
    let (upstream, _) =
        scripted(vec![json_response("400 Bad Request", TOO_LONG), json_response("200 OK", ANSWER)]).await;
    let gateway = gateway(&upstream, "");
    let turns = "one two three four five six seven eight nine ten eleven twelve";
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"system","content":"be kind"}},{{"role":"user","content":"first {turns}"}},{{"role":"assistant","content":"{turns}"}},{{"role":"user","content":"second {turns}"}},{{"role":"assistant","content":"{turns}"}},{{"role":"user","content":"last question"}}]}}"#
    );
    let answer = exchange(&gateway, &post("/v1/chat/completions", &body)).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-mainstay-shortened: "), "{answer}");
    let requests = upstream.requests.lock().unwrap();
    let [first, second] = &requests[..] else { panic!("{} requests", requests.len()) };
    assert!(first.contains("first one"), "{first}");
    assert!(!second.contains("first one"), "{second}");
    assert!(second.contains("be kind") && second.contains("last question"), "{second}");
}

// S3.2: while a deployment rests, calls are refused at once and told when to come again.
#[tokio::test]
async fn an_open_breaker_refuses_without_touching_the_provider() {
    let (upstream, asked) = scripted(vec![failure()]).await;
    let gateway = gateway(&upstream, "num_retries = 0\nfailures = 2\ncooldown_time = \"60s\"");
    for _ in 0..2 {
        exchange(&gateway, &post("/v1/chat/completions", &chat_body(""))).await;
    }
    let answer = exchange(&gateway, &post("/v1/chat/completions", &chat_body(""))).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: "), "{answer}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

//! Bad input and bad upstreams: a clear error in OpenAI's shape, naming field and cure.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, Gateway, Upstream, chat, chat_body, exchange, json_response, post};

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"the-model","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}, "x_unknown": 1}"#;

async fn healthy() -> (Upstream, Gateway) {
    let upstream = Upstream::answering(json_response("200 OK", ANSWER)).await;
    let gateway = Gateway::before(&upstream, "max_body_bytes = 10000");
    (upstream, gateway)
}

#[tokio::test]
async fn a_whole_answer_is_the_providers_own_text() {
    let (upstream, gateway) = healthy().await;
    let answer = chat(&gateway, "\"top_k\":5").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(ANSWER), "{answer}");
    assert!(
        answer.contains("x-mainstay-provider: up") && answer.contains("x-mainstay-attempts: 1"),
        "{answer}"
    );
    let asked = upstream.requests.lock().unwrap().remove(0);
    // S1.9: unknown parameters pass; S1.3: the logical name does not.
    assert!(asked.contains("\"top_k\":5") && asked.contains("\"model\":\"the-model\""), "{asked}");
    assert!(asked.to_ascii_lowercase().contains("authorization: bearer sk-test"), "{asked}");
}

#[tokio::test]
async fn bad_requests_name_the_field_and_the_cure() {
    let (_upstream, gateway) = healthy().await;
    for (body, status, told) in [
        ("{\"model\":\"m\"}", 400, "messages"),
        ("{\"model\":\"m\",\"messages\":[]}", 400, "messages is empty"),
        ("{\"model\":\"\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", 400, "model is empty"),
        ("{\"model\":\"m\",\"messages\":[{\"content\":\"x\"}]}", 400, "\"param\":\"messages[0]\""),
        (
            "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"temperature\":\"hot\"}",
            400,
            "temperature",
        ),
        (
            "{\"model\":\"nope/x/y\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
            404,
            "there are: m",
        ),
        ("not json", 400, "not the JSON that is expected"),
        ("{} {}", 400, "missing field"),
    ] {
        let answer = exchange(&gateway, &post("/v1/chat/completions", body)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{body}: {answer}");
        assert!(answer.contains(told), "{body}: {answer}");
        assert!(
            answer.contains("\"error\":{") && answer.contains("\"type\":\"invalid_request_error\""),
            "{answer}"
        );
    }
}

/// Security test 10.
#[tokio::test]
async fn hostile_json_is_refused_without_harm() {
    let (_upstream, gateway) = healthy().await;
    let deep = format!(
        "{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}}],\"x\":{}",
        "[".repeat(4000)
    );
    for body in [
        deep.as_str(),
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\\ud800\"}]}",
        "{\"n\":1e400}",
    ] {
        let answer = exchange(&gateway, &post("/v1/chat/completions", body)).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    assert!(chat(&gateway, "").await.starts_with("HTTP/1.1 200"));
}

/// Security test 7.
#[tokio::test]
async fn a_body_over_the_limit_is_refused_with_and_without_a_length() {
    let (_upstream, gateway) = healthy().await;
    let large = "x".repeat(10_001);
    let answer = exchange(&gateway, &post("/v1/chat/completions", &large)).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("server.max_body_bytes"), "{answer}");
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let mut client = Client::connect(&gateway).await;
    client.send(&format!("{head}{:x}\r\n{large}\r\n", large.len())).await;
    let answer = client.read_until("request_too_large").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

/// Security test 9.
#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let upstream = Upstream::answering(json_response("200 OK", ANSWER)).await;
    let gateway = Gateway::before(&upstream, "body_timeout = \"300ms\"");
    let mut client = Client::connect(&gateway).await;
    client
        .send("POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{")
        .await;
    let answer = client.read_until("did not arrive").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

/// Security test 9: hyper has no header timeout unless it is given a timer.
#[tokio::test]
async fn headers_that_do_not_come_are_not_waited_for() {
    let upstream = Upstream::answering(json_response("200 OK", ANSWER)).await;
    let gateway = Gateway::before(&upstream, "header_timeout = \"200ms\"");
    let mut client = Client::connect(&gateway).await;
    client.send("POST /v1/chat/comp").await;
    client.read_to_end().await; // sooner than after the 60 s that are usual
}

#[tokio::test]
async fn other_content_types_and_routes_and_methods_are_told_what_to_do() {
    let (_upstream, gateway) = healthy().await;
    let form = post("/v1/chat/completions", &chat_body("")).replace("application/json", "text/plain");
    let answer = exchange(&gateway, &form).await;
    assert!(
        answer.starts_with("HTTP/1.1 415") && answer.contains("content-type: application/json"),
        "{answer}"
    );
    let answer = exchange(&gateway, &post("/v1/completion", "{}")).await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("/v1/chat/completions"), "{answer}");
    let answer = exchange(&gateway, "GET /v1/models/%ff HTTP/1.1\r\nhost: g\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("\"param\":\"model\""), "{answer}");
    let answer = exchange(&gateway, "GET /v1/chat/completions HTTP/1.1\r\nhost: g\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
}

#[tokio::test]
async fn a_dead_upstream_is_a_502_that_names_the_cure_and_not_the_address() {
    let upstream = Upstream::start(|stream| async move { drop(stream) }).await;
    let gateway = Gateway::before(&upstream, "");
    let answer = chat(&gateway, "").await;
    assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("\"kind\":\"network\""), "{answer}");
    assert!(!answer.contains(&upstream.address), "{answer}");
}

#[tokio::test]
async fn a_providers_error_keeps_its_words_status_and_wait() {
    let body = r#"{"error":{"message":"Rate limit reached","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#;
    let response = json_response("429 Too Many Requests\r\nretry-after: 7\r\nx-request-id: req_up", body);
    let upstream = Upstream::answering(response).await;
    let gateway = Gateway::before(&upstream, "");
    let answer = chat(&gateway, "").await;
    // The deployment rests up to a tenth longer than it asked for, and so does the client.
    let waits = ["retry-after: 7\r", "retry-after: 8\r"];
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert!(waits.iter().any(|wait| answer.contains(wait)), "{answer}");
    assert!(answer.contains("Rate limit reached") && answer.contains("req_up"), "{answer}");
}

#[tokio::test]
async fn a_200_that_is_no_answer_is_a_502() {
    for body in ["<html>hello</html>", "{}", "{\"choices\":[]}", "[1]"] {
        let upstream = Upstream::answering(json_response("200 OK", body)).await;
        let gateway = Gateway::before(&upstream, "");
        let answer = chat(&gateway, "").await;
        assert!(
            answer.starts_with("HTTP/1.1 502") && answer.contains("malformed_response"),
            "{body}: {answer}"
        );
    }
}

// RFC 9111, 5.2.1.7
#[tokio::test]
async fn a_call_for_a_cached_answer_alone_is_a_504_when_there_is_none() {
    let upstream = Upstream::answering(json_response("200 OK", ANSWER)).await;
    let semantic = "[providers.sim]\n[semantic_cache]\nembedder = \"sim/embed\"\ndimensions = 64\n";
    for tables in ["[cache]\n", semantic] {
        let gateway = Gateway::start(&format!(
            "{tables}[providers.up]\nkind = \"openai\"\nbase_url = \"http://{}/v1\"\napi_key = \"sk-test\"\n\
             [models.m]\ndeployments = [{{ model = \"up/the-model\" }}]\n",
            upstream.address
        ));
        for header in ["cache-control", "x-mainstay-cache"] {
            let request = post("/v1/chat/completions", &chat_body("\"temperature\":0"));
            let request = request.replacen("\r\n", &format!("\r\n{header}: only-if-cached\r\n"), 1);
            let answer = exchange(&gateway, &request).await;
            assert!(answer.starts_with("HTTP/1.1 504") && answer.contains("not_in_cache"), "{answer}");
        }
    }
    assert!(upstream.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn every_answer_has_the_id_of_its_call() {
    let (_upstream, gateway) = healthy().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: g\r\n\r\n");
    let chat = post("/v1/chat/completions", &chat_body(""));
    for (request, status) in [
        (chat.clone(), 200),
        (get("/v1/models"), 200),
        (get("/v1/models/m"), 200),
        (get("/v1/models/none"), 404),
        (get("/v1/models/%ff"), 400),
        (get("/nowhere"), 404),
        (get("/v1/chat/completions"), 405),
        (post("/v1/models", "{}"), 405),
        (post("/v1/embeddings", "{}"), 400),
        (get("/health/ready"), 200),
    ] {
        let ids = |answer: &str| {
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
            let ids = answer.lines().filter_map(|line| line.strip_prefix("x-request-id: "));
            ids.map(str::to_owned).collect::<Vec<_>>()
        };
        let fresh = ids(&exchange(&gateway, &request).await);
        assert!(fresh.len() == 1 && fresh[0].starts_with("req_"), "{request}: {fresh:?}");
        let named = request.replacen("\r\n", "\r\nx-request-id: mine-7\r\n", 1);
        assert_eq!(ids(&exchange(&gateway, &named).await), ["mine-7"], "{request}");
    }
}

//! The tool itself: that it finds what is wrong, by hand-written exchanges.

use mainstay_adapters::{Transport, TransportConfig};
use serde_json::{Value, json};

use super::fixture::Fixture;
use super::replay::Stage;
use super::report::Outcome;
use super::server::Loopback;

fn exchange(response: Value) -> Value {
    json!({
        "provider": "openai",
        "name": "hand_made",
        "api": "chat",
        "request": {
            "method": "POST",
            "host": "api.openai.com",
            "path": "/v1/chat/completions",
            "headers": {},
            "body": {
                "model": "gpt-4.1",
                "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
                "temperature": 0.0,
                "stream": false,
            },
        },
        "response": response,
    })
}

fn answer() -> Value {
    let message = json!({"role": "assistant", "content": "Hi"});
    json!({"status": 200, "headers": {}, "body": {
        "id": "chatcmpl-1",
        "model": "gpt-4.1-2025-04-14",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 8, "completion_tokens": 1, "total_tokens": 9},
    }})
}

async fn replayed(exchange: Value) -> Outcome {
    let stage = Stage {
        server: Loopback::start().await.unwrap(),
        transport: Transport::new(&TransportConfig::default()).unwrap(),
        specs: None,
        gateway: None,
        verbose: false,
    };
    let fixture: Fixture = serde_json::from_value(exchange).unwrap();
    stage.replay(&fixture).await
}

async fn flaw_of(exchange: Value) -> String {
    match replayed(exchange).await {
        Outcome::Fail(flaw) => flaw,
        other => panic!("nothing was found: {other:?}"),
    }
}

#[tokio::test]
async fn an_exchange_that_conforms_passes() {
    assert_eq!(replayed(exchange(answer())).await, Outcome::Pass(None));
}

#[tokio::test]
async fn an_exchange_without_its_request_passes_by_its_answer_and_says_so() {
    let mut exchange = exchange(answer());
    exchange["request"] = Value::Null;
    assert!(matches!(replayed(exchange).await, Outcome::Pass(Some(_))));
}

#[tokio::test]
async fn a_request_to_another_address_is_found() {
    let mut exchange = exchange(answer());
    exchange["request"]["path"] = "/v1/chat/elsewhere".into();
    assert!(flaw_of(exchange).await.starts_with("request: $.path: expected"));
}

#[tokio::test]
async fn an_error_of_another_class_is_found() {
    let body = json!({"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}});
    let mut exchange = exchange(json!({"status": 429, "headers": {"retry-after": "7"}, "body": body}));
    exchange["expected_class"] = "RateLimited".into();
    assert_eq!(replayed(exchange.clone()).await, Outcome::Pass(None));
    exchange["expected_class"] = "Overloaded".into();
    assert!(flaw_of(exchange).await.starts_with("answer: $.kind: expected \"Overloaded\""));
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_no_answer() {
    let event = json!({"id": "a", "model": "m", "choices": [{"index": 0, "delta": {"content": "Hi"}}]});
    let text = format!("data: {event}\n\n");
    let mut exchange = exchange(json!({"status": 200, "headers": {}, "sse_text": text}));
    exchange["request"]["body"]["stream"] = true.into();
    assert!(flaw_of(exchange).await.starts_with("answer: expected an answer"));
}

#[tokio::test]
async fn what_is_no_adapters_job_is_skipped_with_a_reason_but_its_errors_are_not() {
    let mut exchange = exchange(answer());
    exchange["api"] = "models".into();
    assert!(matches!(replayed(exchange.clone()).await, Outcome::Skip(reason) if !reason.is_empty()));
    let body = json!({"error": {"message": "no such model", "type": "invalid_request_error", "code": "model_not_found"}});
    exchange["response"] = json!({"status": 404, "headers": {}, "body": body});
    exchange["expected_class"] = "ModelNotFound".into();
    assert!(matches!(replayed(exchange).await, Outcome::Pass(Some(_))));
}

//! An error event after `200 OK` is the error that it would have been as an answer.

use mainstay_provider_core::Error;
use mainstay_provider_core::ErrorKind::*;
use mainstay_provider_core::Timer;

use super::super::{FailedGeneration, classify_in_stream};
use crate::framing::{EventName, Frame};

fn event(provider: &str, data: &str) -> Error {
    let frame = Frame::new(bytes::Bytes::copy_from_slice(data.as_bytes()));
    classify_in_stream(provider, &frame)
}

fn exception(name: &'static str, data: &'static str) -> Error {
    let name = EventName::new(bytes::Bytes::from_static(name.as_bytes()));
    let frame = Frame { event: Some(name), exception: true, ..Frame::new(data.into()) };
    classify_in_stream("bedrock", &frame)
}

#[test]
fn openai_puts_an_error_object_in_place_of_a_chunk() {
    let error = event(
        "openai",
        r#"{"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}"#,
    );
    assert_eq!(
        (error.kind(), error.message(), error.code()),
        (ServerError, "The server had an error", Some("server_error"))
    );
    assert_eq!(error.status(), None, "the answer's status was 200");
    assert_eq!(
        event("openai", r#"{"error":{"message":"x","type":"tokens","code":"rate_limit_exceeded"}}"#).kind(),
        RateLimited
    );
    assert_eq!(
        event("openai", r#"{"error":{"message":"x","type":"insufficient_quota"}}"#).kind(),
        QuotaExhausted
    );
    assert_eq!(
        event("vllm", r#"{"error":{"message":"the context length is only 8 tokens","code":400}}"#).kind(),
        ContextLengthExceeded
    );
}

#[test]
fn anthropic_sends_its_error_body_as_an_event() {
    let of = |kind: &str| {
        event("anthropic", &format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"m"}}}}"#)).kind()
    };
    assert_eq!(of("overloaded_error"), Overloaded);
    assert_eq!(of("api_error"), ServerError);
    assert_eq!(of("rate_limit_error"), RateLimited);
    assert_eq!(of("timeout_error"), Timeout(Timer::Upstream));
    assert_eq!(of("invalid_request_error"), InvalidRequest);
    assert_eq!(of("authentication_error"), Authentication);
    assert_eq!(of("permission_error"), PermissionDenied);
    assert_eq!(of("something_new"), ServerError);
}

#[test]
fn groq_gives_the_failed_generation_and_a_status() {
    let data = r#"{"error":{"message":"m","type":"invalid_request_error","code":"tool_use_failed","failed_generation":"{oops","status_code":400}}"#;
    let error = event("groq", data);
    assert_eq!((error.kind(), error.status()), (MalformedToolCall, Some(400)));
    let source =
        std::error::Error::source(&error).and_then(|source| source.downcast_ref::<FailedGeneration>());
    assert_eq!(source.map(FailedGeneration::text), Some("{oops"));
}

#[test]
fn openrouter_puts_an_error_beside_its_choices() {
    let data = r#"{"id":"gen-1","object":"chat.completion.chunk","model":"m","error":{"code":502,"message":"Provider disconnected"},
        "choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#;
    let error = event("openrouter", data);
    assert_eq!(
        (error.kind(), error.status(), error.message()),
        (ServerError, Some(502), "Provider disconnected")
    );
    assert_eq!(
        event("openrouter", r#"{"error":{"code":"server_error","message":"x"},"choices":[]}"#).kind(),
        ServerError
    );
    assert_eq!(
        event("openrouter", r#"{"error":{"code":429,"message":"x"},"choices":[]}"#).kind(),
        RateLimited
    );
}

#[test]
fn responses_fail_in_three_forms() {
    let nested = r#"{"type":"error","sequence_number":2,"error":{"code":"server_is_overloaded","message":"busy","type":"service_unavailable_error"}}"#;
    let flat =
        r#"{"type":"error","sequence_number":2,"code":"server_is_overloaded","message":"busy","param":null}"#;
    let failed = r#"{"type":"response.failed","response":{"id":"resp_1","status":"failed","error":{"code":"server_is_overloaded","message":"busy"}}}"#;
    for data in [nested, flat, failed] {
        let error = event("openai", data);
        assert_eq!(
            (error.kind(), error.code(), error.message()),
            (Overloaded, Some("server_is_overloaded"), "busy"),
            "{data}"
        );
    }
    let of = |code: &str| event("openai", &failed.replace("server_is_overloaded", code)).kind();
    assert_eq!(of("server_error"), ServerError);
    assert_eq!(of("rate_limit_exceeded"), RateLimited);
    assert_eq!(of("invalid_prompt"), ContentFiltered);
    assert_eq!(of("context_length_exceeded"), ContextLengthExceeded);
}

#[test]
fn ollama_ends_its_lines_with_an_error() {
    let error = event("ollama", r#"{"error":"an error was encountered while running the model"}"#);
    assert_eq!(
        (error.kind(), error.message()),
        (ServerError, "an error was encountered while running the model")
    );
    assert_eq!(
        event("ollama", r#"{"error":"model 'x' not found, try pulling it first"}"#).kind(),
        ModelNotFound
    );
}

#[test]
fn gemini_blocks_a_prompt_or_sends_its_error_body() {
    assert_eq!(
        event("gemini", r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{}}"#).kind(),
        ContentFiltered
    );
    assert_eq!(
        event("gemini", r#"{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#).kind(),
        Overloaded
    );
    assert_eq!(
        event("gemini", r#"{"error":{"message":"m","status":"RESOURCE_EXHAUSTED"}}"#).kind(),
        RateLimited
    );
}

#[test]
fn bedrock_names_its_exceptions() {
    let message = r#"{"message":"m"}"#;
    assert_eq!(exception("throttlingException", message).kind(), RateLimited);
    assert_eq!(exception("serviceUnavailableException", message).kind(), Overloaded);
    assert_eq!(exception("internalServerException", message).kind(), ServerError);
    assert_eq!(
        exception("modelStreamErrorException", r#"{"message":"m","originalStatusCode":500}"#).kind(),
        ServerError
    );
    assert_eq!(exception("modelTimeoutException", message).kind(), Timeout(Timer::Upstream));
    assert_eq!(exception("validationException", message).kind(), InvalidRequest);
    assert_eq!(
        exception("validationException", r#"{"message":"Too many tokens"}"#).kind(),
        ContextLengthExceeded
    );
    assert_eq!(
        exception("validationException", r#"{"message":"The provided model identifier is invalid."}"#).kind(),
        ModelNotFound
    );
    assert_eq!(exception("somethingNew", "oh").kind(), ServerError);
    let error = exception("throttlingException", message);
    assert_eq!((error.code(), error.message()), (Some("throttlingException"), "m"));
}

#[test]
fn an_error_event_that_says_nothing_is_the_providers_fault() {
    for data in ["", "null", "{}", "oh no", "<html>", "[]", "{\"error\": {}}"] {
        let error = event("openai", data);
        assert_eq!(error.kind(), ServerError, "{data:?}");
        assert!(!error.message().is_empty());
    }
}

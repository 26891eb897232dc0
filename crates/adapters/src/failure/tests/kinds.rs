//! The kind, for each rule and each provider's special cases, on bodies written by hand.

use mainstay_provider_core::ErrorKind::{self, *};
use mainstay_provider_core::{Remedy, Timer};
use serde_json::{Value, json};

use super::super::{FailedGeneration, classify};
use super::{headers, now, refused, refused_with};

/// The shape of OpenAI and its dialect.
fn openai(message: &str, kind: &str, code: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

fn kind(provider: &str, status: u16, body: Value) -> ErrorKind {
    refused(provider, status, body).kind()
}

#[test]
fn a_deadline_of_the_provider_is_a_timeout() {
    for status in [408, 504] {
        assert_eq!(kind("openai", status, openai("deadline", "server_error", "")), Timeout(Timer::Upstream));
    }
    assert_eq!(
        kind("gemini", 504, json!({"error": {"code": 504, "status": "DEADLINE_EXCEEDED"}})),
        Timeout(Timer::Upstream)
    );
}

#[test]
fn a_body_that_nobody_knows_leaves_the_status_to_decide() {
    let expected = [
        (400, InvalidRequest),
        (401, Authentication),
        (402, QuotaExhausted),
        (403, PermissionDenied),
        (404, ModelNotFound),
        (409, InvalidRequest),
        (413, InvalidRequest),
        (418, InvalidRequest),
        (422, InvalidRequest),
        (429, RateLimited),
        (498, InvalidRequest),
        (500, ServerError),
        (502, ServerError),
        (503, Overloaded),
        (520, ServerError),
        (526, ServerError),
        (529, Overloaded),
    ];
    let bodies: [&[u8]; 8] = [
        b"",
        b"null",
        b"{}",
        b"[]",
        b"{\"fine\": true}",
        b"\xFF\xFE",
        b"upstream error: context length exceeded",
        b"<html><head><title>502 Bad Gateway</title></head></html>",
    ];
    for (status, expected) in expected {
        for body in bodies {
            let error = classify("openai", status, &headers(&[]), body, now());
            assert_eq!(error.kind(), expected, "{status} {:?}", String::from_utf8_lossy(body));
            assert_eq!(error.status(), Some(status));
            assert!(!error.message().is_empty() && !error.message().contains('<'));
        }
    }
}

#[test]
fn a_success_that_cannot_be_read_is_a_malformed_response() {
    for body in [
        &b""[..],
        b"{\"choices\": [",
        b"<html>",
        b"{\"choices\": []}",
        b"{\"error\": null, \"message\": {\"content\": []}}",
    ] {
        assert_eq!(classify("cohere", 200, &headers(&[]), body, now()).kind(), MalformedResponse);
    }
    assert_eq!(classify("openai", 302, &headers(&[]), b"moved", now()).kind(), MalformedResponse);
}

#[test]
fn a_success_that_holds_an_error_is_that_error() {
    let error = refused("openrouter", 200, json!({"error": {"code": 502, "message": "Provider is down"}}));
    assert_eq!((error.kind(), error.status(), error.message()), (ServerError, Some(502), "Provider is down"));
    assert_eq!(kind("openrouter", 200, json!({"error": {"code": 429, "message": "slow down"}})), RateLimited);
    assert_eq!(
        kind(
            "openai",
            200,
            json!({"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "x"}})
        ),
        RateLimited
    );
    assert_eq!(
        kind("openai", 200, json!({"status": "failed", "error": {"code": "server_error", "message": "x"}})),
        ServerError
    );
}

#[test]
fn a_spent_account_is_never_a_rate_limit() {
    let quota = "You exceeded your current quota, please check your plan and billing details.";
    assert_eq!(
        kind("openai", 429, openai(quota, "insufficient_quota", "insufficient_quota")),
        QuotaExhausted
    );
    assert_eq!(
        kind("openai", 429, json!({"error": {"message": quota, "type": "insufficient_quota", "code": null}})),
        QuotaExhausted
    );
    assert_eq!(
        kind(
            "openai",
            400,
            openai(
                "Billing hard limit has been reached",
                "invalid_request_error",
                "billing_hard_limit_reached"
            )
        ),
        QuotaExhausted
    );
    assert_eq!(
        kind("deepseek", 402, openai("Insufficient Balance", "unknown_error", "invalid_request_error")),
        QuotaExhausted
    );
    assert_eq!(kind("cohere", 402, json!({"id": "1", "message": "payment required"})), QuotaExhausted);
    let spent = "Your team has either used all available credits or reached its monthly spending limit.";
    for status in [403, 429] {
        assert_eq!(kind("xai", status, json!({"code": "permission-denied", "error": spent})), QuotaExhausted);
    }
}

#[test]
fn anthropic_names_spent_accounts_in_words_or_in_the_details() {
    let anthropic = |kind: &str, message: &str, details: Value| json!({"type": "error", "error": {"type": kind, "message": message, "details": details}, "request_id": "req_1"});
    let low = "Your credit balance is too low to access the Anthropic API.";
    assert_eq!(kind("anthropic", 400, anthropic("invalid_request_error", low, Value::Null)), QuotaExhausted);
    let limit = "You have reached your specified API usage spend limit.";
    assert_eq!(
        kind("anthropic", 400, anthropic("invalid_request_error", limit, Value::Null)),
        QuotaExhausted
    );
    assert_eq!(kind("anthropic", 402, anthropic("billing_error", "pay", Value::Null)), QuotaExhausted);
    for code in ["org_spend_limit_reached", "workspace_spend_limit_reached"] {
        assert_eq!(
            kind("anthropic", 429, anthropic("rate_limit_error", "x", json!({"error_code": code}))),
            QuotaExhausted
        );
    }
    let ramp = json!({"error_code": "ramp_limit_exceeded"});
    assert_eq!(kind("anthropic", 429, anthropic("rate_limit_error", "x", ramp)), RateLimited);
}

#[test]
fn anthropic_types_go_with_their_statuses() {
    let expected = [
        (400, "invalid_request_error", InvalidRequest),
        (401, "authentication_error", Authentication),
        (403, "permission_error", PermissionDenied),
        (404, "not_found_error", ModelNotFound),
        (413, "request_too_large", InvalidRequest),
        (429, "rate_limit_error", RateLimited),
        (500, "api_error", ServerError),
        (504, "timeout_error", Timeout(Timer::Upstream)),
        (529, "overloaded_error", Overloaded),
    ];
    for (status, name, expected) in expected {
        let error = refused(
            "anthropic",
            status,
            json!({"type": "error", "error": {"type": name, "message": "x"}, "request_id": "req_1"}),
        );
        assert_eq!((error.kind(), error.code(), error.request_id()), (expected, Some(name), Some("req_1")));
    }
}

#[test]
fn a_prompt_over_the_window_is_told_by_code_type_or_words() {
    let words = [
        (400, "This model's maximum context length is 8192 tokens."),
        (400, "Your input exceeds the context window of this model."),
        (400, "prompt is too long: 208310 tokens > 200000 maximum"),
        (400, "prompt too long; exceeded max context length by 3 tokens"),
        (400, "too many tokens: size limit exceeded by 25836 tokens."),
        (400, "The input token count (1200000) exceeds the maximum"),
        (400, "Input Tokens Exceeded: Number of input tokens exceeds maximum length."),
        (413, "Please reduce the length of the messages."),
        (
            400,
            "You passed 1015 input tokens and requested 10 output tokens. However, the model's context length is only 1024 tokens",
        ),
    ];
    for (status, words) in words {
        assert_eq!(
            kind("openai", status, openai(words, "invalid_request_error", "")),
            ContextLengthExceeded,
            "{words}"
        );
    }
    assert_eq!(
        kind("openai", 400, openai("x", "invalid_request_error", "context_length_exceeded")),
        ContextLengthExceeded
    );
    assert_eq!(
        kind(
            "perplexity",
            400,
            json!({"error": {"message": "too long", "type": "too_many_prompt_tokens", "code": 400}})
        ),
        ContextLengthExceeded
    );
    assert_eq!(
        kind("bedrock", 429, json!({"message": "Too many tokens, please wait before trying again."})),
        RateLimited
    );
}

#[test]
fn one_request_over_the_whole_limit_is_too_long_whatever_its_status() {
    let large = "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 30601.";
    for status in [413, 429] {
        assert_eq!(
            kind("openai", status, openai(large, "tokens", "rate_limit_exceeded")),
            ContextLengthExceeded
        );
    }
    let over = "Rate limit reached on tokens per minute (TPM): Limit 7000, Used 0, Requested ~12,903. Please try again in 50.5s.";
    let error = refused("groq", 429, openai(over, "tokens", "rate_limit_exceeded"));
    assert_eq!((error.kind(), error.retry_after()), (ContextLengthExceeded, None));
    let within = "Rate limit reached on tokens per min (TPM): Limit 10000, Used 9524, Requested 497. Please try again in 125ms.";
    assert_eq!(kind("openai", 429, openai(within, "tokens", "rate_limit_exceeded")), RateLimited);
}

#[test]
fn a_filter_is_told_by_code_or_by_azures_inner_error_in_both_spellings() {
    for code in ["content_filter", "content_policy_violation", "invalid_prompt"] {
        assert_eq!(kind("openai", 400, openai("x", "invalid_request_error", code)), ContentFiltered);
    }
    let results = json!({"hate": {"filtered": true, "severity": "high"}});
    let inner = [
        json!({"error": {"code": "x", "message": "m", "innererror": {"content_filter_result": results}}}),
        json!({"error": {"code": "x", "message": "m", "inner_error": {"content_filter_results": results}}}),
        json!({"error": {"code": "x", "message": "m", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
    ];
    for body in inner {
        assert_eq!(kind("azure-openai", 400, body), ContentFiltered);
    }
}

#[test]
fn a_wrong_key_is_told_at_any_status() {
    assert_eq!(kind("openai", 401, openai("x", "invalid_request_error", "")), Authentication);
    assert_eq!(
        kind("xai", 400, json!({"code": "invalid-argument", "error": "Incorrect API key provided."})),
        Authentication
    );
    assert_eq!(
        kind(
            "anthropic",
            403,
            json!({"type": "error", "error": {"type": "x", "message": "invalid x-api-key"}})
        ),
        Authentication
    );
    assert_eq!(kind("openai", 400, openai("x", "x", "invalid_api_key")), Authentication);
    assert_eq!(kind("mistral", 401, json!({"detail": "Invalid API Key"})), Authentication);
}

#[test]
fn an_unknown_model_is_told_at_any_status() {
    assert_eq!(kind("openai", 400, openai("x", "invalid_request_error", "model_not_found")), ModelNotFound);
    assert_eq!(
        kind("azure-openai", 400, json!({"error": {"code": "DeploymentNotFound", "message": "x"}})),
        ModelNotFound
    );
    assert_eq!(
        kind("bedrock", 400, json!({"message": "The provided model identifier is invalid."})),
        ModelNotFound
    );
    assert_eq!(
        kind(
            "anthropic",
            404,
            json!({"type": "error", "error": {"type": "not_found_error", "message": "model: x"}})
        ),
        ModelNotFound
    );
    assert_eq!(kind("ollama", 404, json!({"error": "model 'x' not found"})), ModelNotFound);
    assert_eq!(
        kind(
            "mistral",
            400,
            json!({"object": "error", "message": "Invalid model: x", "type": "invalid_model", "param": null, "code": "1500"})
        ),
        ModelNotFound
    );
}

#[test]
fn overload_is_told_by_status_code_or_type() {
    for status in [503, 529] {
        assert_eq!(kind("openai", status, openai("x", "server_error", "")), Overloaded);
    }
    assert_eq!(kind("openai", 500, openai("x", "x", "server_is_overloaded")), Overloaded);
    assert_eq!(kind("openai", 500, openai("x", "service_unavailable_error", "")), Overloaded);
    assert_eq!(
        kind(
            "gemini",
            503,
            json!({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}})
        ),
        Overloaded
    );
    assert_eq!(kind("ollama", 503, json!({"error": "Server overloaded, please retry shortly"})), Overloaded);
    assert_eq!(
        kind(
            "mistral",
            429,
            json!({"object": "error", "message": "Service tier capacity exceeded for this model.", "code": null})
        ),
        Overloaded
    );
    assert_eq!(kind("groq", 498, openai("capacity", "x", "capacity_exceeded")), Overloaded);
}

#[test]
fn gemini_has_quotas_a_minute_and_quotas_a_day() {
    let quota = |id: &str| {
        json!({"error": {"code": 429, "message": "You exceeded your current quota", "status": "RESOURCE_EXHAUSTED", "details": [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": id}]},
        ]}})
    };
    for provider in ["gemini", "vertex"] {
        assert_eq!(
            kind(provider, 429, quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier")),
            QuotaExhausted
        );
        assert_eq!(kind(provider, 429, quota("GenerateContentInputTokensPerModelPerMinute")), RateLimited);
        assert_eq!(
            kind(
                provider,
                429,
                json!({"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED"}})
            ),
            RateLimited
        );
        assert_eq!(
            kind(provider, 429, json!([quota("PerMinute")])),
            RateLimited,
            "the OpenAI dialect sends a list"
        );
    }
}

#[test]
fn gemini_refuses_a_key_with_400_and_a_missing_one_with_403() {
    let body = json!({"error": {"code": 400, "message": "API key expired. Please renew the API key.", "status": "INVALID_ARGUMENT",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]}});
    assert_eq!(kind("gemini", 400, body), Authentication);
    let body = json!({"error": {"code": 403, "message": "Method doesn't allow unregistered callers", "status": "PERMISSION_DENIED"}});
    assert_eq!(kind("gemini", 403, body), Authentication);
    assert_eq!(
        kind("gemini", 403, json!({"error": {"code": 403, "message": "no", "status": "PERMISSION_DENIED"}})),
        PermissionDenied
    );
}

#[test]
fn a_prompt_that_gemini_blocked_is_filtered() {
    let error = refused("gemini", 200, json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}));
    assert_eq!((error.kind(), error.code()), (ContentFiltered, Some("PROHIBITED_CONTENT")));
    assert_eq!(kind("gemini", 200, json!({"promptFeedback": {"safetyRatings": []}})), MalformedResponse);
}

#[test]
fn bedrock_names_its_errors_in_a_header() {
    let expected = [
        (429, "ThrottlingException", RateLimited),
        (429, "ModelNotReadyException", Overloaded),
        (503, "ServiceUnavailableException", Overloaded),
        (408, "ModelTimeoutException", Timeout(Timer::Upstream)),
        (424, "ModelErrorException", ServerError),
        (424, "ModelStreamErrorException", ServerError),
        (500, "InternalServerException", ServerError),
        (403, "AccessDeniedException", PermissionDenied),
        (404, "ResourceNotFoundException", ModelNotFound),
        (400, "ValidationException", InvalidRequest),
        (403, "ExpiredTokenException", Authentication),
        (403, "UnrecognizedClientException", Authentication),
    ];
    for (status, name, expected) in expected {
        let header = format!("{name}:http://internal.amazon.com/coral/com.amazon.bedrock/");
        let error = refused_with(
            "bedrock",
            status,
            &[("x-amzn-errortype", &header), ("x-amzn-requestid", "id")],
            json!({"message": "x"}),
        );
        assert_eq!(
            (error.kind(), error.code(), error.request_id()),
            (expected, Some(name), Some("id")),
            "{name}"
        );
    }
    let window = json!({"message": "Input is too long: the context length is exceeded"});
    assert_eq!(
        refused_with("bedrock", 400, &[("x-amzn-errortype", "ValidationException")], window).kind(),
        ContextLengthExceeded
    );
    for state in ["invalid", "expired"] {
        let body = json!({"message": format!("The security token included in the request is {state}")});
        assert_eq!(kind("bedrock", 403, body), Authentication);
    }
    assert_eq!(
        kind(
            "bedrock",
            429,
            json!({"__type": "com.amazon.coral.service#ThrottlingException", "message": "x"})
        ),
        RateLimited
    );
}

#[test]
fn mistral_speaks_in_three_shapes() {
    assert_eq!(
        kind(
            "mistral",
            429,
            json!({"object": "error", "message": "Rate limit exceeded", "type": "rate_limited", "param": null, "code": "1300"})
        ),
        RateLimited
    );
    assert_eq!(kind("mistral", 401, json!({"message": "Unauthorized"})), Authentication);
    let list = json!([{"type": "extra_forbidden", "loc": ["body", "messages", 0, "name"], "msg": "Extra inputs are not permitted", "input": 1}]);
    for body in [
        json!({"detail": list}),
        json!({"object": "error", "message": {"detail": list}, "type": "invalid_request_error"}),
    ] {
        let error = refused("mistral", 422, body);
        assert_eq!((error.kind(), error.message()), (InvalidRequest, "Extra inputs are not permitted"));
        assert_eq!(error.param(), Some("messages.0.name"));
    }
}

#[test]
fn cohere_has_statuses_of_its_own() {
    assert_eq!(kind("cohere", 498, json!({"id": "1", "message": "blocked"})), ContentFiltered);
    assert_eq!(kind("cohere", 499, json!({"id": "1", "message": "cancelled"})), InvalidRequest);
    assert_eq!(kind("cohere", 429, json!({"message": "trial token rate limit exceeded"})), RateLimited);
    let error = refused(
        "cohere",
        400,
        json!({"id": "c167", "message": "too many tokens: limit", "error_type": "TOO_MANY_TOKENS"}),
    );
    assert_eq!(
        (error.kind(), error.code(), error.request_id()),
        (ContextLengthExceeded, Some("TOO_MANY_TOKENS"), Some("c167"))
    );
}

#[test]
fn a_tool_call_that_groq_could_not_read_keeps_what_the_model_wrote() {
    let body = json!({"error": {"message": "Failed to call a function", "type": "invalid_request_error", "code": "tool_use_failed",
        "failed_generation": "<function=get>{"}});
    let error = refused("groq", 400, body);
    assert_eq!(error.kind(), MalformedToolCall);
    let source = std::error::Error::source(&error).unwrap().downcast_ref::<FailedGeneration>().unwrap();
    assert_eq!(source.text(), "<function=get>{");
    assert!(!format!("{source} {source:?}").contains("get"));
}

#[test]
fn openrouter_tells_causes_in_metadata() {
    let body = |code: u16, metadata: Value| json!({"error": {"code": code, "message": "Provider returned error", "metadata": metadata}, "user_id": "u"});
    assert_eq!(kind("openrouter", 402, body(402, json!({}))), QuotaExhausted);
    assert_eq!(
        kind("openrouter", 402, body(402, json!({"limit_source": "openrouter_in_flight_budget"}))),
        RateLimited
    );
    let waits = refused_with("openrouter", 402, &[("retry-after", "3")], body(402, json!({})));
    assert_eq!(waits.kind(), RateLimited);
    assert_eq!(
        kind("openrouter", 403, body(403, json!({"reasons": ["violence"], "flagged_input": "…"}))),
        ContentFiltered
    );
    assert_eq!(kind("openrouter", 403, body(403, json!({}))), PermissionDenied);
    assert_eq!(kind("openrouter", 502, body(502, json!({"provider_name": "X"}))), ServerError);
    let raw = json!({"raw": "{\"error\":{\"message\":\"prompt is too long: 9 tokens > 8 maximum\"}}", "provider_name": "Anthropic"});
    let error = refused("openrouter", 400, body(400, raw));
    assert_eq!(error.kind(), ContextLengthExceeded);
    assert_eq!(error.message(), "Provider returned error: prompt is too long: 9 tokens > 8 maximum");
    let error =
        refused("openrouter", 429, body(429, json!({"raw": "model is temporarily rate-limited upstream."})));
    assert_eq!(
        (error.kind(), error.message()),
        (RateLimited, "Provider returned error: model is temporarily rate-limited upstream.")
    );
}

#[test]
fn vllm_speaks_in_two_shapes() {
    let error = json!({"object": "error", "message": "max_tokens must be at least 1, got -186.", "type": "BadRequestError", "param": null, "code": 400});
    for body in [error.clone(), json!({"error": error})] {
        let error = refused("vllm", 400, body);
        assert_eq!((error.kind(), error.code()), (InvalidRequest, Some("BadRequestError")));
        assert_eq!(error.message(), "max_tokens must be at least 1, got -186.");
    }
}

#[test]
fn zai_sends_numbers() {
    for (code, expected) in [("1113", QuotaExhausted), ("1302", RateLimited)] {
        assert_eq!(kind("zai", 429, json!({"error": {"code": code, "message": "x"}})), expected);
    }
    assert_eq!(
        kind("zai", 400, json!({"error": {"code": "1261", "message": "Prompt exceeds max length"}})),
        ContextLengthExceeded
    );
}

#[test]
fn a_providers_special_case_is_not_applied_to_the_others() {
    assert_eq!(kind("openai", 498, openai("x", "x", "")), InvalidRequest);
    assert_eq!(
        kind(
            "openai",
            402,
            json!({"error": {"message": "x", "metadata": {"limit_source": "openrouter_in_flight_budget"}}})
        ),
        QuotaExhausted
    );
    assert_eq!(kind("openai", 429, openai("x", "x", "1113")), RateLimited);
}

#[test]
fn everything_else_is_in_the_error_too() {
    let body = json!({"error": {"message": "Unsupported parameter: 'max_tokens'", "type": "invalid_request_error", "param": "max_tokens", "code": "unsupported_parameter"}});
    let error = refused_with("openai", 400, &[("x-request-id", "req_13")], body);
    assert_eq!(error.kind(), InvalidRequest);
    assert_eq!(error.message(), "Unsupported parameter: 'max_tokens'");
    assert_eq!(
        (error.status(), error.code(), error.param()),
        (Some(400), Some("unsupported_parameter"), Some("max_tokens"))
    );
    assert_eq!(error.request_id(), Some("req_13"));
    let body = json!({"error": {"code": 400, "message": "Invalid", "status": "INVALID_ARGUMENT", "details": [{"fieldViolations": [{"field": "contents"}]}]}});
    let error = refused("gemini", 400, body);
    assert_eq!((error.code(), error.param()), (Some("INVALID_ARGUMENT"), Some("contents")));
}

#[test]
fn each_provider_has_its_name_for_the_request_id() {
    let names = [
        "x-request-id",
        "request-id",
        "apim-request-id",
        "x-amzn-requestid",
        "mistral-correlation-id",
        "x-debug-trace-id",
        "x-ds-trace-id",
        "x-generation-id",
    ];
    for name in names {
        assert_eq!(
            refused_with("openai", 500, &[(name, "id-1")], json!({})).request_id(),
            Some("id-1"),
            "{name}"
        );
    }
}

#[test]
fn the_providers_word_on_retrying_overrules_the_kind() {
    let remedy = |status, pairs: &[(&str, &str)]| refused_with("openai", status, pairs, json!({})).remedy();
    assert_eq!(remedy(429, &[]), Remedy::BackOff);
    assert_eq!(remedy(429, &[("x-should-retry", "false")]), Remedy::FailOver);
    assert_eq!(remedy(400, &[]), Remedy::GiveUp);
    assert_eq!(remedy(400, &[("x-should-retry", "true")]), Remedy::BackOff);
    assert_eq!(remedy(409, &[]), Remedy::BackOff, "the SDKs retry a conflict");
    assert_eq!(remedy(409, &[("x-should-retry", "false")]), Remedy::GiveUp);
}

#[test]
fn a_message_that_quotes_the_whole_prompt_is_cut() {
    let error = refused("openai", 400, openai(&"é".repeat(100_000), "x", "x"));
    assert!(error.message().len() < 5000 && error.message().ends_with('…'));
}

//! How long to wait, in every form, to the millisecond.

use std::time::Duration;

use mainstay_provider_core::ErrorKind;
use serde_json::{Value, json};

use super::super::{classify, classify_in_answer, classify_in_stream};
use super::{headers, now, refused, refused_with};
use crate::framing::Frame;

fn wait(pairs: &[(&str, &str)]) -> Option<Duration> {
    refused_with("openai", 429, pairs, json!({})).retry_after()
}

fn said(message: &str) -> Option<Duration> {
    refused("openai", 429, json!({"error": {"message": message}})).retry_after()
}

fn ms(milliseconds: u64) -> Option<Duration> {
    Some(Duration::from_millis(milliseconds))
}

#[test]
fn retry_after_ms_is_milliseconds_with_a_fraction() {
    assert_eq!(wait(&[("retry-after-ms", "1500")]), ms(1500));
    assert_eq!(wait(&[("retry-after-ms", "0.5")]), Some(Duration::from_micros(500)));
    assert_eq!(wait(&[("retry-after-ms", "250"), ("retry-after", "9")]), ms(250));
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    assert_eq!(wait(&[("retry-after", "16")]), ms(16_000));
    assert_eq!(wait(&[("retry-after", "0.25")]), ms(250));
    assert_eq!(wait(&[("retry-after", " 7 ")]), ms(7000));
    assert_eq!(wait(&[("retry-after", "Mon, 02 Jun 2025 15:15:45 GMT")]), ms(45_000));
    assert_eq!(wait(&[("retry-after", "Monday, 02-Jun-25 15:16:00 GMT")]), ms(60_000), "the date of RFC 850");
}

#[test]
fn long_waits_are_told_as_they_are() {
    assert_eq!(wait(&[("retry-after", "121")]), ms(121_000));
    assert_eq!(wait(&[("retry-after", "86400")]), ms(86_400_000));
    assert_eq!(wait(&[("retry-after", "Tue, 03 Jun 2025 15:15:00 GMT")]), ms(86_400_000));
}

#[test]
fn the_first_positive_wait_counts() {
    assert_eq!(wait(&[("retry-after-ms", "0"), ("retry-after", "1")]), ms(1000));
    assert_eq!(wait(&[("retry-after-ms", "soon"), ("retry-after", "2")]), ms(2000));
    for nonsense in ["0", "-5", "nan", "inf", "-inf", "1e400", "later", "", "Sun, 01 Jun 2025 00:00:00 GMT"] {
        assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense:?}");
        assert_eq!(wait(&[("retry-after-ms", nonsense)]), None, "{nonsense:?}");
    }
}

#[test]
fn geminis_retry_info_is_a_wait() {
    let gemini = |delay: Value| {
        let details = json!([{"@type": "type.googleapis.com/google.rpc.Help"}, {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]);
        json!({"error": {"code": 429, "message": "Please retry in 48.939935699s.", "status": "RESOURCE_EXHAUSTED", "details": details}})
    };
    assert_eq!(refused("gemini", 429, gemini(json!("48s"))).retry_after(), ms(48_000));
    assert_eq!(refused("gemini", 429, gemini(json!("34.4s"))).retry_after(), ms(34_400));
    assert_eq!(
        refused("gemini", 429, gemini(json!("34.074824224s"))).retry_after(),
        Some(Duration::new(34, 74_824_224))
    );
    assert_eq!(
        refused("gemini", 429, gemini(Value::Null)).retry_after(),
        Some(Duration::new(48, 939_935_699))
    );
    assert_eq!(
        refused_with("gemini", 429, &[("retry-after", "3")], gemini(json!("48s"))).retry_after(),
        ms(3000)
    );
}

#[test]
fn the_reset_of_the_exhausted_limit_is_a_wait_in_every_format() {
    let tokens_gone = |reset: &str| {
        wait(&[
            ("x-ratelimit-remaining-requests", "10"),
            ("x-ratelimit-reset-requests", "9h"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", reset),
        ])
    };
    let formats = [
        ("6ms", 6),
        ("1s", 1000),
        ("7.66s", 7660),
        ("2m59.56s", 179_560),
        ("6m0s", 360_000),
        ("1h2m3s", 3_723_000),
        ("55", 55_000),
        ("2025-06-02T15:15:48Z", 48_000),
        ("2025-06-02T17:15:48.5+02:00", 48_500),
        ("1748877360", 60_000),
        ("1748877360000", 60_000),
    ];
    for (reset, expected) in formats {
        assert_eq!(tokens_gone(reset), ms(expected), "{reset}");
    }
    for unknown in ["0", "-1", "0s", "soon", "2025-06-02T15:14:45Z"] {
        assert_eq!(tokens_gone(unknown), None, "{unknown}");
    }
}

#[test]
fn of_several_exhausted_limits_the_last_to_be_full_again_counts() {
    let pairs = [
        ("anthropic-ratelimit-requests-remaining", "4000"),
        ("anthropic-ratelimit-requests-reset", "2025-06-02T15:30:00Z"),
        ("anthropic-ratelimit-input-tokens-remaining", "0"),
        ("anthropic-ratelimit-input-tokens-reset", "2025-06-02T15:15:48Z"),
        ("anthropic-ratelimit-output-tokens-remaining", "0"),
        ("anthropic-ratelimit-output-tokens-reset", "2025-06-02T15:15:10Z"),
    ];
    assert_eq!(wait(&pairs), ms(48_000));
    assert_eq!(wait(&[("x-rate-limit-reset-tokens", "55")]), ms(55_000), "Azure sends nothing but the reset");
}

#[test]
fn openrouter_repeats_the_headers_in_the_body() {
    let repeated =
        json!({"X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1748877330000"});
    let body = json!({"error": {"code": 429, "message": "x", "metadata": {"headers": repeated}}});
    assert_eq!(refused("openrouter", 429, body).retry_after(), ms(30_000));
}

#[test]
fn a_wait_may_stand_in_the_message() {
    let messages = [
        ("Please try again in 1m30.002s. Visit https://…", 90_002),
        ("Please try again in 644ms.", 644),
        ("try again in 20s", 20_000),
        ("Please try again in 9m38.016s. Need more tokens?", 578_016),
        ("Please retry after 45 seconds. To increase", 45_000),
        ("Please retry after 1 second.", 1000),
        ("Please retry in 48.5s.", 48_500),
        ("Try again in 2 minutes and", 120_000),
        ("try again in 1h", 3_600_000),
        ("try again in 1d2h3m4s.", 93_784_000),
    ];
    for (message, expected) in messages {
        assert_eq!(said(message), ms(expected), "{message}");
    }
    for message in [
        "Please try again in a while.",
        "Please try again later.",
        "retry after 2026-01-01",
        "try again in 0s",
        "retry in ..s",
    ] {
        assert_eq!(said(message), None, "{message}");
    }
}

#[test]
fn headers_come_before_the_limit_and_the_limit_before_the_message() {
    let body = json!({"error": {"message": "Please try again in 20s."}});
    let limit = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "7s")];
    assert_eq!(refused_with("openai", 429, &limit, body.clone()).retry_after(), ms(7000));
    let all = [limit[0], limit[1], ("retry-after", "3")];
    assert_eq!(refused_with("openai", 429, &all, body).retry_after(), ms(3000));
}

#[test]
fn what_is_only_concluded_counts_only_where_waiting_helps() {
    let limit = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "7s")];
    let body = json!({"error": {"message": "Please try again in 20s."}});
    assert_eq!(refused_with("openai", 400, &limit, body.clone()).retry_after(), None);
    assert_eq!(refused_with("openai", 503, &[], body.clone()).retry_after(), ms(20_000));
    assert_eq!(
        refused_with("openai", 402, &[("retry-after", "60")], body).retry_after(),
        ms(60_000),
        "said outright"
    );
}

#[test]
fn the_wait_on_a_success_is_ignored() {
    let pairs = headers(&[
        ("retry-after", "19"),
        ("anthropic-ratelimit-requests-remaining", "0"),
        ("anthropic-ratelimit-requests-reset", "2025-06-02T15:30:00Z"),
    ]);
    let body = br#"{"type":"error","error":{"type":"rate_limit_error","message":"x"}}"#;
    let error = classify("anthropic", 200, &pairs, body, now());
    assert_eq!(
        (error.kind(), error.retry_after(), error.rate_limits()),
        (ErrorKind::RateLimited, None, None)
    );
    let body = br#"{"error":{"code":"rate_limit_exceeded","message":"Please try again in 20s."}}"#;
    assert_eq!(classify_in_answer("openai", body).retry_after(), ms(20_000));
    assert_eq!(classify_in_stream("openai", &Frame::new(body[..].into())).retry_after(), ms(20_000));
}

//! Rate limits in every provider's headers.

use std::time::Duration;

use mainstay_provider_core::RateLimit;

use super::super::rate_limits;
use super::{headers, now};

const fn limit(limit: u64, remaining: u64, reset: Option<Duration>) -> RateLimit {
    RateLimit { limit: Some(limit), remaining: Some(remaining), reset }
}

#[test]
fn openai_and_groq_give_spans() {
    let limits = rate_limits(
        &headers(&[
            ("x-ratelimit-limit-requests", "14400"),
            ("x-ratelimit-remaining-requests", "14399"),
            ("x-ratelimit-reset-requests", "6s"),
            ("x-ratelimit-limit-tokens", "6000"),
            ("x-ratelimit-remaining-tokens", "5987"),
            ("x-ratelimit-reset-tokens", "130ms"),
            ("x-ratelimit-limit-input-images", "50000"),
            ("x-ratelimit-reset-input-images", "1ms"),
        ]),
        now,
    );
    assert_eq!(limits.requests, limit(14400, 14399, Some(Duration::from_secs(6))));
    assert_eq!(limits.tokens, limit(6000, 5987, Some(Duration::from_millis(130))));
    assert_eq!((limits.input_tokens, limits.output_tokens), Default::default());
}

#[test]
fn anthropic_gives_points_in_time_and_four_limits() {
    let mut pairs = Vec::new();
    for (at, of) in ["requests", "tokens", "input-tokens", "output-tokens"].iter().enumerate() {
        pairs.push((format!("anthropic-ratelimit-{of}-limit"), format!("{}", (at + 1) * 100)));
        pairs.push((format!("anthropic-ratelimit-{of}-remaining"), format!("{at}")));
        pairs.push((format!("anthropic-ratelimit-{of}-reset"), format!("2025-06-02T15:15:0{at}Z")));
    }
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let limits = rate_limits(&headers(&pairs), now);
    assert_eq!(limits.requests, limit(100, 0, Some(Duration::ZERO)), "a reset that is due has no wait left");
    assert_eq!(limits.tokens, limit(200, 1, Some(Duration::from_secs(1))));
    assert_eq!(limits.input_tokens, limit(300, 2, Some(Duration::from_secs(2))));
    assert_eq!(limits.output_tokens, limit(400, 3, Some(Duration::from_secs(3))));
}

#[test]
fn azure_gives_seconds_and_says_unknown_with_minus_one_and_zero() {
    let limits = rate_limits(
        &headers(&[
            ("x-ratelimit-limit-requests", "50"),
            ("x-ratelimit-remaining-requests", "49"),
            ("x-ratelimit-reset-requests", "1"),
            ("x-ratelimit-limit-tokens", "-1"),
            ("x-ratelimit-remaining-tokens", "-1"),
            ("x-ratelimit-reset-tokens", "0"),
            ("x-ratelimit-renewalperiod-tokens", "60"),
        ]),
        now,
    );
    assert_eq!(limits.requests, limit(50, 49, Some(Duration::from_secs(1))));
    assert_eq!(limits.tokens, RateLimit::default());
    assert!(
        rate_limits(
            &headers(&[("x-ratelimit-limit-tokens", "0"), ("x-ratelimit-remaining-tokens", "0")]),
            now
        )
        .is_empty()
    );
    let limits = rate_limits(&headers(&[("x-rate-limit-reset-tokens", "55")]), now);
    assert_eq!(limits.tokens.reset, Some(Duration::from_secs(55)));
}

#[test]
fn mistral_gives_windows_and_its_older_forms_come_second() {
    let by_minute = [
        ("x-ratelimit-limit-req-10-second", "60"),
        ("x-ratelimit-remaining-req-10-second", "57"),
        ("x-ratelimit-limit-req-minute", "120"),
        ("x-ratelimit-remaining-req-minute", "118"),
        ("x-ratelimit-limit-tokens-minute", "250000"),
        ("x-ratelimit-remaining-tokens-minute", "249805"),
        ("x-ratelimit-limit-tokens-month", "200000000000"),
        ("x-ratelimit-tokens-query-cost", "114"),
    ];
    let limits = rate_limits(&headers(&by_minute), now);
    assert_eq!((limits.requests, limits.tokens), (limit(120, 118, None), limit(250_000, 249_805, None)));
    let older = [
        ("ratelimitbysize-limit", "500000"),
        ("ratelimitbysize-remaining", "307190"),
        ("ratelimitbysize-reset", "33"),
        ("x-ratelimit-limit-req-10-second", "60"),
        ("x-ratelimit-remaining-req-10-second", "57"),
    ];
    let limits = rate_limits(&headers(&older), now);
    assert_eq!(limits.tokens, limit(500_000, 307_190, Some(Duration::from_secs(33))));
    assert_eq!(limits.requests, limit(60, 57, None));
}

#[test]
fn openrouter_gives_milliseconds_since_1970_and_cohere_a_limit() {
    let pairs =
        [("x-ratelimit-limit", "1"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1748877360500")];
    let limits = rate_limits(&headers(&pairs), now);
    assert_eq!(limits.requests, limit(1, 0, Some(Duration::from_millis(60_500))));
    let limits = rate_limits(
        &headers(&[("x-trial-endpoint-call-limit", "20"), ("x-endpoint-monthly-call-limit", "1000")]),
        now,
    );
    assert_eq!(limits.requests.limit, Some(20));
}

#[test]
fn headers_without_limits_and_nonsense_give_none() {
    assert!(rate_limits(&headers(&[]), now).is_empty());
    let nonsense = [
        ("x-ratelimit-limit-requests", "many"),
        ("x-ratelimit-remaining-requests", "-7"),
        ("x-ratelimit-reset-requests", "soon"),
        ("x-ratelimit-reset-tokens", "99999999999999999999999999h"),
        ("anthropic-ratelimit-reset", "1"),
        ("x-ratelimit-", "1"),
    ];
    assert!(rate_limits(&headers(&nonsense), now).is_empty());
}

proptest::proptest! {
    #[test]
    fn no_header_value_panics(value in "[ -~]{0,40}") {
        let names = ["retry-after", "retry-after-ms", "x-ratelimit-reset-tokens", "x-ratelimit-limit", "anthropic-ratelimit-tokens-reset"];
        let pairs: Vec<_> = names.iter().map(|name| (*name, value.as_str())).collect();
        super::super::classify("openai", 429, &headers(&pairs), value.as_bytes(), now());
    }

    #[test]
    fn no_body_panics(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), message in ".{0,60}") {
        let quoted = serde_json::json!({"error": {"message": message, "code": message}}).to_string();
        for body in [body.as_slice(), quoted.as_bytes()] {
            for provider in ["openai", "openrouter", "gemini"] {
                super::super::classify(provider, 400, &headers(&[]), body, now());
                super::super::classify(provider, 200, &headers(&[]), body, now());
            }
        }
    }
}

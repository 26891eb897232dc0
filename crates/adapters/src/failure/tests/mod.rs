//! What each provider's refusals become.

mod kinds;
mod limits;
mod masks;
mod quotes;
mod shared;
mod streams;
mod waits;

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use mainstay_provider_core::Error;
use serde_json::Value;

/// The moment that all answers of these tests arrive: Mon, 02 Jun 2025 15:15:00 GMT.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_748_877_300)
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let header = |(name, value): &(&str, &str)| {
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(header).collect()
}

/// The error that an answer with this body becomes.
fn refused(provider: &str, status: u16, body: Value) -> Error {
    refused_with(provider, status, &[], body)
}

fn refused_with(provider: &str, status: u16, pairs: &[(&str, &str)], body: Value) -> Error {
    super::classify(provider, status, &headers(pairs), body.to_string().as_bytes(), now())
}

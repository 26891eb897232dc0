//! What a request's headers say about a call, and what a reply's headers say about its answer.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use mainstay::core::TraceParent;
use mainstay::{Context, ReplyHead};
use tokio::time::Instant;

use crate::error::ApiError;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROVIDER: HeaderName = HeaderName::from_static("x-mainstay-provider");
const MODEL: HeaderName = HeaderName::from_static("x-mainstay-model");
const DEPLOYMENT: HeaderName = HeaderName::from_static("x-mainstay-deployment");
const LEVEL: HeaderName = HeaderName::from_static("x-mainstay-level");
const CACHE: HeaderName = HeaderName::from_static("x-mainstay-cache");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-mainstay-attempts");
const SHORTENED: HeaderName = HeaderName::from_static("x-mainstay-shortened");
const RESCUED: HeaderName = HeaderName::from_static("x-mainstay-rescued");
/// How long the client waits for the whole answer, from now.
const TIMEOUT: &str = "x-mainstay-timeout-ms";
const LATENCY: HeaderName = HeaderName::from_static("x-mainstay-latency-ms");

/// How many headers an answer has at most, so that their table is made once.
pub(crate) const MOST: usize = 14;

/// The id of a call: the client's own, or a new one.
pub(crate) fn id(headers: &HeaderMap) -> Arc<str> {
    request_id(headers).into()
}

/// The context of a call, from its request's headers.
///
/// # Errors
/// A header that is ours and cannot be read. What others mean by theirs is taken where it can be.
pub(crate) fn context(headers: &HeaderMap, id: Arc<str>) -> Result<Context, ApiError> {
    let mut context = Context::default();
    let data = context.data_mut();
    data.id = id;
    data.trace_parent =
        headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(TraceParent::parse);
    data.prior_attempts = prior_attempts(headers);
    if headers.contains_key(TIMEOUT) {
        let milliseconds = number(headers, TIMEOUT).ok_or_else(|| {
            let message = format!("the header {TIMEOUT} must be a number of milliseconds");
            ApiError::bad_request(message).param(TIMEOUT)
        })?;
        data.deadline = Instant::now().checked_add(Duration::from_millis(milliseconds));
    }
    if let Some(session) = headers.get("x-mainstay-session").and_then(|value| value.to_str().ok()) {
        data.properties.insert("session".to_owned(), session.to_owned());
    }
    Ok(context)
}

/// How often the client, or a proxy before us, has sent this call already (T3): OpenAI's SDKs count their retries,
/// Envoy counts attempts.
fn prior_attempts(headers: &HeaderMap) -> u32 {
    let retries = number(headers, "x-stainless-retry-count").unwrap_or(0);
    let attempts = number(headers, "x-envoy-attempt-count").unwrap_or(1);
    u32::try_from(retries.max(attempts.saturating_sub(1))).unwrap_or(u32::MAX)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// The client's own id if it is short and plain, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    const LONGEST: usize = 128;
    let plain =
        |id: &&str| !id.is_empty() && id.len() <= LONGEST && id.bytes().all(|byte| byte.is_ascii_graphic());
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(plain);
    given.map_or_else(|| format!("req_{:016x}", fastrand::u64(..)), str::to_owned)
}

/// The headers of any answer to the call with this id.
pub(crate) fn identify(headers: &mut HeaderMap, id: &str) {
    insert(headers, REQUEST_ID, id);
}

/// The headers that say who answered, and how.
pub(crate) fn describe(headers: &mut HeaderMap, head: &ReplyHead) {
    insert(headers, PROVIDER, &head.provider);
    insert(headers, MODEL, &head.model);
    if let Some(deployment) = &head.deployment {
        insert(headers, DEPLOYMENT, deployment);
    }
    headers.insert(LEVEL, HeaderValue::from_static(head.level.as_str()));
    headers.insert(CACHE, HeaderValue::from_static(head.cache.as_str()));
    headers.insert(ATTEMPTS, HeaderValue::from(head.attempts));
    if head.shortened > 0 {
        headers.insert(SHORTENED, HeaderValue::from(head.shortened));
    }
    if let Some(rescued) = &head.rescued {
        headers.insert(RESCUED, HeaderValue::from(rescued.breaks));
    }
    if let Some(latency) = head.first_token {
        let (mut text, micros) = (String::with_capacity(12), latency.as_micros());
        let _ = write!(text, "{}.{:03}", micros / 1000, micros % 1000); // writing to a String cannot fail
        insert(headers, LATENCY, &text);
    }
}

/// A value that no header may have is left out: names of models come from outside.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

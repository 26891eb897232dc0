//! What error must come of a recorded failure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::conformance::fixture::Fixture;
use crate::conformance::json::{Look as _, Object};

/// An error as it must come back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failure {
    /// `RateLimited`
    pub(crate) kind: String,
    pub(crate) status: u16,
    pub(crate) provider: Option<String>,
    pub(crate) request_id: Option<String>,
    /// Waits in seconds that are right; several where the recording leaves it open, none where no wait may be named.
    pub(crate) waits: Vec<Option<f64>>,
    /// The provider's own words.
    pub(crate) message: Option<String>,
}

impl Failure {
    pub(crate) fn of_kind(kind: &str, status: u16) -> Self {
        Self { kind: kind.to_owned(), status, ..Self::default() }
    }

    /// An error inside a `200`: whether it then has a status, and which, is free.
    pub(crate) fn is_inside_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The comparable part.
    pub(crate) fn to_json(&self) -> Value {
        let mut failure = Object::new();
        failure.insert("kind".into(), self.kind.as_str().into());
        if !self.is_inside_success() {
            failure.insert("status".into(), self.status.into());
        }
        for (name, text) in [("provider", &self.provider), ("request_id", &self.request_id)] {
            if let Some(text) = text {
                failure.insert(name.into(), text.as_str().into());
            }
        }
        Value::Object(failure)
    }
}

pub(super) fn of(fixture: &Fixture) -> Failure {
    let response = &fixture.response;
    let body = body(fixture);
    let kind = fixture.expected_class.clone().unwrap_or_else(|| by_status(response.status).to_owned());
    let waiting_helps = matches!(kind.as_str(), "RateLimited" | "Overloaded" | "ServerError" | "Timeout");
    Failure {
        waits: if waiting_helps { waits(&response.headers, &body) } else { Vec::new() },
        request_id: request_id(&response.headers, &body),
        provider: Some(fixture.provider.replace('_', "-")),
        message: message(&body),
        status: response.status,
        kind,
    }
}

/// The JSON of the error: the body, or the event or line of a stream that holds it.
fn body(fixture: &Fixture) -> Value {
    let response = &fixture.response;
    if let Some(body) = response.body.clone().filter(|body| !body.is_null()) {
        return body;
    }
    let events = super::events::of(response).unwrap_or_default();
    let error = events.into_iter().map(|event| event.data).find(|data| data.some("error").is_some());
    error.unwrap_or_default()
}

fn by_status(status: u16) -> &'static str {
    match status {
        401 => "Authentication",
        402 => "QuotaExhausted",
        403 => "PermissionDenied",
        404 => "ModelNotFound",
        408 | 504 => "Timeout",
        429 => "RateLimited",
        503 | 529 => "Overloaded",
        500.. => "ServerError",
        _ => "InvalidRequest",
    }
}

fn message(body: &Value) -> Option<String> {
    let error = body.some("error").unwrap_or(body);
    let text = match error {
        Value::String(text) => text.as_str(),
        error => error.text("message"),
    };
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

fn request_id(headers: &BTreeMap<String, String>, body: &Value) -> Option<String> {
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
    let header = names.iter().find_map(|name| headers.get(*name)).cloned();
    header.or_else(|| body.some("request_id").and_then(Value::as_str).map(str::to_owned))
}

/// The first wait that parses and is positive, in the order of providers.md; one answer, or several where the
/// recording is from another time than now.
fn waits(headers: &BTreeMap<String, String>, body: &Value) -> Vec<Option<f64>> {
    let seconds = |name: &str| headers.get(name).and_then(|value| value.trim().parse::<f64>().ok());
    let plain = [seconds("retry-after-ms").map(|ms| ms / 1000.0), seconds("retry-after")];
    if let Some(wait) = plain.into_iter().flatten().find(|wait| *wait > 0.0) {
        return vec![Some(wait)];
    }
    let error = body.some("error").unwrap_or(body);
    for detail in error.items("details") {
        if let Some(wait) = detail.text("retryDelay").strip_suffix('s').and_then(|wait| wait.parse().ok()) {
            return vec![Some(wait)];
        }
    }
    if let Some(wait) = seconds("x-ratelimit-reset-tokens").or(seconds("x-rate-limit-reset-tokens")) {
        return vec![Some(wait)];
    }
    if headers.contains_key("x-ratelimit-reset") {
        // A point in time that has long passed: no wait, or the wait counted from the answer's own date.
        return vec![None, headers.get("date").and_then(|_| reset_after_date(headers))];
    }
    let message = message(body).unwrap_or_default();
    vec![in_message(&message)]
}

/// `x-ratelimit-reset` in epoch milliseconds against the answer's `date`.
fn reset_after_date(headers: &BTreeMap<String, String>) -> Option<f64> {
    let reset = headers.get("x-ratelimit-reset")?.parse::<f64>().ok()? / 1000.0;
    let date = httpdate::parse_http_date(headers.get("date")?).ok()?;
    let date = date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs_f64();
    Some(reset - date).filter(|wait| *wait > 0.0)
}

/// "try again in 1m30.002s", "retry in 48.9s", "retry after 45 seconds".
fn in_message(message: &str) -> Option<f64> {
    let lower = message.to_lowercase();
    let marks = ["try again in ", "retry in ", "retry after ", "try again after "];
    let rest = marks.iter().find_map(|mark| lower.split_once(mark).map(|(_, rest)| rest))?;
    let token = rest.split_whitespace().next()?.trim_end_matches(['.', ',']);
    duration(token).or_else(|| token.parse().ok()).filter(|wait| *wait > 0.0)
}

/// `1m30.002s`, `644ms`, `20s`.
fn duration(text: &str) -> Option<f64> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let unit = ["ms", "s", "m", "h", "d"].into_iter().find(|unit| {
            rest.strip_prefix(unit)
                .is_some_and(|after| after.is_empty() || after.starts_with(|c: char| c.is_ascii_digit()))
        })?;
        total += number
            * match unit {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                _ => 86_400.0,
            };
        rest = &rest[unit.len()..];
    }
    Some(total)
}

/// The same of an error that came back.
pub(crate) fn seen(expected: &Failure, error: &mainstay_provider_core::Error) -> Value {
    let kind = format!("{:?}", error.kind());
    let mut seen = json!({"kind": kind.split('(').next()});
    if !expected.is_inside_success() {
        seen["status"] = error.status().into();
    }
    if expected.provider.is_some() {
        seen["provider"] = error.provider().into();
    }
    if expected.request_id.is_some() {
        seen["request_id"] = error.request_id().into();
    }
    seen
}

/// What of the error is wrong beside the comparison: the wait, or the provider's lost words.
pub(crate) fn flaws(expected: &Failure, wait: Option<f64>, message: &str) -> Option<String> {
    let right = |allowed: &Option<f64>| match (allowed, wait) {
        (Some(allowed), Some(wait)) => (allowed - wait).abs() < 0.01,
        (None, None) => true,
        _ => false,
    };
    if !expected.waits.is_empty() && !expected.waits.iter().any(right) {
        return Some(format!("retry-after: expected one of {:?}, got {wait:?} (seconds)", expected.waits));
    }
    match &expected.message {
        Some(words) if !has_words(message, words) => {
            Some(format!("the provider's words are lost: {words:?} is not in {message:?}"))
        }
        _ => None,
    }
}

/// Whether a message has these words in a row. Keys count as the same whoever masked them.
fn has_words(message: &str, words: &str) -> bool {
    let (got, expected): (Vec<&str>, Vec<&str>) =
        (message.split_whitespace().collect(), words.split_whitespace().collect());
    let bare = |word: &str| word.trim_end_matches([':', '.', ',']).to_owned();
    let same = |(expected, got): (&&str, &&str)| {
        bare(expected) == bare(got) || expected.contains("**") || got.contains("***")
    };
    got.windows(expected.len().max(1)).any(|window| expected.iter().zip(window).all(same))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_in_words_are_read() {
        assert_eq!(in_message("Please try again in 1m30.5s. Visit"), Some(90.5));
        assert_eq!(in_message("Please try again in 644ms."), Some(0.644));
        assert_eq!(in_message("Please retry after 45 seconds."), Some(45.0));
        assert_eq!(in_message("Please retry shortly."), None);
    }
}

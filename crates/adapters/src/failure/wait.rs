//! How long a provider wants its caller to wait, in all the forms that this is said.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use mainstay_provider_core::{RateLimit, RateLimits};

use super::headers::text;

/// Words that a wait follows within a message, in lower case.
const BEFORE_A_WAIT: [&str; 4] = ["try again in ", "retry in ", "retry after ", "try again after "];

/// `retry-after-ms` (milliseconds), else `retry-after` (seconds, or a date). The first that is positive counts: Azure
/// sends `retry-after-ms: 0` beside `retry-after: 1`.
pub(super) fn from_headers(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let milliseconds =
        || text(headers, "retry-after-ms")?.parse::<f64>().ok().and_then(|ms| positive(ms / 1000.0));
    let seconds = || text(headers, "retry-after")?.parse().ok().and_then(positive);
    let date = || until(httpdate::parse_http_date(text(headers, "retry-after")?).ok()?, now);
    milliseconds().or_else(seconds).or_else(date)
}

/// The time until the exhausted limit is full again; of several, until the last.
///
/// A limit is exhausted if nothing remains of it, or if its reset is all that was sent (Azure).
pub(super) fn until_reset(limits: &RateLimits) -> Option<Duration> {
    let RateLimits { requests, tokens, input_tokens, output_tokens, .. } = limits;
    let exhausted = |limit: &&RateLimit| limit.remaining.unwrap_or(0) == 0;
    let limits = [requests, tokens, input_tokens, output_tokens];
    limits
        .into_iter()
        .filter(exhausted)
        .filter_map(|limit| limit.reset)
        .filter(|reset| !reset.is_zero())
        .max()
}

/// "try again in 1m30.002s", "retry after 45 seconds". The text is in lower case.
pub(super) fn in_text(text: &str) -> Option<Duration> {
    BEFORE_A_WAIT.iter().find_map(|words| {
        let (_, after) = text.split_once(words)?;
        read_span(after).map(|(span, _)| span).filter(|span| !span.is_zero())
    })
}

/// A time span and nothing else: `6ms`, `7.66s`, `2m59.56s`, `1h`.
pub(super) fn span(text: &str) -> Option<Duration> {
    let (span, rest) = read_span(text)?;
    rest.trim().is_empty().then_some(span)
}

/// The time from now until then, if it lies ahead.
pub(super) fn until(then: SystemTime, now: SystemTime) -> Option<Duration> {
    then.duration_since(now).ok().filter(|wait| !wait.is_zero())
}

/// A number of seconds above zero as a wait.
pub(super) fn positive(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().filter(|wait| !wait.is_zero())
}

/// Reads numbers with their units for as long as there are any, and gives back what follows.
fn read_span(text: &str) -> Option<(Duration, &str)> {
    let (mut seconds, mut rest, mut found) = (0.0, text, false);
    while let Some((part, after)) = read_part(rest) {
        (seconds, rest, found) = (seconds + part, after, true);
    }
    let span = Duration::try_from_secs_f64(seconds).ok()?;
    found.then_some((span, rest))
}

/// One number with its unit, in seconds.
fn read_part(text: &str) -> Option<(f64, &str)> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let seconds = match unit {
        "ms" | "millisecond" | "milliseconds" => 0.001,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    };
    Some((number.parse::<f64>().ok()? * seconds, rest))
}

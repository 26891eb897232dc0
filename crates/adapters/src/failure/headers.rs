//! What the headers of an answer say: its request id, its rate limits, whether to retry.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue};
use mainstay_provider_core::{RateLimit, RateLimits};

use super::wait;

/// The names that providers give a request's id, the most common first.
const REQUEST_IDS: [&str; 8] = [
    "x-request-id",           // most
    "request-id",             // Anthropic
    "apim-request-id",        // Azure
    "x-amzn-requestid",       // Bedrock
    "mistral-correlation-id", // Mistral
    "x-debug-trace-id",       // Cohere
    "x-ds-trace-id",          // DeepSeek
    "x-generation-id",        // OpenRouter
];

/// The provider's id of the request.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    // One pass over the headers that there are: looking up names that are not would cost more.
    let rank =
        |name: &str| name.ends_with("id").then(|| REQUEST_IDS.iter().position(|id| *id == name)).flatten();
    let ids = headers.iter().filter_map(|(name, value)| Some((rank(name.as_str())?, readable(value)?)));
    ids.min_by_key(|(rank, _)| *rank).map(|(_, id)| id.to_owned())
}

/// The rate limits that the headers tell, in whichever provider's form. `clock` tells the wall clock's time: some give a
/// reset as a point in time, [`RateLimit::reset`] is a span from now. It is asked only for a reset.
pub(crate) fn rate_limits(headers: &HeaderMap, clock: impl Fn() -> SystemTime) -> RateLimits {
    let (mut limits, mut second_choice) = (RateLimits::default(), RateLimits::default());
    for (name, value) in headers {
        let Some(meaning) = meaning(name.as_str()) else { continue };
        let Ok(value) = value.to_str() else { continue };
        let limits = if meaning.second_choice { &mut second_choice } else { &mut limits };
        let limit = meaning.of.limit(limits);
        match meaning.figure {
            Figure::Limit => limit.limit = number(value).filter(|limit| *limit > 0),
            Figure::Remaining => limit.remaining = number(value),
            Figure::Reset => limit.reset = reset(value, clock()),
        }
    }
    for of in [Of::Requests, Of::Tokens, Of::InputTokens, Of::OutputTokens] {
        let other = *of.limit(&mut second_choice);
        let limit = of.limit(&mut limits);
        limit.limit = limit.limit.or(other.limit);
        limit.remaining = limit.remaining.or(other.remaining);
        limit.reset = limit.reset.or(other.reset);
        // Azure sends 0 of 0 for a limit that it does not know.
        limit.remaining = limit.remaining.filter(|remaining| *remaining > 0 || limit.limit.is_some());
    }
    limits
}

/// The provider's own word on whether to retry (OpenAI, Anthropic).
pub(super) fn should_retry(headers: &HeaderMap) -> Option<bool> {
    text(headers, "x-should-retry")?.parse().ok()
}

/// The name of an AWS error, without the address that may follow it.
pub(super) fn amazon_error(headers: &HeaderMap) -> Option<&str> {
    text(headers, "x-amzn-errortype")?.split(':').next()
}

/// A header's value, if it is text and not blank.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    readable(headers.get(name)?)
}

fn readable(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok().map(str::trim).filter(|value| !value.is_empty())
}

/// What a rate-limit header tells.
struct Meaning {
    of: Of,
    figure: Figure,
    /// An older or narrower form, which counts where the usual one is missing.
    second_choice: bool,
}

#[derive(Clone, Copy)]
enum Of {
    Requests,
    Tokens,
    InputTokens,
    OutputTokens,
}

#[derive(Clone, Copy)]
enum Figure {
    Limit,
    Remaining,
    Reset,
}

impl Of {
    fn limit(self, limits: &mut RateLimits) -> &mut RateLimit {
        match self {
            Self::Requests => &mut limits.requests,
            Self::Tokens => &mut limits.tokens,
            Self::InputTokens => &mut limits.input_tokens,
            Self::OutputTokens => &mut limits.output_tokens,
        }
    }
}

fn meaning(name: &str) -> Option<Meaning> {
    use Figure::{Limit, Remaining, Reset};
    let usual = |of, figure| Some(Meaning { of, figure, second_choice: false });
    let second = |of, figure| Some(Meaning { of, figure, second_choice: true });
    if let Some(name) = name.strip_prefix("x-ratelimit-") {
        return match name {
            // OpenAI, Azure, Groq, xAI
            "limit-requests" => usual(Of::Requests, Limit),
            "remaining-requests" => usual(Of::Requests, Remaining),
            "reset-requests" => usual(Of::Requests, Reset),
            "limit-tokens" => usual(Of::Tokens, Limit),
            "remaining-tokens" => usual(Of::Tokens, Remaining),
            "reset-tokens" => usual(Of::Tokens, Reset),
            // Together, OpenRouter
            "limit" => second(Of::Requests, Limit),
            "remaining" => second(Of::Requests, Remaining),
            "reset" => second(Of::Requests, Reset),
            // Mistral
            "limit-req-minute" => usual(Of::Requests, Limit),
            "remaining-req-minute" => usual(Of::Requests, Remaining),
            "limit-tokens-minute" => usual(Of::Tokens, Limit),
            "remaining-tokens-minute" => usual(Of::Tokens, Remaining),
            "limit-req-10-second" => second(Of::Requests, Limit),
            "remaining-req-10-second" => second(Of::Requests, Remaining),
            _ => None,
        };
    }
    if let Some(name) = name.strip_prefix("anthropic-ratelimit-") {
        let (of, figure) = name.rsplit_once('-')?;
        let of = match of {
            "requests" => Of::Requests,
            "tokens" => Of::Tokens,
            "input-tokens" => Of::InputTokens,
            "output-tokens" => Of::OutputTokens,
            _ => return None,
        };
        return match figure {
            "limit" => usual(of, Limit),
            "remaining" => usual(of, Remaining),
            "reset" => usual(of, Reset),
            _ => None,
        };
    }
    match name {
        // Azure
        "x-rate-limit-reset-requests" => second(Of::Requests, Reset),
        "x-rate-limit-reset-tokens" => second(Of::Tokens, Reset),
        // Mistral, older
        "ratelimitbysize-limit" => second(Of::Tokens, Limit),
        "ratelimitbysize-remaining" => second(Of::Tokens, Remaining),
        "ratelimitbysize-reset" => second(Of::Tokens, Reset),
        // Cohere
        "x-trial-endpoint-call-limit" => usual(Of::Requests, Limit),
        _ => None,
    }
}

/// A count; Azure's -1 is none.
fn number(value: &str) -> Option<u64> {
    value.trim().parse().ok()
}

/// The time until a reset: a span (`6m0s`), a number of seconds, or a point in time as RFC 3339 or as seconds or
/// milliseconds since 1970. A bare 0 or less means unknown (Azure).
fn reset(value: &str, now: SystemTime) -> Option<Duration> {
    const YEAR_2001: f64 = 1e9;
    const YEAR_1973_IN_MILLISECONDS: f64 = 1e11;
    let value = value.trim();
    if let Ok(number) = value.parse::<f64>() {
        let seconds = if number >= YEAR_1973_IN_MILLISECONDS { number / 1000.0 } else { number };
        let span = wait::positive(seconds)?;
        return if seconds < YEAR_2001 {
            Some(span)
        } else {
            Some(ahead(SystemTime::UNIX_EPOCH.checked_add(span)?, now))
        };
    }
    match value.parse::<jiff::Timestamp>() {
        Ok(then) => Some(ahead(then.into(), now)),
        Err(_) => wait::span(value),
    }
}

/// The time from now until then; none for a reset that has passed already.
fn ahead(then: SystemTime, now: SystemTime) -> Duration {
    wait::until(then, now).unwrap_or_default()
}

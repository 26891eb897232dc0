//! From an answer to an error.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use mainstay_provider_core::{Error, ErrorKind, RateLimits};

use super::body::ErrorBody;
use super::generation::FailedGeneration;
use super::mask::mask_keys;
use super::rules::{Facts, Family, kind_of};
use super::{headers, wait};
use crate::framing::Frame;

/// The longest message that is kept, in bytes: some providers quote the whole prompt.
const LONGEST_MESSAGE: usize = 4096;

/// What an answer with an error status is, by the rules of [`super::rules`].
///
/// `provider` is the registry's name of it; `now` the wall clock, for waits that name a date. The caller adds provider and
/// model by [`Error::at`]. A status below 400 is read as [`classify_in_answer`] does.
pub(crate) fn classify(
    provider: &str,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Error {
    let plain =
        Answer { provider, status: Some(status), refusal: None, body: ErrorBody::default(), exception: None };
    if status < 400 {
        return Answer { body: ErrorBody::read_within_success(body), ..plain }.classify();
    }
    let answer =
        Answer { refusal: Some(Refusal { status, headers, now }), body: ErrorBody::read(body), ..plain };
    let error = answer.classify();
    // Both SDKs retry a conflict.
    match headers::should_retry(headers).or((status == 409).then_some(true)) {
        Some(retry) => error.with_retryable(retry),
        None => error,
    }
}

/// What an answer that came as `200 OK` and holds an error, or cannot be read, is.
pub(crate) fn classify_in_answer(provider: &str, body: &[u8]) -> Error {
    let body = ErrorBody::read_within_success(body);
    Answer { provider, status: Some(200), refusal: None, body, exception: None }.classify()
}

/// What an error event within a stream is. To be asked only about frames that are errors: with an `error` in them, named
/// `error`, of type `response.failed`, with a `blockReason`, or marked as an exception.
pub(crate) fn classify_in_stream(provider: &str, frame: &Frame) -> Error {
    let body = ErrorBody::read(&frame.data);
    let exception = frame.exception.then(|| frame.event());
    Answer { provider, status: None, refusal: None, body, exception }.classify()
}

/// All that is known of an answer that failed.
struct Answer<'a> {
    provider: &'a str,
    /// `None` within a stream.
    status: Option<u16>,
    /// There is none of an error within a `200`: its headers were sent when all was well, so their limits and waits are
    /// not about the error (Anthropic sends `retry-after` with every answer).
    refusal: Option<Refusal<'a>>,
    body: ErrorBody,
    /// The name of an event-stream exception.
    exception: Option<&'a str>,
}

/// An error status and what came with it.
#[derive(Clone, Copy)]
struct Refusal<'a> {
    status: u16,
    headers: &'a HeaderMap,
    now: SystemTime,
}

impl Answer<'_> {
    fn classify(self) -> Error {
        let facts = self.facts();
        let kind = kind_of(&facts);
        let limits = self.rate_limits();
        let mut error = Error::new(kind, self.message());
        if let Some(status) =
            self.refusal.map(|refusal| refusal.status).or(self.body.status()).or(self.status)
        {
            error = error.with_status(status);
        }
        if let Some(code) = facts.exception.or(self.body.code()) {
            error = error.with_code(mask_keys(code));
        }
        if let Some(param) = self.body.param() {
            error = error.with_param(mask_keys(&param));
        }
        if let Some(id) =
            self.headers().and_then(headers::request_id).or_else(|| self.body.request_id().map(str::to_owned))
        {
            error = error.with_request_id(id);
        }
        if let Some(wait) = self.wait(kind, &limits, &facts.text) {
            error = error.with_retry_after(wait);
        }
        if !limits.is_empty() {
            error = error.with_rate_limits(limits);
        }
        match self.body.failed_generation() {
            Some(text) => error.with_source(FailedGeneration::new(text)),
            None => error,
        }
    }

    fn facts(&self) -> Facts<'_> {
        let exception =
            self.exception.or(self.headers().and_then(headers::amazon_error)).or(self.body.amazon_error());
        // The one exception of AWS that says no more than its status, which it does not have within a stream.
        let invalid = exception.filter(|name| name.eq_ignore_ascii_case("ValidationException")).map(|_| 400);
        let status =
            self.refusal.map(|refusal| refusal.status).or(self.body.status()).or(self.body.status_by_name());
        Facts {
            family: Family::of(self.provider),
            in_stream: self.status.is_none(),
            status: status.or(invalid),
            names_a_wait: self.said_wait().is_some(),
            body: &self.body,
            exception,
            text: self.body.text(),
        }
    }

    fn headers(&self) -> Option<&HeaderMap> {
        self.refusal.map(|refusal| refusal.headers)
    }

    /// What the headers say of limits; OpenRouter repeats its upstream's headers in the body.
    fn rate_limits(&self) -> RateLimits {
        let Some(Refusal { headers, now, .. }) = self.refusal else { return RateLimits::default() };
        let limits = headers::rate_limits(headers, || now);
        match self.body.headers() {
            Some(repeated) if limits.is_empty() => headers::rate_limits(&repeated, || now),
            _ => limits,
        }
    }

    /// How long to wait, in the order of trust: what was said outright, then what can be concluded.
    fn wait(&self, kind: ErrorKind, limits: &RateLimits, text: &str) -> Option<Duration> {
        // A limit's reset and a time in a sentence mean something only where waiting helps at all: Groq's "request too
        // large" ends in "try again in 50s".
        let waiting_helps = matches!(
            kind,
            ErrorKind::RateLimited | ErrorKind::Overloaded | ErrorKind::ServerError | ErrorKind::Timeout(_)
        );
        let concluded =
            || wait::until_reset(limits).or_else(|| wait::in_text(text)).filter(|_| waiting_helps);
        self.said_wait().or_else(|| self.body.retry_delay()).or_else(concluded)
    }

    /// The wait in the headers.
    fn said_wait(&self) -> Option<Duration> {
        self.refusal.and_then(|refusal| wait::from_headers(refusal.headers, refusal.now))
    }

    /// The provider's words without keys, or ours if it said nothing.
    fn message(&self) -> String {
        match (self.body.message(), self.status) {
            (Some(words), _) => shortened(&mask_keys(words)),
            (None, Some(status)) if status < 400 => {
                format!("{} answered HTTP {status} with a body that cannot be read", self.provider)
            }
            (None, Some(status)) => format!("{} answered HTTP {status} and gave no reason", self.provider),
            (None, None) => {
                format!("{} reported an error within the stream and gave no reason", self.provider)
            }
        }
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= LONGEST_MESSAGE {
        return text.to_owned();
    }
    let end = (0..=LONGEST_MESSAGE).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}

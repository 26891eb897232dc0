//! What can go wrong with a call, and what to do about it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::chat::ChatResponse;
use crate::next::Next;
use crate::rate_limits::RateLimits;

/// Any source error that can be carried inside an [`Error`].
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong, in the words of the taxonomy (S2.1).
///
/// Each kind has one [`Remedy`]; layers decide by kind and remedy, never by text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No answer came: connecting, DNS, TLS, or a reset connection.
    Network,
    /// A deadline passed, ours or the provider's (408, 504).
    Timeout(Timer),
    /// 429: too many requests or tokens just now.
    RateLimited,
    /// The account has no credit left or reached its spend limit: waiting does not help.
    QuotaExhausted,
    /// The provider has no capacity just now (503, 529).
    Overloaded,
    /// The provider failed (other 5xx).
    ServerError,
    /// The key is wrong, missing or expired.
    Authentication,
    /// The key is right and may not do this.
    PermissionDenied,
    /// The provider does not know this model or deployment.
    ModelNotFound,
    /// The request is malformed or asks for what the model cannot do.
    InvalidRequest,
    /// The prompt is longer than the model's window.
    ContextLengthExceeded,
    /// The provider's filter refused the prompt or the answer.
    ContentFiltered,
    /// The model wrote a tool call that cannot be read.
    MalformedToolCall,
    /// The provider's answer cannot be read, or ended before its end.
    MalformedResponse,
    /// A limit of ours refused the call before it was sent (a budget, a bulkhead).
    LimitReached,
    /// The call was not sent because the deployment is known to be down.
    Unavailable,
    /// Mainstay itself is set up wrongly (unknown provider, missing key).
    Configuration,
    /// A defect in Mainstay.
    Internal,
}

/// Which timer ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Timer {
    /// Connecting took too long.
    Connect,
    /// The first content token did not come in time.
    FirstToken,
    /// The gap between two tokens was too long.
    Idle,
    /// The whole answer took too long.
    Total,
    /// The provider reported a timeout of its own (408, 504).
    Upstream,
}

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Remedy {
    /// Wait, then ask again: [`Error::retry_after`] or exponential backoff.
    BackOff,
    /// Ask another deployment at once; waiting here does not help.
    FailOver,
    /// Make the input shorter, or take a model with a larger window.
    Shorten,
    /// Ask again with the error in the prompt and a stricter schema.
    Reprompt,
    /// Rephrase, ask another model, or skip: the same text will be refused again.
    Rephrase,
    /// Raise an alert and take the next key; never repeat with this one.
    SwitchKey,
    /// Tell the caller: nothing that a layer can do will help.
    GiveUp,
}

impl ErrorKind {
    /// What to do about an error of this kind.
    pub fn remedy(self) -> Remedy {
        match self {
            Self::Network | Self::RateLimited | Self::Overloaded | Self::ServerError => Remedy::BackOff,
            Self::Timeout(Timer::Upstream | Timer::Connect) => Remedy::BackOff,
            Self::Timeout(_) | Self::Unavailable | Self::ModelNotFound | Self::MalformedResponse => {
                Remedy::FailOver
            }
            Self::ContextLengthExceeded => Remedy::Shorten,
            Self::MalformedToolCall => Remedy::Reprompt,
            Self::ContentFiltered => Remedy::Rephrase,
            Self::Authentication | Self::PermissionDenied | Self::QuotaExhausted => Remedy::SwitchKey,
            Self::InvalidRequest | Self::LimitReached | Self::Configuration | Self::Internal => {
                Remedy::GiveUp
            }
        }
    }

    /// The kind's name as it stands in logs, metrics and the gateway's error bodies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Timeout(_) => "timeout",
            Self::RateLimited => "rate_limited",
            Self::QuotaExhausted => "quota_exhausted",
            Self::Overloaded => "overloaded",
            Self::ServerError => "server_error",
            Self::Authentication => "authentication",
            Self::PermissionDenied => "permission_denied",
            Self::ModelNotFound => "model_not_found",
            Self::InvalidRequest => "invalid_request",
            Self::ContextLengthExceeded => "context_length_exceeded",
            Self::ContentFiltered => "content_filtered",
            Self::MalformedToolCall => "malformed_tool_call",
            Self::MalformedResponse => "malformed_response",
            Self::LimitReached => "limit_reached",
            Self::Unavailable => "unavailable",
            Self::Configuration => "configuration",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(timer) => write!(f, "timeout ({})", timer.as_str()),
            kind => f.write_str(kind.as_str()),
        }
    }
}

impl Timer {
    /// The timer's name as it stands in logs, metrics and configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::FirstToken => "first_token",
            Self::Idle => "idle",
            Self::Total => "total",
            Self::Upstream => "upstream",
        }
    }
}

/// Why a call failed. One pointer wide, so that `Result<Reply, Error>` stays small.
///
/// `Display` and `Debug` name the kind, provider, model, status, code and request id, and nothing that a user or a
/// provider wrote: no prompt, no key, no provider message. The provider's own words are in [`Error::message`],
/// to be shown to the caller who sent the prompt and to nobody else. The cause, if any, is in `source()`.
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    provider: Option<Arc<str>>,
    model: Option<Arc<str>>,
    deployment: Option<Arc<str>>,
    status: Option<u16>,
    code: Option<String>,
    param: Option<String>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    retryable: Option<bool>,
    next: Option<Next>,
    rate_limits: Option<Box<RateLimits>>,
    partial: Option<Box<ChatResponse>>,
    attempts: Vec<Error>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind. `message` is for the caller: what happened and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            provider: None,
            model: None,
            deployment: None,
            status: None,
            code: None,
            param: None,
            request_id: None,
            retry_after: None,
            retryable: None,
            next: None,
            rate_limits: None,
            partial: None,
            attempts: Vec::new(),
            source: None,
        }))
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What to do about it: the kind's remedy, unless the provider said outright whether to retry
    /// (`x-should-retry`).
    pub fn remedy(&self) -> Remedy {
        match (self.0.kind.remedy(), self.0.retryable) {
            (Remedy::BackOff, Some(false)) => Remedy::FailOver,
            (Remedy::GiveUp, Some(true)) => Remedy::BackOff,
            (remedy, _) => remedy,
        }
    }

    /// The message for the caller: the provider's own words where there are any. May quote the prompt, so it belongs
    /// in the answer to the caller and not in a log.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The provider that failed (`openai`), if the call reached one.
    pub fn provider(&self) -> Option<&str> {
        self.0.provider.as_deref()
    }

    /// The provider's name of the model.
    pub fn model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    /// The deployment that failed, where there are several.
    pub fn deployment(&self) -> Option<&str> {
        self.0.deployment.as_deref()
    }

    /// The HTTP status of the provider's answer.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The provider's error code or type (`insufficient_quota`, `overloaded_error`).
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The request parameter that the error is about.
    pub fn param(&self) -> Option<&str> {
        self.0.param.as_deref()
    }

    /// The provider's id of the request, for its support.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// How long the provider asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Where the next attempt would go, if a router made this one.
    pub fn next(&self) -> Option<Next> {
        self.0.next
    }

    /// The provider's rate limits, where its headers tell them.
    pub fn rate_limits(&self) -> Option<&RateLimits> {
        self.0.rate_limits.as_deref()
    }

    /// The part of the answer that had arrived before the failure.
    pub fn partial(&self) -> Option<&ChatResponse> {
        self.0.partial.as_deref()
    }

    /// Takes the partial answer out.
    pub fn take_partial(&mut self) -> Option<ChatResponse> {
        self.0.partial.take().map(|partial| *partial)
    }

    /// Each attempt's own error, oldest first, when several attempts failed (S1.6).
    pub fn attempts(&self) -> &[Error] {
        &self.0.attempts
    }

    /// Names the provider and its model.
    #[must_use]
    pub fn at(mut self, provider: impl Into<Arc<str>>, model: impl Into<Arc<str>>) -> Self {
        self.0.provider = Some(provider.into());
        self.0.model = Some(model.into());
        self
    }

    /// Names the deployment.
    #[must_use]
    pub fn with_deployment(mut self, deployment: impl Into<Arc<str>>) -> Self {
        self.0.deployment = Some(deployment.into());
        self
    }

    /// Adds the HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Adds the provider's error code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// Names the request parameter at fault.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.0.param = Some(param.into());
        self
    }

    /// Adds the provider's request id.
    #[must_use]
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        self.0.request_id = Some(id.into());
        self
    }

    /// Adds the wait that the provider asked for.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Adds the provider's own word on whether to retry; it overrules the kind.
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = Some(retryable);
        self
    }

    /// Adds where the next attempt would go.
    #[must_use]
    pub fn with_next(mut self, next: Next) -> Self {
        self.0.next = Some(next);
        self
    }

    /// Adds the provider's rate limits.
    #[must_use]
    pub fn with_rate_limits(mut self, limits: RateLimits) -> Self {
        self.0.rate_limits = Some(Box::new(limits));
        self
    }

    /// Adds the part of the answer that had arrived.
    #[must_use]
    pub fn with_partial(mut self, partial: ChatResponse) -> Self {
        self.0.partial = Some(Box::new(partial));
        self
    }

    /// Adds the errors of the attempts that led here.
    #[must_use]
    pub fn with_attempts(mut self, attempts: Vec<Error>) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }
}

impl Clone for Error {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(provider) = &inner.provider {
            write!(f, "{}", Printable(provider))?;
            if let Some(model) = &inner.model {
                write!(f, "/{}", Printable(model))?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{}", inner.kind)?;
        let mut separator = " (";
        let mut part = |f: &mut fmt::Formatter<'_>, name: &str, value: &dyn fmt::Display| {
            let written = write!(f, "{separator}{name} {value}");
            separator = ", ";
            written
        };
        if let Some(status) = inner.status {
            part(f, "HTTP", &status)?;
        }
        if let Some(code) = &inner.code {
            part(f, "code", &Printable(code))?;
        }
        if let Some(id) = &inner.request_id {
            part(f, "request id", &Printable(id))?;
        }
        if let Some(deployment) = &inner.deployment {
            part(f, "deployment", &Printable(deployment))?;
        }
        if let Some(wait) = inner.retry_after {
            part(f, "retry after", &format_args!("{:.3} s", wait.as_secs_f64()))?;
        }
        if !inner.attempts.is_empty() {
            part(f, "failed attempts", &inner.attempts.len())?;
        }
        if separator == ", " {
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// Escapes control characters and cuts long values, so that what a caller sent cannot forge a log line.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 120;
        for (at, character) in self.0.chars().enumerate() {
            if at == LONGEST {
                return f.write_str("…");
            }
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                fmt::Write::write_char(f, character)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

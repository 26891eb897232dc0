//! Errors in the shape that OpenAI's clients know.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use mainstay::{Error, ErrorKind};
use serde_json::{Map, Value, json};

/// An error answer: `{"error": {"message", "type", "param", "code", …}}`.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    body: Map<String, Value>,
    retry_after: Option<Duration>,
    /// Whether clients that repeat calls by themselves should let it be.
    is_final: bool,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let body = json!({
            "message": message.into(),
            "type": kind_of(status),
            "param": null,
            "code": null,
        });
        let Value::Object(body) = body else { unreachable!("an object literal is an object") };
        Self { status, body, retry_after: None, is_final: false }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message =
            format!("the body is larger than {limit} bytes; make it smaller or raise server.max_body_bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message).code("request_too_large")
    }

    pub(crate) fn slow_body(limit: Duration) -> Self {
        let message = format!("the body did not arrive within {} s", limit.as_secs_f64());
        Self::new(StatusCode::REQUEST_TIMEOUT, message)
    }

    pub(crate) fn param(mut self, param: impl Into<String>) -> Self {
        self.body.insert("param".into(), Value::String(param.into()));
        self
    }

    pub(crate) fn code(mut self, code: impl Into<String>) -> Self {
        self.body.insert("code".into(), Value::String(code.into()));
        self
    }

    /// The JSON text.
    pub(crate) fn to_json(&self) -> Bytes {
        serde_json::to_vec(&json!({"error": self.body})).map(Bytes::from).unwrap_or_default()
    }

    /// The error as an answer. (`IntoResponse` does the same, for handlers.)
    pub(crate) fn into_response_now(self) -> Response {
        let mut response = Response::new(Body::from(self.to_json()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.is_final {
            // What OpenAI's clients look at before they repeat a call.
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            headers.insert(
                "retry-after-ms",
                HeaderValue::from(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            );
        }
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.into_response_now()
    }
}

/// The provider's own words go to the caller, who sent the prompt; where the error comes from stands beside them.
impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let status = status_of(&error);
        let mut api = Self::new(status, error.message());
        if let Some(param) = error.param() {
            api = api.param(param);
        }
        api = api.code(error.code().unwrap_or(code_of(error.kind())));
        if error.kind() == ErrorKind::QuotaExhausted {
            api.body.insert("type".into(), "insufficient_quota".into());
        }
        api.retry_after = error.retry_after();
        // A budget is not reset within the seconds that a client waits, and a cache alone is not filled by asking it.
        api.is_final = matches!(error.code(), Some("budget_exceeded" | "not_in_cache"));
        api.body.insert("mainstay".into(), details(&error));
        api
    }
}

fn details(error: &Error) -> Value {
    let mut details = json!({
        "kind": error.kind().as_str(),
        "provider": error.provider(),
        "model": error.model(),
        "deployment": error.deployment(),
        "provider_status": error.status(),
        "provider_request_id": error.request_id(),
    });
    if !error.attempts().is_empty() {
        let attempt = |error: &Error| {
            let mut attempt = details_without_attempts(error);
            attempt["message"] = error.message().into();
            attempt
        };
        details["attempts"] = error.attempts().iter().map(attempt).collect();
    }
    details
}

fn details_without_attempts(error: &Error) -> Value {
    details(&error.clone().with_attempts(Vec::new()))
}

fn status_of(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::InvalidRequest | ErrorKind::ContextLengthExceeded | ErrorKind::ContentFiltered => {
            StatusCode::BAD_REQUEST
        }
        ErrorKind::Authentication => StatusCode::UNAUTHORIZED,
        ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorKind::ModelNotFound => StatusCode::NOT_FOUND,
        ErrorKind::RateLimited | ErrorKind::QuotaExhausted | ErrorKind::LimitReached => {
            StatusCode::TOO_MANY_REQUESTS
        }
        // RFC 9111, 5.2.1.7: nobody was asked, and nobody was to be.
        ErrorKind::Unavailable if error.code() == Some("not_in_cache") => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Overloaded | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Network | ErrorKind::MalformedResponse | ErrorKind::MalformedToolCall => {
            StatusCode::BAD_GATEWAY
        }
        ErrorKind::ServerError => {
            let own = error
                .status()
                .filter(|status| *status >= 500)
                .and_then(|status| StatusCode::from_u16(status).ok());
            own.unwrap_or(StatusCode::BAD_GATEWAY)
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// OpenAI's `type` for a status.
fn kind_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// OpenAI's `code` for a kind, where the provider named none.
fn code_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Authentication => "invalid_api_key",
        ErrorKind::RateLimited => "rate_limit_exceeded",
        ErrorKind::QuotaExhausted => "insufficient_quota",
        ErrorKind::ContentFiltered => "content_filter",
        kind => kind.as_str(),
    }
}

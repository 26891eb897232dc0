//! Who may come in. Decided in one place, by the path and the headers, before anything else is done with a request.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use mainstay::virtual_keys::{Access, KeyRing, Refusal, Role};

use crate::answer_headers::identify;
use crate::app::App;
use crate::error::ApiError;
use crate::headers::Told;
use crate::metrics;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Absent when all is well.
const KEYS: HeaderName = HeaderName::from_static("x-mainstay-keys");

/// Lets those in who show a key; without keys everybody.
#[derive(Debug, Clone)]
pub(crate) struct Door(Option<KeyRing>);

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Option<Arc<Access>>);

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    Key,
    Admin,
}

/// What is not named here is for administrators: a new route is closed until somebody has said whom it is for.
fn need(path: &str) -> Need {
    match path {
        path if path.starts_with("/v1/") => Need::Key,
        // The metrics may have a token of their own.
        "/health/live" | "/health/ready" | metrics::PATH => Need::Nothing,
        _ => Need::Admin,
    }
}

impl Door {
    pub(crate) fn new(ring: Option<KeyRing>) -> Self {
        Self(ring)
    }

    /// Who calls, or why not. Nothing is waited for.
    pub(crate) fn admit(&self, path: &str, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let (Some(ring), need) = (&self.0, need(path)) else { return Ok(Caller(None)) };
        if need == Need::Nothing {
            return Ok(Caller(None));
        }
        let shown = shown(headers).ok_or_else(no_key)?;
        let access = ring.check(shown).map_err(refused)?;
        if need == Need::Admin && access.role() < Role::Admin {
            return Err(forbidden("this path is for administrators"));
        }
        Ok(Caller(Some(access)))
    }

    /// Says on an answer when the keys' store cannot be read: what was changed in it since is not known here (S3).
    pub(crate) fn mark(&self, response: &mut Response) {
        if self.0.as_ref().is_some_and(KeyRing::is_stale) {
            response.headers_mut().insert(KEYS, HeaderValue::from_static("stale"));
        }
    }
}

/// The key that a request shows: `authorization: Bearer KEY`, or `x-api-key: KEY`.
pub(crate) fn shown(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    bearer.or_else(|| headers.get(API_KEY).and_then(|value| value.to_str().ok()))
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

pub(crate) fn no_key() -> ApiError {
    let message = "no key was given; send the header authorization: Bearer YOUR_KEY";
    ApiError::new(StatusCode::UNAUTHORIZED, message).code("invalid_api_key")
}

/// Which of them it was is only told to whoever has a secret that was good once.
pub(crate) fn refused(refusal: Refusal) -> ApiError {
    let message = match refusal {
        Refusal::NotReady => {
            let message = "the keys cannot be checked at the moment; try again";
            return ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message).code("keys_unavailable");
        }
        Refusal::Disabled => "this key is disabled; ask whoever gave it to you",
        Refusal::Expired => "this key has expired; ask whoever gave it to you for another",
        Refusal::Rotated => "this key was replaced by another; use its new secret",
        _ => "this is no key of this gateway",
    };
    ApiError::new(StatusCode::UNAUTHORIZED, message).code("invalid_api_key")
}

pub(crate) fn forbidden(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, message).code("permission_denied")
}

impl Caller {
    /// Somebody, where keys are not asked for.
    #[cfg(test)]
    pub(crate) fn anybody() -> Self {
        Self(None)
    }

    /// What the caller's key gives; `None` without keys.
    pub(crate) fn access(&self) -> Option<&Access> {
        self.0.as_deref()
    }

    pub(crate) fn may_ask(&self, model: &str) -> bool {
        self.access().is_none_or(|access| access.allows_model(model))
    }

    /// # Errors
    /// When the caller's key does not allow this model.
    pub(crate) fn check_model(&self, model: &str) -> Result<(), ApiError> {
        if self.may_ask(model) {
            return Ok(());
        }
        let message =
            format!("this key may not ask for the model {model:?}; GET /v1/models lists those that it may");
        Err(forbidden(message).code("model_not_allowed").param("model"))
    }

    /// For handlers behind the routes' table, which take it out of the request.
    pub(crate) fn put_into<B>(self, request: &mut axum::http::Request<B>) {
        if self.0.is_some() {
            request.extensions_mut().insert(self);
        }
    }
}

/// A request that did not come through the door has no caller, and is refused.
impl FromRequestParts<App> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        match parts.extensions.remove::<Self>() {
            Some(caller) => Ok(caller),
            None if app.door.0.is_none() => Ok(Self(None)),
            None => Err(no_key().into_response()),
        }
    }
}

/// An answer to somebody who does not come in.
pub(crate) fn turned_away(headers: &HeaderMap, error: ApiError) -> Result<Response, Infallible> {
    let mut response = error.into_response();
    identify(response.headers_mut(), &Told::by(headers).id());
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown_by(headers: &[(HeaderName, &'static str)]) -> Option<String> {
        let map =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        shown(&map).map(ToOwned::to_owned)
    }

    #[test]
    fn a_key_is_shown_as_bearer_or_as_api_key() {
        assert_eq!(shown_by(&[(header::AUTHORIZATION, "Bearer a")]).as_deref(), Some("a"));
        assert_eq!(shown_by(&[(header::AUTHORIZATION, "bearer  a ")]).as_deref(), Some("a"));
        assert_eq!(shown_by(&[(API_KEY, "a")]).as_deref(), Some("a"));
        assert_eq!(shown_by(&[(header::AUTHORIZATION, "Basic a"), (API_KEY, "b")]).as_deref(), Some("b"));
        assert_eq!(shown_by(&[(header::AUTHORIZATION, "Bearer a"), (API_KEY, "b")]).as_deref(), Some("a"));
        assert_eq!(shown_by(&[(header::AUTHORIZATION, "Bearer")]), None);
    }

    // Security test 19: what nobody has thought of is closed.
    #[test]
    fn every_other_path_is_for_administrators() {
        for path in ["/health/live", "/health/ready", "/metrics"] {
            assert_eq!(need(path), Need::Nothing, "{path}");
        }
        assert_eq!(need("/v1/models"), Need::Key);
        for path in [
            "/",
            "/v1",
            "/v2/x",
            "/health",
            "/health/live/",
            "/health/LIVE",
            "//v1/models",
            "/admin/keys",
            "/metrics/",
        ] {
            assert_eq!(need(path), Need::Admin, "{path}");
        }
    }
}

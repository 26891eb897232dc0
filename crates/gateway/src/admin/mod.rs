//! The admin API: who asks, what for, and whether they may, decided here for every route before its body is read.

mod keys;
mod routes;
#[cfg(test)]
mod tests;
mod usage;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use mainstay::budget::Budget;
use mainstay::virtual_keys::{Actor, KeyManager, KeyRing, Role, SecretToken};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::routes::{Asked, Found};
use crate::app::explain_json;
use crate::auth::{forbidden, no_key, refused, shown};
use crate::error::ApiError;

/// The admin API. Cloning copies a pointer.
#[derive(Clone)]
pub(crate) struct Admin(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) manager: KeyManager,
    pub(crate) ring: KeyRing,
    pub(crate) budget: Option<Budget>,
    /// The operator's.
    pub(crate) token: SecretToken,
    /// How long the old secret of a rotated key goes on.
    pub(crate) grace: Duration,
    pub(crate) body_timeout: Duration,
}

impl std::ops::Deref for Admin {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// No request of this API is longer.
const MAX_BODY: usize = 64 << 10;

impl Admin {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    pub(crate) async fn answer(&self, request: Request<Body>) -> Response {
        let mut response = self.decide(request).await.unwrap_or_else(|error| error.into_response());
        let headers = response.headers_mut();
        // A secret that is shown once is kept by nobody on the way.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if response.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }

    async fn decide(&self, request: Request<Body>) -> Result<Response, ApiError> {
        let (parts, body) = request.into_parts();
        let (actor, role) = self.who(&parts.headers)?;
        from_the_same_site(&parts.headers)?;
        if role < Role::Manager {
            return Err(forbidden("this key may not manage anything"));
        }
        let (route, id) = match routes::find(&parts.method, parts.uri.path()) {
            Found::Route(route, id) => (route, id),
            Found::OtherMethod => return Err(wrong_method(&parts.method, &parts.uri)),
            Found::Nothing => return Err(unknown(&parts.uri)),
        };
        if role < route.least {
            return Err(forbidden("this is for administrators"));
        }
        let body = self.read(body).await?;
        let query = parts.uri.query().unwrap_or_default().to_owned();
        (route.run)(self.clone(), Asked { actor, id, query, body }).await
    }

    /// Whose token or key this is.
    fn who(&self, headers: &HeaderMap) -> Result<(Actor, Role), ApiError> {
        let shown = shown(headers).ok_or_else(no_key)?;
        if self.token.is(shown) {
            return Ok((Actor::Operator, Role::Admin));
        }
        let access = self.ring.check(shown).map_err(refused)?;
        Ok((Actor::Key(access.id().clone()), access.role()))
    }

    async fn read(&self, body: Body) -> Result<Bytes, ApiError> {
        match tokio::time::timeout(self.body_timeout, Limited::new(body, MAX_BODY).collect()).await {
            Ok(Ok(whole)) => Ok(whole.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                let message = format!("the body is larger than {MAX_BODY} bytes");
                Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message).code("request_too_large"))
            }
            Ok(Err(_)) => Err(ApiError::bad_request("the request's body broke off; send it again")),
            Err(_) => Err(ApiError::slow_body(self.body_timeout)),
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Admin {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let admin = self.clone();
        Box::pin(async move { Ok(admin.answer(request.map(Body::new)).await) })
    }
}

/// A page in a browser has no business here (security test 18): it could only be another site's.
fn from_the_same_site(headers: &HeaderMap) -> Result<(), ApiError> {
    let site = headers.get("sec-fetch-site").map_or(&b"none"[..], HeaderValue::as_bytes);
    if headers.contains_key(header::ORIGIN) || !matches!(site, b"none" | b"same-origin") {
        return Err(forbidden("this API takes no requests of other sites' pages"));
    }
    Ok(())
}

fn unknown(uri: &Uri) -> ApiError {
    let message = format!(
        "there is no {}; this API serves /admin/keys, /admin/usage, /admin/budgets and /admin/status",
        uri.path()
    );
    ApiError::new(StatusCode::NOT_FOUND, message).code("unknown_url")
}

fn wrong_method(method: &Method, uri: &Uri) -> ApiError {
    let message = format!("{} does not take {method}", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message).code("method_not_allowed")
}

/// Reads a JSON body; an empty one is `{}`.
fn json<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|_| explain_json::<T>(body))
}

fn respond(status: StatusCode, body: &impl Serialize) -> Result<Response, ApiError> {
    let body = serde_json::to_vec(body)
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

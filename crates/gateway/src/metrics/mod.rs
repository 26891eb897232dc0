//! `GET /metrics`: how things stand, for Prometheus. Read from what the layers count anyway, when somebody asks: a call pays
//! nothing for it, and no store is asked.

mod config;
mod connections;
mod deployments;
mod events;
mod families;
mod format;
mod page;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use hyper::body::Incoming;
use mainstay::virtual_keys::SecretToken;

pub(crate) use self::config::MetricsConfig;
pub(crate) use self::connections::{Connections, Open};
pub(crate) use self::events::Tally;
use self::format::Format;
use self::snapshot::Snapshot;
pub(crate) use self::snapshot::Sources;
use crate::auth::shown;
use crate::error::ApiError;

pub(crate) const PATH: &str = "/metrics";

/// The page of metrics. Cloning copies a pointer.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Shared>);

struct Shared {
    sources: Sources,
    token: Option<SecretToken>,
}

impl Metrics {
    /// With a token, only who shows it gets the page.
    pub(crate) fn new(sources: Sources, token: Option<SecretToken>) -> Self {
        Self(Arc::new(Shared { sources, token }))
    }

    /// The page, in the format that is asked for.
    pub(crate) fn answer(&self, headers: &HeaderMap) -> Response {
        if let Err(error) = self.check(headers) {
            let mut refusal = error.into_response_now();
            refusal.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return refusal;
        }
        let format = Format::asked_for(headers);
        let mut response = Response::new(Body::from(page::write(format, &Snapshot::of(&self.0.sources))));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(token) = &self.0.token else { return Ok(()) };
        if shown(headers).is_some_and(|shown| token.is(shown)) {
            return Ok(());
        }
        let message = "the metrics need the token of [metrics]; send the header authorization: Bearer TOKEN";
        Err(ApiError::new(StatusCode::UNAUTHORIZED, message).code("invalid_api_key"))
    }

    /// On a listener of its own, where nothing else is.
    fn alone(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response {
        let error = match (path, method) {
            (PATH, &Method::GET | &Method::HEAD) => return self.answer(headers),
            (PATH, _) => ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{PATH} is only read"))
                .code("method_not_allowed"),
            _ => ApiError::new(StatusCode::NOT_FOUND, format!("there is nothing here but {PATH}"))
                .code("unknown_url"),
        };
        error.into_response_now()
    }
}

impl hyper::service::Service<Request<Incoming>> for Metrics {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        ready(Ok(self.alone(request.method(), request.uri().path(), request.headers())))
    }
}

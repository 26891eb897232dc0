//! The routes, and what their handlers share.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{BoxError, Router};
use bytes::{Bytes, BytesMut};
use http::Extensions;
use http_body::Body;
use http_body_util::{BodyExt as _, Limited};
use mainstay::Client;
use mainstay::budget::{Budget, Spending};
use serde::de::DeserializeOwned;

use crate::auth::Door;
use crate::config::GatewayConfig;
use crate::error::ApiError;
use crate::metrics::{self, Metrics};
use crate::shutdown::Shutdown;
use crate::{chat, embeddings, health, models};

/// Absent when all is well.
const BUDGET: HeaderName = HeaderName::from_static("x-mainstay-budget");

/// What the handlers share. Cloning copies a pointer.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) door: Door,
    pub(crate) models: Vec<models::Listed>,
    pub(crate) max_body_bytes: usize,
    pub(crate) body_timeout: Duration,
    pub(crate) shutdown: Shutdown,
    /// None where they have a listener of their own, or are not wanted.
    metrics: Option<Metrics>,
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    pub(crate) fn new(
        config: &GatewayConfig,
        client: Client,
        door: Door,
        shutdown: Shutdown,
        metrics: Option<Metrics>,
    ) -> Self {
        Self(Arc::new(Shared {
            client,
            door,
            models: models::listed(&config.client),
            max_body_bytes: config.server.max_body_bytes,
            body_timeout: config.server.body_timeout.duration(),
            shutdown,
            metrics,
        }))
    }

    /// The routes; whom each is for is said in `auth`.
    pub(crate) fn router(self) -> Router {
        let mut routes = Router::new();
        if let Some(metrics) = self.metrics.clone() {
            routes = routes.route(
                metrics::PATH,
                get(move |headers: HeaderMap| std::future::ready(metrics.answer(&headers))),
            );
        }
        routes
            .route(
                chat::PATH,
                post(|State(app), caller, request: Request| chat::completions(app, caller, request)),
            )
            .route("/v1/embeddings", post(embeddings::embeddings))
            .route("/v1/models", get(models::list))
            .route("/v1/models/{*name}", get(models::one))
            .route("/health/live", get(health::live))
            .route("/health/ready", get(health::ready))
            .fallback(unknown_route)
            .method_not_allowed_fallback(wrong_method)
            // The handlers read bodies themselves, under the configured limit.
            .layer(DefaultBodyLimit::disable())
            .with_state(self)
    }

    /// Says on an answer which shared store cannot be asked just now (S3).
    pub(crate) fn mark(&self, response: &mut Response) {
        self.door.mark(response);
        if self.client.budget().is_some_and(Budget::is_store_away) {
            response.headers_mut().insert(BUDGET, HeaderValue::from_static("store-away"));
        }
    }

    /// Where the budget writes down what a call has spent; `None` when there is no budget.
    pub(crate) fn spending(&self, extensions: &mut Extensions) -> Option<Spending> {
        self.client.budget()?;
        let spending = Spending::new();
        extensions.insert(spending.clone());
        Some(spending)
    }

    /// Reads a JSON request: its form is checked before its body is read, and its size while it is read.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: Request) -> Result<T, ApiError> {
        check_form(request.headers())?;
        self.read_json(request.into_body()).await
    }

    /// Reads a JSON body whose form was checked.
    pub(crate) async fn read_json<T: DeserializeOwned>(
        &self,
        body: impl Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    ) -> Result<T, ApiError> {
        let body = self.read(body).await?;
        // One check of the whole text is quicker than one for each text in it.
        let text =
            std::str::from_utf8(&body).map_err(|_| ApiError::bad_request("the body is not UTF-8 text"))?;
        serde_json::from_str(text).map_err(|_| explain_json::<T>(&body))
    }

    async fn read(
        &self,
        body: impl Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    ) -> Result<Bytes, ApiError> {
        let limit = self.max_body_bytes;
        let too_large = || ApiError::too_large(limit);
        if body.size_hint().lower() > limit as u64 {
            return Err(too_large());
        }
        let mut whole = pin!(join(Limited::new(body, limit)));
        // Most bodies are there when their heads are, and need no timer.
        let whole = match look(whole.as_mut()).await {
            Poll::Ready(whole) => Ok(whole),
            Poll::Pending => Box::pin(tokio::time::timeout(self.body_timeout, whole)).await,
        };
        match whole {
            Ok(Ok(whole)) => Ok(whole),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(ApiError::bad_request("the request's body broke off; send it again")),
            Err(_) => Err(ApiError::slow_body(self.body_timeout)),
        }
    }
}

/// What comes of polling it once.
async fn look<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    std::future::poll_fn(|task| Poll::Ready(future.as_mut().poll(task))).await
}

/// The whole body. Most come in one piece, which is not copied.
async fn join(
    mut body: Limited<impl Body<Data = Bytes, Error: Into<BoxError>> + Unpin>,
) -> Result<Bytes, BoxError> {
    let mut whole = Bytes::new();
    let mut pieces = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue }; // trailers
        if whole.is_empty() && pieces.is_empty() {
            whole = data;
        } else {
            pieces.extend_from_slice(&std::mem::take(&mut whole));
            pieces.extend_from_slice(&data);
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(if pieces.is_empty() { whole } else { pieces.freeze() })
}

/// Whether the body is JSON, and not packed.
pub(crate) fn check_form(headers: &HeaderMap) -> Result<(), ApiError> {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    // A page in a browser can send other types to a local server unasked; JSON makes it ask first.
    if !essence.eq_ignore_ascii_case("application/json") && !essence.ends_with("+json") {
        return Err(ApiError::unsupported("send the header content-type: application/json"));
    }
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => {
            Err(ApiError::unsupported("send the body without compression"))
        }
        _ => Ok(()),
    }
}

/// Reads the body again, slowly, to find out where it is wrong.
pub(crate) fn explain_json<T: DeserializeOwned>(body: &[u8]) -> ApiError {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let error = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Err(error) => error,
        Ok(_) => return ApiError::bad_request("the body holds more than one JSON value"),
    };
    let path = error.path().to_string();
    let inner = error.into_inner();
    let message = match inner.classify() {
        serde_json::error::Category::Data if path != "." => format!("{path}: {inner}"),
        _ => format!("the body is not the JSON that is expected: {inner}"),
    };
    let error = ApiError::bad_request(message);
    if path == "." { error } else { error.param(path) }
}

async fn unknown_route(method: Method, uri: Uri) -> Response {
    let message = format!(
        "there is no {method} {}; this gateway serves /v1/chat/completions, /v1/embeddings, /v1/models",
        uri.path()
    );
    ApiError::new(StatusCode::NOT_FOUND, message).code("unknown_url").into_response_now()
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let message = format!("{} does not take {method}", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message).code("method_not_allowed").into_response_now()
}

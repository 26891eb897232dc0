//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use mainstay::{Call, ChatRequest, Reply};

use crate::app::App;
use crate::error::ApiError;
use crate::{headers, sse};

pub(crate) const PATH: &str = "/v1/chat/completions";

/// Answers whole or as `text/event-stream`, by `stream` in the body (S1.7).
///
/// When the client goes away, the server drops this future or the body, and with it the upstream request.
pub(crate) async fn completions(State(app): State<App>, request: Request) -> Response {
    let id = headers::id(request.headers());
    let result = answer(&app, request, id.clone()).await;
    let mut response = result.unwrap_or_else(|error| error.into_response());
    headers::identify(response.headers_mut(), &id);
    response
}

async fn answer(app: &App, request: Request, id: Arc<str>) -> Result<Response, ApiError> {
    let context = headers::context(request.headers(), id)?;
    let call = Call::new(app.json::<ChatRequest>(request).await?).with_context(context);
    check(call.request())?;
    let wants_usage = call.request().wants_usage_chunk();
    let reply = app.client.call(call).await?;
    Ok(respond(app, reply, wants_usage))
}

fn respond(app: &App, reply: Reply, wants_usage: bool) -> Response {
    let head = reply.head.clone();
    let (body, content_type) = match reply.answer() {
        Some(answer) => (Body::from(answer.to_json()), "application/json"),
        None => {
            let events = sse::Events::new(reply.into_stream(), wants_usage, app.shutdown.aborted());
            (Body::new(events), "text/event-stream")
        }
    };
    let mut response = Response::new(body);
    let response_headers = response.headers_mut();
    response_headers.reserve(headers::MOST);
    response_headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if content_type == "text/event-stream" {
        response_headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // nginx in front would hold events back.
        response_headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    }
    headers::describe(response_headers, &head);
    response
}

/// What no provider would take is refused here, with the cure.
fn check(request: &ChatRequest) -> Result<(), ApiError> {
    if request.model.is_empty() {
        return Err(ApiError::bad_request("model is empty; name a model, or provider/model").param("model"));
    }
    if request.messages.is_empty() {
        return Err(ApiError::bad_request("messages is empty; send at least one message").param("messages"));
    }
    if request.n == Some(0) {
        return Err(ApiError::bad_request("n is 0; leave it out, or ask for at least one answer").param("n"));
    }
    Ok(())
}

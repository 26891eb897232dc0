//! `POST /v1/chat/completions`.

use std::convert::Infallible;
use std::pin::pin;

use axum::BoxError;
use axum::http::{HeaderValue, Request, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body::Body;
use mainstay::{Call, ChatRequest, Context, Reply};

use crate::app::{self, App};
use crate::auth::Caller;
use crate::error::ApiError;
use crate::{answer_headers, headers, sse};

pub(crate) const PATH: &str = "/v1/chat/completions";

/// Answers whole or as `text/event-stream`, by `stream` in the body (S1.7).
///
/// When the client goes away, the server drops this future or the body, and with it the upstream request.
pub(crate) fn completions<B>(
    app: App,
    caller: Caller,
    request: Request<B>,
) -> impl Future<Output = Result<Response, Infallible>> + Send
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    // What the headers say is read here, so that the future, which is moved and touched as a whole, holds none of it.
    let (head, body) = request.into_parts();
    let told = headers::Told::by(&head.headers);
    let id = told.id();
    let context = app::check_form(&head.headers).and_then(|()| told.context(id.clone(), &caller));
    drop(head);
    async move {
        let result = match context {
            Ok(context) => {
                let answer = pin!(answer(&app, &caller, body, context));
                app.shutdown.cut(answer).await.unwrap_or_else(|cut| Err(cut.into()))
            }
            Err(error) => Err(error),
        };
        let mut response = result.unwrap_or_else(|error| error.into_response());
        answer_headers::identify(response.headers_mut(), &id);
        app.mark(&mut response);
        Ok(response)
    }
}

async fn answer<B>(app: &App, caller: &Caller, body: B, context: Context) -> Result<Response, ApiError>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let mut call = Call::in_context(app.read_json::<ChatRequest>(body).await?, context);
    check(call.request())?;
    caller.check_model(&call.request().model)?;
    let (wants_stream, wants_usage) = (call.request().is_stream(), call.request().wants_usage_chunk());
    let spending = app.spending(&mut call.context_mut().extensions);
    let reply = app.client.call(call).await?;
    let mut response = respond(app, reply, wants_stream, wants_usage);
    if let Some(spent) = spending.and_then(|spending| spending.spent()) {
        answer_headers::tell_cost(response.headers_mut(), &spent);
    }
    Ok(response)
}

/// Some servers answer whole though a stream was asked for: a client that reads events would find none in that, and take
/// the answer for an empty one.
fn respond(app: &App, reply: Reply, wants_stream: bool, wants_usage: bool) -> Response {
    let mut described = answer_headers::describe(&reply.head);
    let body = match reply.answer() {
        Some(answer) if !wants_stream => axum::body::Body::from(answer.to_json()),
        _ => {
            described.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            described.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            // nginx in front would hold events back.
            described.insert("x-accel-buffering", HeaderValue::from_static("no"));
            let events = sse::Events::new(reply.into_stream(), wants_usage, app.shutdown.clone());
            axum::body::Body::new(events)
        }
    };
    let mut response = Response::new(body);
    *response.headers_mut() = described;
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

//! `POST /v1/chat/completions`.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use mainstay::{Call, ChatRequest, Context, Reply};

use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::{headers, sse};

pub(crate) const PATH: &str = "/v1/chat/completions";

/// Answers whole or as `text/event-stream`, by `stream` in the body (S1.7).
///
/// When the client goes away, the server drops this future or the body, and with it the upstream request.
pub(crate) async fn completions(State(app): State<App>, caller: Caller, request: Request) -> Response {
    let told = headers::Told::by(request.headers());
    let id = told.id();
    let result = match told.context(id.clone(), &caller) {
        Ok(context) => answer(&app, &caller, request, context).await,
        Err(error) => Err(error),
    };
    let mut response = result.unwrap_or_else(|error| error.into_response());
    headers::identify(response.headers_mut(), &id);
    app.door.mark(&mut response);
    response
}

async fn answer(
    app: &App,
    caller: &Caller,
    request: Request,
    context: Context,
) -> Result<Response, ApiError> {
    let call = Call::new(app.json::<ChatRequest>(request).await?).with_context(context);
    check(call.request())?;
    caller.check_model(&call.request().model)?;
    let wants_usage = call.request().wants_usage_chunk();
    let reply = app.client.call(call).await?;
    Ok(respond(app, reply, wants_usage))
}

fn respond(app: &App, reply: Reply, wants_usage: bool) -> Response {
    let mut described = HeaderMap::with_capacity(headers::MOST);
    headers::describe(&mut described, &reply.head);
    let (body, content_type) = match reply.answer() {
        Some(answer) => (Body::from(answer.to_json()), "application/json"),
        None => {
            described.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            // nginx in front would hold events back.
            described.insert("x-accel-buffering", HeaderValue::from_static("no"));
            let events = sse::Events::new(reply.into_stream(), wants_usage, app.shutdown.aborted());
            (Body::new(events), "text/event-stream")
        }
    };
    described.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
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

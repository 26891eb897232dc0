//! `POST /v1/embeddings`.

use std::pin::pin;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use mainstay::{Context, EmbedCall, EmbedReply, EmbedRequest};
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::{answer_headers, headers};

/// Answers with one vector per text, as numbers or as base64, by `encoding_format`.
pub(crate) async fn embeddings(State(app): State<App>, caller: Caller, request: Request) -> Response {
    let told = headers::Told::by(request.headers());
    let id = told.id();
    let result = match told.context(id.clone(), &caller) {
        Ok(context) => {
            let answer = pin!(answer(&app, &caller, request, context));
            app.shutdown.cut(answer).await.unwrap_or_else(|cut| Err(cut.into()))
        }
        Err(error) => Err(error),
    };
    let mut response = result.unwrap_or_else(|error| error.into_response());
    answer_headers::identify(response.headers_mut(), &id);
    response
}

async fn answer(
    app: &App,
    caller: &Caller,
    request: Request,
    context: Context,
) -> Result<Response, ApiError> {
    let asked = app.json::<EmbedRequest>(request).await?;
    caller.check_model(&asked.model)?;
    let base64 = match asked.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => {
            return Err(ApiError::bad_request("encoding_format must be \"float\" or \"base64\"")
                .param("encoding_format"));
        }
    };
    let model = asked.model.clone();
    let mut call = EmbedCall::new(asked);
    call.context = context;
    let spending = app.spending(&mut call.context.data_mut().extensions);
    let reply = app.client.embed(call).await?;
    let body = body(&reply, &model, base64);
    let mut response = Response::new(Body::from(body.to_string()));
    *response.headers_mut() = answer_headers::describe(&reply.head);
    if let Some(spent) = spending.and_then(|spending| spending.spent()) {
        answer_headers::tell_cost(response.headers_mut(), &spent);
    }
    Ok(response)
}

fn body(reply: &EmbedReply, model: &str, base64: bool) -> Value {
    let data: Vec<Value> = reply
        .vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| {
            let embedding = if base64 { Value::String(encode(vector)) } else { json!(vector) };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let tokens = reply.usage.map_or(0, |usage| usage.input);
    json!({
        "object": "list",
        "data": data,
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    })
}

/// Little-endian 32-bit floats in base64, as OpenAI writes them.
fn encode(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

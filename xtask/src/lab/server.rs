//! The rate-limited provider as a server on loopback that speaks OpenAI's dialect.

use std::convert::Infallible;

use anyhow::Result;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

use super::provider::Bucket;
use super::storm::Hint;

/// Starts one; its address. It ends with the runtime.
pub(super) async fn start(bucket: Bucket, hint: Hint) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}/v1", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let bucket = bucket.clone();
            let service = service_fn(move |request| answer(request, bucket.clone(), hint));
            // A connection that breaks is the client's to notice.
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(connection), service),
            );
        }
    });
    Ok(origin)
}

async fn answer(
    request: http::Request<Incoming>,
    bucket: Bucket,
    hint: Hint,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (answered, time) = bucket.ask();
    // The body is read, as a server does, or the connection could not be used again.
    let _read = request.into_body().collect().await;
    tokio::time::sleep(time).await;
    let (status, body) = if answered {
        let message = json!({"role": "assistant", "content": "done"});
        let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
        let usage = json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2});
        let answer = json!({
            "id": "lab-1", "object": "chat.completion", "created": 1, "model": "lab", "choices": [choice], "usage": usage,
        });
        (StatusCode::OK, answer)
    } else {
        let error =
            json!({"message": "too many requests", "type": "requests", "code": "rate_limit_exceeded"});
        (StatusCode::TOO_MANY_REQUESTS, json!({"error": error}))
    };
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    if let Some(wait) = hint.wait().filter(|_| !answered) {
        headers.insert(http::header::RETRY_AFTER, wait.as_secs().into());
    }
    Ok(response)
}

//! The provider's stand-in: a server on loopback that keeps what it gets and answers what was recorded.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::fixture::Response;

/// What arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) struct Scripted {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
    in_pieces: bool,
}

impl Scripted {
    pub(crate) fn recorded(response: &Response) -> Result<Self> {
        let about_the_connection = ["transfer-encoding", "content-length", "connection", "content-encoding"];
        let mut headers: Vec<_> = response
            .headers
            .iter()
            .filter(|(name, _)| !about_the_connection.contains(&name.to_lowercase().as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if !response.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("content-type".into(), response.media_type().into()));
        }
        let body = response.bytes()?.into();
        Ok(Self { status: response.status, headers, body, in_pieces: response.is_stream() })
    }

    /// Any answer with a body of JSON.
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        let headers = vec![("content-type".into(), "application/json".into())];
        Self { status, headers, body: body.to_string().into(), in_pieces: false }
    }
}

#[derive(Default)]
struct State {
    answer: Option<Scripted>,
    received: Vec<Received>,
}

/// A server that plays one exchange at a time.
pub(crate) struct Loopback {
    /// `http://127.0.0.1:PORT`
    pub(crate) origin: String,
    state: Arc<Mutex<State>>,
}

impl Loopback {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(Mutex::new(State::default()));
        tokio::spawn(accept(listener, state.clone()));
        Ok(Self { origin, state })
    }

    /// From now on this is answered; what arrived before is forgotten.
    pub(crate) fn play(&self, answer: Scripted) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { answer: Some(answer), received: Vec::new() };
    }

    /// What arrived since.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).received.clone()
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, state.clone()));
            let _ = hyper::server::conn::http1::Builder::new()
                .auto_date_header(false)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: http::Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<http::Response<Pieces>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let scripted = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.received.push(Received {
            method: parts.method.to_string(),
            path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            headers: parts.headers,
            body,
        });
        state.answer.clone()
    };
    let Some(scripted) = scripted else { return Ok(http::Response::new(Pieces::whole(Bytes::new()))) };
    let pieces = Pieces { rest: scripted.body, turn: 0, split: scripted.in_pieces };
    let mut response = http::Response::new(pieces);
    *response.status_mut() = http::StatusCode::from_u16(scripted.status).unwrap_or_default();
    for (name, value) in &scripted.headers {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), http::HeaderValue::try_from(value))
        {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

/// A body that is written whole, or in pieces of odd sizes that cut lines, characters and frames anywhere.
struct Pieces {
    rest: Bytes,
    turn: usize,
    split: bool,
}

impl Pieces {
    fn whole(body: Bytes) -> Self {
        Self { rest: body, turn: 0, split: false }
    }
}

/// The sizes of pieces, in turn.
const SIZES: [usize; 12] = [1, 3, 7, 2, 61, 5, 127, 11, 1, 509, 13, 1021];

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        self.turn += 1;
        if self.split && self.turn.is_multiple_of(2) {
            // Lets hyper write the piece before the next one comes.
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        let size = if self.split { SIZES[self.turn / 2 % SIZES.len()] } else { usize::MAX };
        let size = size.min(self.rest.len());
        let piece = self.rest.split_to(size);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

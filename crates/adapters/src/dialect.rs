//! A dialect: how one family of providers writes requests and answers. Pure translation, no I/O.

use std::collections::VecDeque;

use bytes::Bytes;
use http::HeaderMap;
use mainstay_provider_core::chat::ChatRequest;
use mainstay_provider_core::{ChatChunk, ChatResponse, EmbedRequest, Error, ErrorKind, Usage, Wire};

use crate::framing::{Frame, Frames};
use crate::json;

/// How one family of providers writes requests and answers.
pub(crate) trait Dialect: Send + Sync + 'static {
    /// Writes a chat request for `model`, which is the provider's own name of it. `request.is_stream()` tells
    /// whether the answer shall be streamed.
    fn encode_chat(&self, request: &ChatRequest, model: &str) -> Result<Outgoing, Error>;

    /// Reads a whole answer. An error inside a `200` is an `Err`.
    fn decode_chat(&self, body: Bytes, model: &str) -> Result<Wire<ChatResponse>, Error>;

    /// How the events of a stream are framed.
    fn frames(&self) -> Frames {
        Frames::sse()
    }

    /// Reads the events of one stream.
    fn chat_stream(&self, request: &ChatRequest, model: &str) -> Box<dyn ReadStream>;

    /// Writes an embeddings request.
    fn encode_embed(&self, _request: &EmbedRequest, _model: &str) -> Result<Outgoing, Error> {
        Err(Error::new(ErrorKind::InvalidRequest, "this provider has no embeddings; choose one that has")
            .with_param("model"))
    }

    /// Reads the vectors, in the order of the request, and the usage.
    fn decode_embed(&self, _body: Bytes) -> Result<(Vec<Vec<f32>>, Option<Usage>), Error> {
        Err(Error::new(ErrorKind::Internal, "an embeddings answer for a provider without embeddings"))
    }

    /// The error of an answer that is not a success. The default knows all documented providers' bodies.
    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8], now: std::time::SystemTime) -> Error;
}

/// A request as a dialect writes it.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Appended to the base URL; begins with a slash and may hold a query.
    pub(crate) path: String,
    /// Headers of the dialect, without authentication.
    pub(crate) headers: HeaderMap,
    /// The JSON body.
    pub(crate) body: Bytes,
}

impl Outgoing {
    /// A request with this JSON body and no headers of its own.
    pub(crate) fn json(path: impl Into<String>, body: &impl serde::Serialize) -> Result<Self, Error> {
        let body = json::print(body).map_err(|error| {
            Error::new(ErrorKind::Internal, "the request cannot be written as JSON").with_source(error)
        })?;
        Ok(Self { path: path.into(), headers: HeaderMap::new(), body: body.into() })
    }

    /// The same request with one more header.
    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(name, http::HeaderValue::from_static(value));
        self
    }
}

/// Reads the events of one streamed answer.
pub(crate) trait ReadStream: Send {
    /// Reads one event and appends the chunks it makes to `out`. `Err` ends the stream.
    fn read(&mut self, frame: Frame, out: &mut Chunks) -> Result<Flow, Error>;

    /// The connection ended after the last event. Appends what is still held back. It need not report a missing
    /// end: the reply does, when no finish reason was seen.
    fn end(&mut self, _out: &mut Chunks) -> Result<(), Error> {
        Ok(())
    }
}

/// Chunks that are ready to be handed out.
pub(crate) type Chunks = VecDeque<Wire<ChatChunk>>;

/// Whether a stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// More events follow.
    More,
    /// That was the last event; whatever follows is not read.
    Done,
}

//! Ollama's native interface: `/api/chat` with its lines of JSON, and `/api/embed`.

mod embed;
mod messages;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderMap;
use mainstay_provider_core::chat::ChatRequest;
use mainstay_provider_core::{ChatResponse, EmbedRequest, Error, Usage, Wire};

use self::stream::Reader;
use crate::config::AdapterConfig;
use crate::dialect::{Dialect, Outgoing, ReadStream};
use crate::failure;
use crate::framing::Frames;

/// By this name errors are classified.
const PROVIDER: &str = "ollama";

/// The dialect.
pub(crate) fn dialect(_config: &AdapterConfig) -> Result<Box<dyn Dialect>, Error> {
    Ok(Box::new(Ollama))
}

struct Ollama;

impl Dialect for Ollama {
    fn encode_chat(&self, request: &ChatRequest, model: &str) -> Result<Outgoing, Error> {
        let outgoing = Outgoing::json("/api/chat", &request::body(request, model)?)?;
        let answer = if request.is_stream() { "application/x-ndjson" } else { "application/json" };
        Ok(outgoing.header("accept", answer))
    }

    fn decode_chat(&self, body: Bytes, model: &str) -> Result<Wire<ChatResponse>, Error> {
        stream::decode(&body, model)
    }

    fn frames(&self) -> Frames {
        Frames::ndjson()
    }

    fn chat_stream(&self, _request: &ChatRequest, model: &str) -> Box<dyn ReadStream> {
        Box::new(Reader::new(model))
    }

    fn encode_embed(&self, request: &EmbedRequest, model: &str) -> Result<Outgoing, Error> {
        Outgoing::json("/api/embed", &embed::body(request, model)?)
    }

    fn decode_embed(&self, body: Bytes) -> Result<(Vec<Vec<f32>>, Option<Usage>), Error> {
        embed::decode(&body)
    }

    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Error {
        failure::classify(PROVIDER, status, headers, body, now)
    }
}

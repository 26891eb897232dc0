//! Cohere's second interface: `/v2/chat` and `/v2/embed`.

mod citations;
mod embed;
mod messages;
mod request;
mod response;
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

/// By this name errors are classified.
const PROVIDER: &str = "cohere";

/// The dialect.
pub(crate) fn dialect(_config: &AdapterConfig) -> Result<Box<dyn Dialect>, Error> {
    Ok(Box::new(Cohere))
}

struct Cohere;

impl Dialect for Cohere {
    fn encode_chat(&self, request: &ChatRequest, model: &str) -> Result<Outgoing, Error> {
        Outgoing::json("/v2/chat", &request::body(request, model)?)
    }

    fn decode_chat(&self, body: Bytes, model: &str) -> Result<Wire<ChatResponse>, Error> {
        response::decode(&body, model)
    }

    fn chat_stream(&self, _request: &ChatRequest, model: &str) -> Box<dyn ReadStream> {
        Box::new(Reader::new(model))
    }

    fn encode_embed(&self, request: &EmbedRequest, model: &str) -> Result<Outgoing, Error> {
        Outgoing::json("/v2/embed", &embed::body(request, model)?)
    }

    fn decode_embed(&self, body: Bytes) -> Result<(Vec<Vec<f32>>, Option<Usage>), Error> {
        embed::decode(&body)
    }

    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Error {
        failure::classify(PROVIDER, status, headers, body, now)
    }
}

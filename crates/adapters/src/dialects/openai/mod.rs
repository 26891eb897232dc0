//! OpenAI's chat completions and embeddings, and those of every server that speaks the same dialect.
//!
//! The neutral form *is* this dialect, so a request is the caller's with another model, less what the provider refuses, and
//! an answer is the provider's own text wherever nothing in it had to change. What differs between the providers is data:
//! [`profile`].

pub(crate) mod address;
mod embed;
mod finish;
mod message;
mod normal;
pub(crate) mod profile;
mod repair;
mod request;
mod response;
mod stream;
#[cfg(test)]
pub(crate) mod tests;

use bytes::Bytes;
use http::HeaderMap;
use mainstay_provider_core::chat::ChatRequest;
use mainstay_provider_core::{ChatResponse, EmbedRequest, Error, Usage, Wire};

use self::address::Address;
pub(crate) use self::embed::Embeddings;
pub(crate) use self::profile::Profile;
pub(crate) use self::request::reasons;
pub(crate) use self::response::decode;
use crate::config::AdapterConfig;
use crate::dialect::{Dialect, Outgoing, ReadStream};
use crate::failure;
use crate::framing::{Frames, LARGEST_IMAGE, SseDecoder};

/// The dialect as the provider of this profile speaks it.
pub(crate) fn dialect(config: &AdapterConfig, profile: &'static Profile) -> Result<Box<dyn Dialect>, Error> {
    Ok(Box::new(OpenAi {
        provider: config.kind.clone(),
        profile,
        chat: address(config, profile, profile.chat),
        embeddings: Embeddings::new(config, profile),
        stream_options: profile.stream_options && (!profile.azure || Address::knows_stream_options(config)),
    }))
}

/// Where a request goes.
pub(crate) fn address(config: &AdapterConfig, profile: &Profile, path: &str) -> Address {
    if profile.azure { Address::azure(config, path) } else { Address::new(config, path) }
}

struct OpenAi {
    provider: String,
    profile: &'static Profile,
    chat: Address,
    embeddings: Embeddings,
    stream_options: bool,
}

impl Dialect for OpenAi {
    fn encode_chat(&self, request: &ChatRequest, model: &str) -> Result<Outgoing, Error> {
        request::check(request, self.profile)?;
        let body =
            request::Body { request, model, profile: self.profile, stream_options: self.stream_options };
        Outgoing::json(self.chat.path(model), &body)
    }

    fn decode_chat(&self, body: Bytes, model: &str) -> Result<Wire<ChatResponse>, Error> {
        decode(body, model, &self.provider, self.profile)
    }

    fn frames(&self) -> Frames {
        Frames::Sse(SseDecoder::with_limit(LARGEST_IMAGE))
    }

    fn chat_stream(&self, _request: &ChatRequest, model: &str) -> Box<dyn ReadStream> {
        Box::new(stream::Reader::new(&self.provider, self.profile, model))
    }

    fn encode_embed(&self, request: &EmbedRequest, model: &str) -> Result<Outgoing, Error> {
        self.embeddings.encode(request, model)
    }

    fn decode_embed(&self, body: Bytes) -> Result<(Vec<Vec<f32>>, Option<Usage>), Error> {
        self.embeddings.decode(&body)
    }

    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8], now: std::time::SystemTime) -> Error {
        failure::classify(&self.provider, status, headers, body, now)
    }
}

/// The error of an answer that said it was well and is not: it holds an error, or nothing that can be read.
pub(crate) fn failed_success(provider: &str, body: &[u8]) -> Error {
    failure::classify_in_answer(provider, body)
}

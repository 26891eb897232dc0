//! OpenAI's Responses, and the servers that speak it too: Azure, xAI, DeepSeek, OpenRouter.
//!
//! Where it differs from the neutral form, this is what is done:
//!
//! - The first **instruction** that is plain text becomes `instructions`; others stay items of the input.
//! - **Tools** are flat and always say whether they are `strict`; images always say their `detail`: the published document
//!   demands both.
//! - **Reasoning** comes back as `reasoning_content` and as `thinking_blocks`, whose `signature` is the provider's
//!   `encrypted_content` and whose `id` is the item's. Sent back, each becomes its item again, in front of what followed it.
//! - **Items of server tools** (web search, tool search) have no neutral form. An answer that holds any, or whose items the
//!   neutral form cannot put in order again, carries all items in `output_items` of its message; sent back unchanged, they
//!   are replayed as they were.
//! - **Parameters**: `stop` and `n` above 1 are refused, for there is nothing like them; `seed` and penalties are dropped.
//!   `previous_response_id`, `include`, `store` and all others pass through (S1.9). An answer that shall not be stored
//!   includes its reasoning, encrypted: without it the next turn could not send it back.

mod input;
mod items;
mod request;
mod response;
mod stream;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::HeaderMap;
use mainstay_provider_core::chat::ChatRequest;
use mainstay_provider_core::{ChatResponse, EmbedRequest, Error, Usage, Wire};

use super::openai::address::{Address, RESPONSES};
use super::openai::{Embeddings, Profile, address};
use crate::config::AdapterConfig;
use crate::dialect::{Dialect, Outgoing, ReadStream};
use crate::failure;
use crate::framing::{Frames, LARGEST_IMAGE, SseDecoder};

/// Responses as the provider of this profile speaks them.
pub(crate) fn dialect(config: &AdapterConfig, profile: &'static Profile) -> Result<Box<dyn Dialect>, Error> {
    Ok(Box::new(Responses {
        provider: config.kind.clone(),
        profile,
        path: address(config, profile, RESPONSES),
        embeddings: Embeddings::new(config, profile),
    }))
}

struct Responses {
    provider: String,
    profile: &'static Profile,
    path: Address,
    embeddings: Embeddings,
}

impl Dialect for Responses {
    fn encode_chat(&self, request: &ChatRequest, model: &str) -> Result<Outgoing, Error> {
        Outgoing::json(self.path.path(model), &request::body(request, model, self.profile)?)
    }

    fn decode_chat(&self, body: Bytes, model: &str) -> Result<Wire<ChatResponse>, Error> {
        response::decode(body, model, &self.provider, self.profile)
    }

    fn frames(&self) -> Frames {
        Frames::Sse(SseDecoder::with_limit(LARGEST_IMAGE))
    }

    fn chat_stream(&self, _request: &ChatRequest, model: &str) -> Box<dyn ReadStream> {
        Box::new(stream::Reader::new(&self.provider, model))
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

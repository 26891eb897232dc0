//! Anthropic's Messages API.
//!
//! Where the two APIs differ, this is what is done:
//!
//! - **Instructions** (system and developer messages, wherever they stand) become the top-level `system`. One that holds
//!   Anthropic's own blocks (`tool_addition`) stays where it is.
//! - **Turns** of one role that follow each other become one; tool results stand first in theirs.
//! - **`max_tokens`** is required: without one the configured default is sent, on top of the thinking budget.
//! - **`response_format: json_object`** has no counterpart: the model is told so in the last system block. A schema goes
//!   into `output_config.format`, closed (`additionalProperties: false`) wherever it leaves that open.
//! - **`reasoning_effort`** becomes `output_config.effort`; models before Opus 4.5 and Sonnet 4.6 do not know it and get a
//!   thinking budget instead, unless the request says something of `thinking` itself or forbids it by another parameter;
//!   models that cannot think get nothing.
//! - **Reasoning** comes back as `reasoning_content` and, with its signature, as `thinking_blocks`. An answer whose blocks
//!   the neutral form cannot put in order again (thinking between tool calls, server tools) also carries them verbatim in
//!   `extra_content.anthropic.content` of its message; sent back unchanged, they are replayed as they were.
//! - **Cache breakpoints** (S4.8): see [`caching`].
//! - **Parameters** that Anthropic lacks are dropped (`seed`, penalties, [`request::DROPPED`]) or, where dropping them would
//!   change the answer's meaning (`n` above 1, `logprobs`), refused. All others pass through (S1.9); `anthropic_beta`
//!   (a name or a list) goes into the header of that name.

mod blocks;
mod caching;
mod content;
mod messages;
mod request;
mod response;
mod stream;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use mainstay_provider_core::chat::ChatRequest;
use mainstay_provider_core::{ChatResponse, Error, Wire};

use crate::config::{AdapterConfig, PromptCaching};
use crate::dialect::{Dialect, Outgoing, ReadStream};
use crate::failure;
use crate::translate::invalid;

/// The name that failures are judged by.
const PROVIDER: &str = "anthropic";
const BETA: HeaderName = HeaderName::from_static("anthropic-beta");

pub(crate) fn dialect(config: &AdapterConfig) -> Result<Box<dyn Dialect>, Error> {
    Ok(Box::new(Anthropic {
        prompt_caching: config.prompt_caching,
        default_max_tokens: config.default_max_tokens,
        betas: config
            .headers
            .get_all(BETA)
            .iter()
            .filter_map(|value| Some(value.to_str().ok()?.into()))
            .collect(),
    }))
}

struct Anthropic {
    prompt_caching: PromptCaching,
    default_max_tokens: u64,
    /// Those of every request.
    betas: Vec<String>,
}

impl Dialect for Anthropic {
    fn encode_chat(&self, request: &ChatRequest, model: &str) -> Result<Outgoing, Error> {
        let mut body = request::body(request, model, self.default_max_tokens)?;
        if self.prompt_caching == PromptCaching::Auto {
            caching::set_breakpoints(&mut body, model);
        }
        let mut outgoing = Outgoing::json("/v1/messages", &body)?.header("anthropic-version", "2023-06-01");
        let betas = request::betas(request)?;
        if !betas.is_empty() {
            let all: Vec<&str> = self.betas.iter().map(String::as_str).chain(betas).collect();
            let all = HeaderValue::from_str(&all.join(",")).map_err(|error| {
                invalid("anthropic_beta", "anthropic_beta must be a name or a list of names")
                    .with_source(error)
            })?;
            outgoing.headers.insert(BETA, all);
        }
        Ok(outgoing)
    }

    fn decode_chat(&self, body: Bytes, model: &str) -> Result<Wire<ChatResponse>, Error> {
        response::answer(&body, model).map(Wire::from)
    }

    fn chat_stream(&self, _request: &ChatRequest, model: &str) -> Box<dyn ReadStream> {
        Box::new(stream::Reader::new(model))
    }

    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8], now: std::time::SystemTime) -> Error {
        failure::classify(PROVIDER, status, headers, body, now)
    }
}

//! Amazon Bedrock's Converse and ConverseStream, for every model that Bedrock serves.
//!
//! Where the two APIs differ, this is what is done:
//!
//! - **Instructions** (system and developer messages, wherever they stand) become the top-level `system`.
//! - **Turns** of one role that follow each other become one; tool results stand first in theirs.
//! - **Images** and documents are sent as bytes, or by an `s3://` address; Bedrock fetches nothing from the web.
//! - **Tools** are declared whenever the conversation holds calls, since Bedrock demands it: where the request offers none
//!   (or `tool_choice` is `none`, which Bedrock cannot express), a placeholder stands in their place.
//! - **`response_format: json_object`** has no counterpart: the model is told so in the last system block. A schema goes
//!   into `outputConfig.textFormat`, closed (`additionalProperties: false`) wherever it leaves that open.
//! - **`reasoning_effort`** goes where the model's family looks for it: see [`reasoning`].
//! - **Reasoning** comes back as `reasoning_content` and, when signed, as `thinking_blocks`. An answer whose blocks the
//!   neutral form cannot put in order again also carries them verbatim in `extra_content.bedrock.content` of its
//!   message; sent back unchanged, they are replayed as they were.
//! - **Cache points** (S4.8): `cache_control` on a part, tool or message becomes a `cachePoint` behind it; for those that
//!   we set by ourselves see [`caching`].
//! - **Parameters**: members of Converse's own request (`guardrailConfig`, `performanceConfig`, …) stand at its top, those
//!   that only the model knows (`top_k`, `thinking`, `anthropic_beta`) in `additionalModelRequestFields` (S1.9).
//!   OpenAI's `metadata` and `user` become `requestMetadata` as far as their values fit, `service_tier` becomes
//!   `serviceTier`. What Bedrock lacks is dropped ([`request::DROPPED`], `seed`, penalties, `parallel_tool_calls`) or, where
//!   that would change the answer's meaning (`n` above 1, `logprobs`), refused.

mod blocks;
mod caching;
mod content;
mod messages;
mod reasoning;
mod request;
mod response;
mod stream;
#[cfg(test)]
mod tests;
mod tools;

use bytes::Bytes;
use http::HeaderMap;
use mainstay_provider_core::chat::ChatRequest;
use mainstay_provider_core::{ChatResponse, Error, Wire};

use crate::config::{AdapterConfig, PromptCaching};
use crate::dialect::{Dialect, Outgoing, ReadStream};
use crate::failure;
use crate::framing::Frames;
use crate::translate::path_segment;

/// The name that failures are judged by.
const PROVIDER: &str = "bedrock";

pub(crate) fn dialect(config: &AdapterConfig) -> Result<Box<dyn Dialect>, Error> {
    Ok(Box::new(Bedrock { prompt_caching: config.prompt_caching }))
}

struct Bedrock {
    prompt_caching: PromptCaching,
}

impl Dialect for Bedrock {
    fn encode_chat(&self, request: &ChatRequest, model: &str) -> Result<Outgoing, Error> {
        let mut body = request::body(request, model)?;
        if self.prompt_caching == PromptCaching::Auto {
            caching::set_points(&mut body, model);
        }
        let model = path_segment(model);
        if !request.is_stream() {
            return Outgoing::json(format!("/model/{model}/converse"), &body);
        }
        let outgoing = Outgoing::json(format!("/model/{model}/converse-stream"), &body)?;
        Ok(outgoing.header("accept", "application/vnd.amazon.eventstream"))
    }

    fn decode_chat(&self, body: Bytes, model: &str) -> Result<Wire<ChatResponse>, Error> {
        response::answer(&body, model).map(Wire::from)
    }

    fn frames(&self) -> Frames {
        Frames::event_stream()
    }

    fn chat_stream(&self, _request: &ChatRequest, model: &str) -> Box<dyn ReadStream> {
        Box::new(stream::Reader::new(model))
    }

    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8], now: std::time::SystemTime) -> Error {
        failure::classify(PROVIDER, status, headers, body, now)
    }
}

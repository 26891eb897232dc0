//! Google's `generateContent`: Gemini with an API key, and Vertex AI, which has the same wire at another address.

mod citations;
mod contents;
mod embed;
mod finish;
mod media;
mod partial_args;
mod request;
mod response;
mod stream;
#[cfg(test)]
mod tests;
mod thinking;
mod tools;
mod wire;

use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderMap;
use mainstay_provider_core::chat::ChatRequest;
use mainstay_provider_core::{ChatResponse, EmbedRequest, Error, ErrorKind, Usage, Wire};

use self::stream::Reader;
use crate::config::AdapterConfig;
use crate::dialect::{Dialect, Outgoing, ReadStream};
use crate::failure;
use crate::framing::{Frames, LARGEST_IMAGE, SseDecoder};
use crate::translate::path_segment;

/// The dialect for `gemini`, or for `vertex` where the kind says so.
///
/// # Errors
/// Vertex without a project.
pub(crate) fn dialect(config: &AdapterConfig) -> Result<Box<dyn Dialect>, Error> {
    let place = if config.kind == "vertex" { vertex(config)? } else { Place::Gemini };
    Ok(Box::new(GenerateContent { place, provider: config.kind.clone() }))
}

fn vertex(config: &AdapterConfig) -> Result<Place, Error> {
    let project = config.project.as_deref().filter(|project| !project.is_empty()).ok_or_else(|| {
        let message = "vertex needs the Google Cloud project that pays: set project in its configuration";
        Error::new(ErrorKind::Configuration, message).with_param("project")
    })?;
    let location = config.region.as_deref().filter(|region| !region.is_empty()).unwrap_or("global");
    Ok(Place::Vertex {
        parent: format!("/projects/{}/locations/{}", path_segment(project), path_segment(location)),
    })
}

/// Where the models live: it decides their paths, and the little in which the two services differ.
#[derive(Debug)]
enum Place {
    Gemini,
    Vertex {
        /// `/projects/P/locations/LOC`
        parent: String,
    },
}

impl Place {
    fn is_vertex(&self) -> bool {
        matches!(self, Self::Vertex { .. })
    }

    /// The model's resource name as a path. A name with slashes is taken as a resource of another kind: a
    /// tuned model, a deployed endpoint, another publisher's model, or a full resource name.
    fn model_path(&self, model: &str) -> String {
        let segments = || model.split('/').map(path_segment).collect::<Vec<_>>().join("/");
        match self {
            Self::Gemini if model.contains('/') => format!("/{}", segments()),
            Self::Gemini => format!("/models/{}", path_segment(model)),
            Self::Vertex { .. } if model.starts_with("projects/") => format!("/{}", segments()),
            Self::Vertex { parent } if model.contains("models/") || model.starts_with("endpoints/") => {
                let publisher = if model.starts_with("models/") { "publishers/google/" } else { "" };
                format!("{parent}/{publisher}{}", segments())
            }
            Self::Vertex { parent } => format!("{parent}/publishers/google/models/{}", path_segment(model)),
        }
    }
}

struct GenerateContent {
    place: Place,
    /// The registry's name, by which errors are classified.
    provider: String,
}

impl Dialect for GenerateContent {
    fn encode_chat(&self, request: &ChatRequest, model: &str) -> Result<Outgoing, Error> {
        let method = if request.is_stream() { "streamGenerateContent?alt=sse" } else { "generateContent" };
        let body = request::body(request, model, &self.place)?;
        Outgoing::json(format!("{}:{method}", self.place.model_path(model)), &body)
    }

    fn decode_chat(&self, body: Bytes, model: &str) -> Result<Wire<ChatResponse>, Error> {
        response::decode(&self.provider, &body, model)
    }

    fn frames(&self) -> Frames {
        Frames::Sse(SseDecoder::with_limit(LARGEST_IMAGE))
    }

    fn chat_stream(&self, _request: &ChatRequest, model: &str) -> Box<dyn ReadStream> {
        Box::new(Reader::new(&self.provider, model))
    }

    fn encode_embed(&self, request: &EmbedRequest, model: &str) -> Result<Outgoing, Error> {
        embed::encode(request, model, &self.place)
    }

    fn decode_embed(&self, body: Bytes) -> Result<(Vec<Vec<f32>>, Option<Usage>), Error> {
        embed::decode(&body)
    }

    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Error {
        failure::classify(&self.provider, status, headers, body, now)
    }
}

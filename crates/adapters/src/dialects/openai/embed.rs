//! Embeddings.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mainstay_provider_core::{EmbedRequest, Error, Usage};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::address::Address;
use super::failed_success;
use super::profile::{self, Profile};
use super::request::print_extra;
use crate::config::AdapterConfig;
use crate::dialect::Outgoing;
use crate::translate::{invalid, malformed, tokens};

/// The embeddings of a provider.
pub(crate) struct Embeddings {
    provider: String,
    profile: &'static Profile,
    address: Option<Address>,
}

impl Embeddings {
    pub(crate) fn new(config: &AdapterConfig, profile: &'static Profile) -> Self {
        let address = profile.embeddings.map(|embeddings| super::address(config, profile, embeddings.path));
        Self { provider: config.kind.clone(), profile, address }
    }

    pub(crate) fn encode(&self, request: &EmbedRequest, model: &str) -> Result<Outgoing, Error> {
        let (Some(address), Some(rules)) = (&self.address, &self.profile.embeddings) else {
            return Err(invalid("model", "this provider has no embeddings; choose one that has"));
        };
        if !rules.tokens && request.input.texts().is_none() {
            return Err(invalid("input", "this provider embeds texts and not tokens; send the texts"));
        }
        Outgoing::json(address.path(model), &Body { request, model, rules })
    }

    pub(crate) fn decode(&self, body: &[u8]) -> Result<(Vec<Vec<f32>>, Option<Usage>), Error> {
        let unreadable = |error: serde_json::Error| failed_success(&self.provider, body).with_source(error);
        let Answer { data, usage } = serde_json::from_slice(body).map_err(unreadable)?;
        let Some(mut data) = data else { return Err(failed_success(&self.provider, body)) };
        // In the order of the request, which the index tells and the list need not follow.
        data.sort_by_key(|datum| datum.index);
        let signed = self.profile.embeddings.is_some_and(|rules| rules.signed_bytes);
        let vectors =
            data.into_iter().map(|datum| datum.embedding.figures(signed)).collect::<Result<_, _>>()?;
        Ok((
            vectors,
            usage.filter(Value::is_object).map(|usage| Usage::new(tokens(usage.get("prompt_tokens")), 0)),
        ))
    }
}

struct Body<'a> {
    request: &'a EmbedRequest,
    model: &'a str,
    rules: &'a profile::Embeddings,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { request, model, rules } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", model)?;
        map.serialize_entry("input", &request.input)?;
        if let Some(dimensions) = request.dimensions.filter(|_| !rules.dimensions.is_empty()) {
            map.serialize_entry(rules.dimensions, &dimensions)?;
        }
        if let Some(format) = request.encoding_format.as_ref().filter(|_| rules.encoding_format) {
            map.serialize_entry("encoding_format", format)?;
        }
        if let Some(user) = request.user.as_ref().filter(|_| rules.user) {
            map.serialize_entry("user", user)?;
        }
        print_extra(&mut map, &request.extra, |_| true)?;
        map.end()
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Vec<Datum>>,
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Datum {
    #[serde(default)]
    index: u32,
    embedding: Vector,
}

/// A vector, written as figures or as their bytes in base64.
enum Vector {
    Figures(Vec<f32>),
    Base64(String),
}

impl Vector {
    fn figures(self, signed_bytes: bool) -> Result<Vec<f32>, Error> {
        let text = match self {
            Self::Figures(figures) => return Ok(figures),
            Self::Base64(text) => text,
        };
        let bytes = STANDARD
            .decode(text)
            .map_err(|error| malformed("an embedding of the provider is not base64").with_source(error))?;
        if signed_bytes {
            return Ok(bytes.into_iter().map(|byte| f32::from(i8::from_ne_bytes([byte]))).collect());
        }
        from_bytes(&bytes)
            .ok_or_else(|| malformed("the bytes of the provider's embedding are not whole figures"))
    }
}

/// Little-endian figures of four bytes, or of eight: vLLM once sent those, and nothing in its answer tells.
fn from_bytes(bytes: &[u8]) -> Option<Vec<f32>> {
    let (words, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let (pairs, odd) = words.as_chunks::<2>();
    // A figure of eight bytes that was one of four or fewer before has nothing in its lower 29 bits; of the figures of a
    // real vector of four bytes, not every other one is as round as that.
    let wide = odd.is_empty()
        && pairs.iter().all(|[low, _]| u32::from_le_bytes(*low) & 0x1fff_ffff == 0)
        && pairs.iter().any(|[_, high]| u32::from_le_bytes(*high) & 0x1fff_ffff != 0);
    #[allow(clippy::cast_possible_truncation)] // it was a figure of four bytes
    Some(match wide {
        true => bytes.as_chunks::<8>().0.iter().map(|figure| f64::from_le_bytes(*figure) as f32).collect(),
        false => words.iter().map(|figure| f32::from_le_bytes(*figure)).collect(),
    })
}

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FiguresOrText;
        impl<'de> Visitor<'de> for FiguresOrText {
            type Value = Vector;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of figures or a text in base64")
            }

            fn visit_str<E>(self, text: &str) -> Result<Vector, E> {
                Ok(Vector::Base64(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Vector, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Vector::Figures)
            }
        }
        deserializer.deserialize_any(FiguresOrText)
    }
}

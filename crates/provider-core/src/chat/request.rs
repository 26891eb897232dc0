//! What a caller asks.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Message, Tool, ToolChoice};
use crate::lossless::{Extra, lossless};

lossless! {
    /// A chat-completions request.
    ///
    /// Members without a field here (`logit_bias`, `service_tier`, a provider's own `top_k`) are in `extra` and reach
    /// the provider as they came (S1.9).
    pub struct ChatRequest {
        /// The model: a logical name, `provider/model`, or a provider's own name.
        need model: String,
        /// The conversation, oldest turn first.
        need messages: Vec<Message>,
        /// Randomness, 0 to 2.
        may temperature: f64,
        /// Nucleus sampling, 0 to 1.
        may top_p: f64,
        /// Longest answer in tokens; the older name.
        may max_tokens: u64,
        /// Longest answer in tokens, reasoning included.
        may max_completion_tokens: u64,
        /// How many answers.
        may n: u32,
        /// Texts that end the answer.
        may stop: Stop,
        /// Whether the answer is streamed.
        may stream: bool,
        /// How it is streamed.
        may stream_options: StreamOptions,
        /// Chance, fixed.
        may seed: i64,
        /// Penalty on tokens that were used at all, -2 to 2.
        may presence_penalty: f64,
        /// Penalty on tokens by how often they were used, -2 to 2.
        may frequency_penalty: f64,
        /// Whether token probabilities are returned.
        may logprobs: bool,
        /// How many alternatives per token, 0 to 20.
        may top_logprobs: u32,
        /// The tools on offer.
        list tools: Vec<Tool>,
        /// Which of them may or must be called.
        may tool_choice: ToolChoice,
        /// Whether several tools may be called in one answer.
        may parallel_tool_calls: bool,
        /// The form of the answer.
        may response_format: ResponseFormat,
        /// How hard a reasoning model thinks (`none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`).
        may reasoning_effort: String,
        /// The end user, for the provider's abuse detection.
        may user: String,
    }

    /// How an answer is streamed.
    pub struct StreamOptions {
        /// Whether a last chunk carries the usage.
        may include_usage: bool,
    }

    /// The schema of a structured answer.
    pub struct JsonSchema {
        /// A name for the schema.
        need name: String,
        /// What the answer is.
        may description: String,
        /// The JSON schema.
        may schema: Value,
        /// Whether the answer must follow it to the letter.
        may strict: bool,
    }
}

impl ChatRequest {
    /// A request for one answer to `messages`.
    pub fn new(model: impl Into<String>, messages: Vec<Message>) -> Self {
        Self {
            model: model.into(),
            messages,
            temperature: None,
            top_p: None,
            max_tokens: None,
            max_completion_tokens: None,
            n: None,
            stop: None,
            stream: None,
            stream_options: None,
            seed: None,
            presence_penalty: None,
            frequency_penalty: None,
            logprobs: None,
            top_logprobs: None,
            tools: Vec::new(),
            tool_choice: None,
            parallel_tool_calls: None,
            response_format: None,
            reasoning_effort: None,
            user: None,
            extra: Extra::default(),
        }
    }

    /// Whether the caller wants the answer streamed.
    pub fn is_stream(&self) -> bool {
        self.stream == Some(true)
    }

    /// The longest answer asked for, by either name; the newer one wins.
    pub fn max_output_tokens(&self) -> Option<u64> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    /// Whether the caller asked for a last chunk with the usage.
    pub fn wants_usage_chunk(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage) == Some(true)
    }
}

/// Texts that end the answer: one, or a list.
#[derive(Debug, Clone, PartialEq)]
pub enum Stop {
    /// One text.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Stop {
    /// The texts.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Stop::One(text) => std::slice::from_ref(text),
            Stop::Many(texts) => texts,
        }
    }
}

impl Serialize for Stop {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Stop::One(text) => serializer.serialize_str(text),
            Stop::Many(texts) => texts.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Stop {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrList;
        impl<'de> Visitor<'de> for TextOrList {
            type Value = Stop;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<Stop, E> {
                Ok(Stop::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Stop, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Stop::Many)
            }
        }
        deserializer.deserialize_any(TextOrList)
    }
}

/// The form of the answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ResponseFormat {
    /// Free text.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that follows a schema.
    JsonSchema(JsonSchema),
    /// Any other form, as it came.
    Other(Map<String, Value>),
}

impl Serialize for ResponseFormat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let (kind, schema) = match self {
            ResponseFormat::Text => ("text", None),
            ResponseFormat::JsonObject => ("json_object", None),
            ResponseFormat::JsonSchema(schema) => ("json_schema", Some(schema)),
            ResponseFormat::Other(members) => return members.serialize(serializer),
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", kind)?;
        if let Some(schema) = schema {
            map.serialize_entry("json_schema", schema)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for ResponseFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = ResponseFormat;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object like {\"type\": \"json_schema\", \"json_schema\": {…}}")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ResponseFormat, A::Error> {
                let members = Map::deserialize(MapAccessDeserializer::new(map))?;
                response_format(members).map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(Object)
    }
}

fn response_format(mut members: Map<String, Value>) -> Result<ResponseFormat, String> {
    let kind = members.get("type").and_then(Value::as_str).unwrap_or_default();
    match (kind, members.len()) {
        ("text", 1) => Ok(ResponseFormat::Text),
        ("json_object", 1) => Ok(ResponseFormat::JsonObject),
        ("json_schema", 2) if members.contains_key("json_schema") => {
            let schema = members.remove("json_schema").unwrap_or_default();
            serde_json::from_value(schema)
                .map(ResponseFormat::JsonSchema)
                .map_err(|error| format!("json_schema: {error}"))
        }
        _ => Ok(ResponseFormat::Other(members)),
    }
}

//! What `generateContent` answers, as far as it is read.
//!
//! Every member may be missing or null: proto3 JSON leaves out what has its default value.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A whole answer, and each event of a stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    pub(super) candidates: Option<Vec<Candidate>>,
    pub(super) prompt_feedback: Option<PromptFeedback>,
    pub(super) usage_metadata: Option<UsageMetadata>,
    pub(super) model_version: Option<String>,
    pub(super) response_id: Option<String>,
    /// Vertex only.
    pub(super) create_time: Option<String>,
    /// An error inside a success.
    pub(super) error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptFeedback {
    pub(super) block_reason: Option<EnumValue>,
    pub(super) block_reason_message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate {
    pub(super) index: Option<u32>,
    pub(super) content: Option<Content>,
    pub(super) finish_reason: Option<EnumValue>,
    pub(super) finish_message: Option<String>,
    pub(super) grounding_metadata: Option<Value>,
    pub(super) citation_metadata: Option<Value>,
    pub(super) url_context_metadata: Option<Value>,
    pub(super) safety_ratings: Option<Value>,
    pub(super) logprobs_result: Option<LogprobsResult>,
}

#[derive(Deserialize)]
pub(super) struct Content {
    pub(super) parts: Option<Vec<Part>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FunctionCall {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    /// As text, so that the arguments keep the order in which the model wrote them.
    pub(super) args: Option<Box<RawValue>>,
    pub(super) partial_args: Option<Vec<PartialArg>>,
    pub(super) will_continue: Option<bool>,
}

/// A piece of a call's arguments (Vertex, when `streamFunctionCallArguments` is on).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PartialArg {
    pub(super) json_path: Option<String>,
    pub(super) string_value: Option<String>,
    pub(super) number_value: Option<Value>,
    pub(super) bool_value: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blob {
    pub(super) mime_type: Option<String>,
    pub(super) data: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UsageMetadata {
    pub(super) prompt_token_count: Option<Value>,
    pub(super) tool_use_prompt_token_count: Option<Value>,
    pub(super) cached_content_token_count: Option<Value>,
    pub(super) candidates_token_count: Option<Value>,
    pub(super) thoughts_token_count: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogprobsResult {
    pub(super) chosen_candidates: Option<Vec<TokenLogprob>>,
    pub(super) top_candidates: Option<Vec<TopLogprobs>>,
}

#[derive(Deserialize)]
pub(super) struct TopLogprobs {
    pub(super) candidates: Option<Vec<TokenLogprob>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenLogprob {
    pub(super) token: Option<String>,
    pub(super) log_probability: Option<f64>,
}

/// A value of an enumeration: its name, or its number when the client's `$alt` asked for numbers.
#[derive(Deserialize, Debug, Clone, PartialEq)]
#[serde(untagged)]
pub(super) enum EnumValue {
    Name(String),
    Number(u64),
}

/// One part of a candidate's content.
#[derive(Default)]
pub(super) struct Part {
    pub(super) text: Option<String>,
    pub(super) thought: bool,
    pub(super) signature: Option<String>,
    pub(super) function_call: Option<FunctionCall>,
    pub(super) inline_data: Option<Blob>,
    /// What the neutral form has no place for: code that was run and its result, tools that ran at the server.
    pub(super) rest: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Part;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a part of a content")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Part, A::Error> {
                let mut part = Part::default();
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "text" => part.text = map.next_value()?,
                        "thought" => part.thought = map.next_value::<Option<bool>>()?.unwrap_or(false),
                        "thoughtSignature" => part.signature = map.next_value()?,
                        "functionCall" => part.function_call = map.next_value()?,
                        "inlineData" => part.inline_data = map.next_value()?,
                        _ => {
                            part.rest.insert(name, map.next_value()?);
                        }
                    }
                }
                Ok(part)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

//! What Cohere answers, as far as it is read. Every member may be missing or null.

use mainstay_provider_core::chat::{FinishReason, TokenUsage};
use mainstay_provider_core::{Error, ErrorKind, Timer, Usage};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::translate::tokens;

/// A whole answer.
#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) id: Option<String>,
    pub(super) message: Option<Message>,
    pub(super) finish_reason: Option<String>,
    pub(super) usage: Option<Spent>,
    pub(super) logprobs: Option<Vec<Logprob>>,
}

/// An event of a stream.
#[derive(Deserialize)]
pub(super) struct Event {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) id: Option<String>,
    pub(super) index: Option<u32>,
    pub(super) delta: Option<Delta>,
    pub(super) logprobs: Option<Logprob>,
}

#[derive(Deserialize)]
pub(super) struct Delta {
    pub(super) message: Option<Message>,
    pub(super) finish_reason: Option<String>,
    pub(super) usage: Option<Spent>,
    /// What went wrong, in the last event.
    pub(super) error: Option<String>,
}

/// A message, or the new piece of one: there a member is the one entry that is new, here a list of all.
#[derive(Deserialize)]
pub(super) struct Message {
    #[serde(default, deserialize_with = "one_or_many")]
    pub(super) content: Vec<Block>,
    pub(super) tool_plan: Option<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub(super) tool_calls: Vec<ToolCall>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub(super) citations: Vec<Value>,
}

#[derive(Deserialize)]
pub(super) struct Block {
    pub(super) text: Option<String>,
    pub(super) thinking: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ToolCall {
    pub(super) id: Option<String>,
    pub(super) function: Option<Function>,
}

#[derive(Deserialize)]
pub(super) struct Function {
    pub(super) name: Option<String>,
    pub(super) arguments: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Spent {
    billed_units: Option<Value>,
    tokens: Option<Value>,
    cached_tokens: Option<Value>,
}

/// A piece of text with the probabilities of its tokens.
#[derive(Deserialize)]
pub(super) struct Logprob {
    text: Option<String>,
    logprobs: Option<Vec<f64>>,
}

fn one_or_many<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany<T> {
        Many(Vec<T>),
        One(T),
    }
    Ok(match Option::deserialize(deserializer)? {
        None => Vec::new(),
        Some(OneOrMany::Many(many)) => many,
        Some(OneOrMany::One(one)) => vec![one],
    })
}

impl Spent {
    /// The tokens that the model saw and wrote; what is billed differs from them and stays beside them.
    pub(super) fn usage(self) -> TokenUsage {
        let counts = self.tokens.as_ref().or(self.billed_units.as_ref());
        let count = |name: &str| tokens(counts.and_then(|counts| counts.get(name)));
        let mut usage = Usage::new(count("input_tokens"), count("output_tokens"));
        usage.cache_read = tokens(self.cached_tokens.as_ref());
        usage.reasoning = count("reasoning_tokens");
        let mut usage = TokenUsage::from(usage);
        if let Some(billed) = self.billed_units {
            usage.extra.insert("billed_units", billed);
        }
        usage
    }
}

impl Logprob {
    /// The piece as an entry of OpenAI's list. Several tokens in one piece are one entry: their texts are not
    /// told apart.
    pub(super) fn entry(&self) -> Value {
        let text = self.text.as_deref().unwrap_or_default();
        let logprob: f64 = self.logprobs.iter().flatten().sum();
        json!({ "token": text, "logprob": logprob, "bytes": text.as_bytes(), "top_logprobs": [] })
    }
}

/// The reason in the neutral form; an error for the reasons that are failures. `words` are Cohere's own on
/// what happened.
pub(super) fn finish_reason(reason: &str, words: Option<&str>) -> Result<FinishReason, Error> {
    let kind = match reason {
        "COMPLETE" | "STOP_SEQUENCE" => return Ok(FinishReason::Stop),
        "MAX_TOKENS" => return Ok(FinishReason::Length),
        "TOOL_CALL" => return Ok(FinishReason::ToolCalls),
        "TIMEOUT" => ErrorKind::Timeout(Timer::Upstream),
        "ERROR_TOXIC" => ErrorKind::ContentFiltered,
        "ERROR_LIMIT" => ErrorKind::ContextLengthExceeded,
        error if error.starts_with("ERROR") => ErrorKind::ServerError,
        other => return Ok(FinishReason::Other(other.to_ascii_lowercase())),
    };
    let words = words.map_or_else(|| format!("the provider ended the answer with {reason}"), str::to_owned);
    Err(Error::new(kind, words).with_code(reason))
}

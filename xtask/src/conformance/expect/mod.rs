//! What a recorded answer says, read independently of the adapters.

mod anthropic;
mod bedrock;
mod chat;
mod cohere;
mod embed;
mod events;
pub(crate) mod failure;
mod gemini;
mod ollama;
mod partial_args;
mod responses;
mod seen;

use anyhow::Result;
use serde_json::{Value, json};

use super::dialect::Wire;
use super::fixture::Fixture;
use super::json::Object;

pub(crate) use self::seen::{flaws, seen};

/// What must come of an exchange.
#[derive(Debug, Clone)]
pub(crate) enum Expected {
    Answer(Answer),
    Failure(failure::Failure),
    Vectors { vectors: Vec<Vec<f32>>, input: Option<u64> },
}

/// A chat answer in the neutral convention.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) choices: Vec<Choice>,
    pub(crate) usage: Option<Usage>,
    /// Texts that must be somewhere in the answer: signatures, encrypted reasoning, addresses of sources.
    pub(crate) kept: Vec<String>,
    /// Those of them that the provider wants back with the next turn.
    pub(crate) signed: Vec<String>,
    /// Reasoning comes in paragraphs, and how they are joined is free: it is compared without white space.
    pub(crate) reasoning_in_paragraphs: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    pub(crate) text: String,
    pub(crate) reasoning: String,
    pub(crate) refusal: String,
    pub(crate) finish: String,
    pub(crate) calls: Vec<ToolCall>,
    /// How many citations, where the recording says it without doubt.
    pub(crate) citations: Option<usize>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct ToolCall {
    /// Empty when the provider gave none: the adapter makes one up.
    pub(crate) id: String,
    pub(crate) name: String,
    /// JSON text, as it came.
    pub(crate) arguments: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usage {
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) cache_read: u64,
    pub(crate) cache_write: u64,
    /// The part of `cache_write` with the lifetime of an hour.
    pub(crate) cache_write_long: u64,
    pub(crate) reasoning: u64,
}

impl Usage {
    pub(crate) fn to_json(self) -> Value {
        json!({
            "input": self.input,
            "output": self.output,
            "cache_read": self.cache_read,
            "cache_write": self.cache_write,
            "cache_write_long": self.cache_write_long,
            "reasoning": self.reasoning,
        })
    }
}

impl Answer {
    /// The one choice of the providers that have no more.
    pub(crate) fn only(&mut self) -> &mut Choice {
        self.choice(0)
    }

    pub(crate) fn choice(&mut self, index: usize) -> &mut Choice {
        while self.choices.len() <= index {
            self.choices.push(Choice::default());
        }
        &mut self.choices[index]
    }

    /// Reasoning as it is compared.
    pub(crate) fn reasoning(&self, text: &str) -> String {
        if self.reasoning_in_paragraphs { text.split_whitespace().collect() } else { text.to_owned() }
    }

    /// Remembers a text that must not be lost.
    pub(crate) fn keep(&mut self, text: &str) {
        if !text.is_empty() {
            self.kept.push(text.to_owned());
        }
    }

    /// Remembers a text that must not be lost and must come back with the next turn.
    pub(crate) fn keep_signature(&mut self, text: &str) {
        self.keep(text);
        if !text.is_empty() {
            self.signed.push(text.to_owned());
        }
    }

    /// In the form that [`seen`] gives a neutral answer.
    pub(crate) fn to_json(&self) -> Value {
        let choices: Vec<Value> = self.choices.iter().map(|choice| choice.to_json(self)).collect();
        let mut answer = Object::new();
        answer.insert("choices".into(), choices.into());
        if !self.id.is_empty() {
            answer.insert("id".into(), self.id.as_str().into());
        }
        if !self.model.is_empty() {
            answer.insert("model".into(), self.model.as_str().into());
        }
        if let Some(usage) = self.usage {
            answer.insert("usage".into(), usage.to_json());
        }
        Value::Object(answer)
    }
}

impl Choice {
    fn to_json(&self, answer: &Answer) -> Value {
        let calls: Vec<Value> = self.calls.iter().map(ToolCall::to_json).collect();
        let mut choice = Object::new();
        choice.insert("text".into(), self.text.as_str().into());
        choice.insert("reasoning".into(), answer.reasoning(&self.reasoning).into());
        choice.insert("refusal".into(), self.refusal.as_str().into());
        choice.insert("finish".into(), self.finish.as_str().into());
        choice.insert("calls".into(), calls.into());
        if let Some(citations) = self.citations {
            choice.insert("citations".into(), citations.into());
        }
        Value::Object(choice)
    }
}

impl ToolCall {
    fn to_json(&self) -> Value {
        let mut call = Object::new();
        call.insert("name".into(), self.name.as_str().into());
        call.insert("arguments".into(), super::json::parsed(&self.arguments));
        if !self.id.is_empty() {
            call.insert("id".into(), self.id.as_str().into());
        }
        Value::Object(call)
    }
}

/// What must come of a recorded exchange.
pub(crate) fn expected(fixture: &Fixture, wire: Wire) -> Result<Expected> {
    if fixture.is_failure() {
        return Ok(Expected::Failure(failure::of(fixture)));
    }
    let response = &fixture.response;
    if wire.is_embedding() {
        let body = response.body.clone().unwrap_or_default();
        return embed::vectors(wire, &fixture.provider, &body);
    }
    let provider = fixture.provider.as_str();
    let events = events::of(response)?;
    Ok(match wire {
        Wire::OpenAiChat => Expected::Answer(chat::answer(provider, &fixture.api, &events)),
        Wire::Responses => Expected::Answer(responses::answer(&events)),
        Wire::Anthropic => Expected::Answer(anthropic::answer(&events)),
        Wire::Gemini => gemini::answer(&events, response.status),
        Wire::Bedrock => Expected::Answer(bedrock::answer(&events)),
        Wire::Cohere => Expected::Answer(cohere::answer(&events)),
        Wire::OllamaChat => Expected::Answer(ollama::answer(&events)),
        _ => anyhow::bail!("no reader for the answers of this interface"),
    })
}

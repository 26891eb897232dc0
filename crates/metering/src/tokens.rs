//! The tokens of a call, by what they are billed as.

use mainstay_provider_core::chat::TokenUsage;
use mainstay_provider_core::{Extra, Usage};
use serde_json::Value;

use crate::cost::Kind;

/// The tokens of a call: its [`Usage`], and the recordings in it, which the neutral usage does not tell apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tokens {
    /// The neutral usage.
    pub usage: Usage,
    /// Part of its input: recordings.
    pub audio_input: u64,
    /// Part of its output: speech.
    pub audio_output: u64,
}

impl Tokens {
    /// The same, with so many of the input tokens and so many of the output tokens being recordings.
    #[must_use]
    pub fn with_audio(mut self, input: u64, output: u64) -> Self {
        self.audio_input = input;
        self.audio_output = output;
        self
    }

    /// How many tokens are of this kind.
    ///
    /// A part that is larger than its whole counts as it is told: a provider that contradicts itself is taken at the
    /// word that costs more.
    pub(crate) fn of(&self, kind: Kind) -> u64 {
        let Usage { input, output, cache_read, cache_write, cache_write_long, reasoning, .. } = self.usage;
        match kind {
            Kind::Input => {
                let written = cache_write.max(cache_write_long);
                input.saturating_sub(cache_read).saturating_sub(written).saturating_sub(self.audio_input)
            }
            Kind::CacheRead => cache_read,
            Kind::CacheWrite => cache_write.saturating_sub(cache_write_long),
            Kind::CacheWriteLong => cache_write_long,
            Kind::AudioInput => self.audio_input,
            Kind::Output => output.saturating_sub(reasoning).saturating_sub(self.audio_output),
            Kind::Reasoning => reasoning,
            Kind::AudioOutput => self.audio_output,
        }
    }
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        Self { usage, audio_input: 0, audio_output: 0 }
    }
}

impl From<&Usage> for Tokens {
    fn from(usage: &Usage) -> Self {
        Self::from(*usage)
    }
}

/// With the recordings, which OpenAI counts in `audio_tokens`, and with what Cohere bills, which is less than what its
/// models read: it does not bill the pages of instructions that it writes before a conversation.
impl From<&TokenUsage> for Tokens {
    fn from(told: &TokenUsage) -> Self {
        let count = |value: Option<&Value>| value.and_then(Value::as_f64).map(|tokens| tokens as u64);
        let audio =
            |extra: Option<&Extra>| count(extra.and_then(|extra| extra.get("audio_tokens"))).unwrap_or(0);
        let input = audio(told.prompt_tokens_details.as_ref().map(|details| &details.extra));
        let output = audio(told.completion_tokens_details.as_ref().map(|details| &details.extra));
        let mut usage = told.to_usage();
        if let Some(billed) = told.extra.get("billed_units") {
            usage.input = count(billed.get("input_tokens")).unwrap_or(usage.input);
            usage.output = count(billed.get("output_tokens")).unwrap_or(usage.output);
            usage.cache_read = usage.cache_read.min(usage.input);
            usage.reasoning = usage.reasoning.min(usage.output);
        }
        Self::from(usage).with_audio(input, output)
    }
}

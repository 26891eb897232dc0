//! What is known at its end of what an answer used.

use mainstay_metering::{Meter, Tokens};
use mainstay_provider_core::{ChatResponse, End, Usage, Wire};

use crate::row::RowStatus;
use crate::spending::LegEnd;
use crate::ticket::Asked;

/// What is known of what an answer used: as the provider told it, and what was delivered where it told too little.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) tokens: Option<Tokens>,
    pub(crate) text: Option<String>,
}

impl Told {
    /// A whole answer.
    pub(crate) fn by_whole(answer: &Wire<ChatResponse>) -> Self {
        // A plain one is not taken apart: it has no recordings and nothing that its neutral usage does not tell.
        let tokens = match answer.as_plain() {
            Some(_) => answer.usage().map(Tokens::from),
            None => answer.usage.as_ref().map(Tokens::from),
        };
        let text = if tokens.is_none() { Some(written(answer)) } else { None };
        Self { tokens, text }
    }

    /// The end of a stream, of which [`Keep::Text`](mainstay_provider_core::Keep::Text) was asked.
    pub(crate) fn at(end: &End) -> Self {
        let written = end.written.as_ref();
        let told = written.and_then(|written| written.usage.as_ref()).map(Tokens::from);
        let tokens = told.or_else(|| end.usage.map(Tokens::from));
        // What a provider tells at the beginning of an answer is not the whole of one that broke off.
        let is_all = end.is_complete() && tokens.is_some();
        let text = if is_all { None } else { written.map(|written| written.text.clone()) };
        Self { tokens, text }
    }

    /// What was used: input and output by the provider's word, or else as counted here (M3, M5).
    pub(crate) fn end(
        &self,
        meter: &Meter,
        asked: &Asked,
        status: RowStatus,
        provider: &str,
        model: &str,
    ) -> LegEnd {
        let count = |text: &String| meter.count_text(provider, model, text).tokens();
        match (self.tokens, &self.text) {
            (Some(tokens), None) => LegEnd { status, tokens, estimated: false },
            (Some(mut tokens), Some(text)) => {
                tokens.usage.output = tokens.usage.output.max(count(text));
                LegEnd { status, tokens, estimated: true }
            }
            (None, text) => {
                let input = asked.input(meter, provider, model);
                let usage = Usage::new(input, text.as_ref().map_or(0, count));
                LegEnd { status, tokens: usage.into(), estimated: true }
            }
        }
    }
}

/// All that was written: texts, thoughts and arguments, of all choices.
fn written(answer: &ChatResponse) -> String {
    let mut text = String::new();
    for message in answer.choices.iter().map(|choice| &*choice.message) {
        text.push_str(&message.text());
        text.push_str(message.reasoning_content.as_deref().unwrap_or_default());
        text.push_str(message.refusal.as_deref().unwrap_or_default());
        for function in message.tool_calls.iter().filter_map(|call| call.function.as_ref()) {
            text.push_str(&function.name);
            text.push_str(&function.arguments);
        }
    }
    text
}

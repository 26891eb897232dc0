//! Which calls a semantic cache may look at.

use std::fmt;
use std::sync::Arc;

use mainstay_provider_core::Call;
use mainstay_provider_core::chat::{Content, Message, Part, Role};

use crate::config::Limits;
use crate::text::normalise;

/// Why a call is none for this cache, or only for its exact texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Skip {
    /// The caller said so.
    Directive,
    /// There are tools on offer.
    Tools,
    /// More than one answer is asked for, or token probabilities.
    Choices,
    /// The caller asks for variety: a temperature above the limit.
    Temperature,
    /// The last turn is not the user's, or says nothing.
    NoQuestion,
    /// The last turn has an image, a file or another attachment.
    Attachment,
    /// The answer depends on when it is asked: `today`, `latest`.
    Time,
}

impl Skip {
    /// Its name in records, events and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Directive => "directive",
            Self::Tools => "tools",
            Self::Choices => "choices",
            Self::Temperature => "temperature",
            Self::NoQuestion => "no_question",
            Self::Attachment => "attachment",
            Self::Time => "time",
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is looked for in the cache.
#[derive(Clone, PartialEq, Eq)]
pub struct Question {
    /// The user's last turn, normalised.
    pub text: Arc<str>,
    /// Whether other wordings of it may be looked for. Not where a turn is too short to say what it means without its
    /// letters ("yes, that one"), so long that the embedder would cut it, or mostly code.
    pub is_embedded: bool,
}

/// The text is the caller's data: only its length is shown.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("bytes", &self.text.len())
            .field("is_embedded", &self.is_embedded)
            .finish()
    }
}

/// What of a call is looked for, or why nothing is.
pub(crate) fn question(call: &Call, limits: &Limits) -> Result<Question, Skip> {
    let request = call.request();
    let forced = call.context().cache.force;
    if !request.tools.is_empty() && !limits.tools {
        return Err(Skip::Tools);
    }
    if request.n.is_some_and(|n| n != 1) || request.logprobs == Some(true) {
        return Err(Skip::Choices);
    }
    if !forced && request.temperature.is_some_and(|temperature| temperature > limits.max_temperature) {
        return Err(Skip::Temperature);
    }
    let last = request.messages.last().ok_or(Skip::NoQuestion)?;
    let text = text_of(last)?;
    if text.is_empty() {
        return Err(Skip::NoQuestion);
    }
    if !forced && !limits.time_words && asks_about_now(&text) {
        return Err(Skip::Time);
    }
    let is_embedded = is_worth_embedding(&text, limits);
    Ok(Question { text, is_embedded })
}

fn text_of(message: &Message) -> Result<Arc<str>, Skip> {
    if message.role != Role::User || !message.tool_calls.is_empty() || message.tool_call_id.is_some() {
        return Err(Skip::NoQuestion);
    }
    match &message.content {
        None => Err(Skip::NoQuestion),
        Some(Content::Text(text)) => Ok(normalise(text)),
        Some(Content::Parts(parts)) if parts.iter().all(|part| matches!(part, Part::Text(_))) => {
            Ok(normalise(&message.text()))
        }
        Some(Content::Parts(_)) => Err(Skip::Attachment),
    }
}

pub(crate) fn is_worth_embedding(text: &str, limits: &Limits) -> bool {
    // A word is at most so many letters on average; what is longer than the window is found by the count below.
    if text.len() > limits.max_words * 32 {
        return false;
    }
    let words = text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).count();
    words >= limits.min_words && words <= limits.max_words && !text.contains("```")
}

/// Whether a sentence that asks, and not one that tells, has a word for the present moment.
pub(crate) fn asks_about_now(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(['.', '?', '!', '\n']).map_or(rest.len(), |at| at + 1);
        let (sentence, after) = rest.split_at(end);
        // A sentence that ends in a full stop before another one tells of a circumstance ("I saw my doctor today.").
        let tells = sentence.ends_with('.') && !after.trim().is_empty();
        if !tells && has_time_word(sentence) {
            return true;
        }
        rest = after;
    }
    false
}

fn has_time_word(sentence: &str) -> bool {
    let mut before = String::new();
    let mut tells_of_oneself = false;
    for word in sentence.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let word = word.to_lowercase();
        tells_of_oneself |= matches!(word.as_str(), "i" | "my" | "me");
        // "I paid yesterday and it has not arrived": when it was is a circumstance.
        if TIME_WORDS.contains(&word.as_str()) || word == "yesterday" && !tells_of_oneself {
            return true;
        }
        let with = |words: &[&str]| words.contains(&word.as_str());
        let found = match before.as_str() {
            "right" => word == "now",
            "the" => word == "forecast",
            "this" => with(&["week", "weekend", "morning", "afternoon", "evening"]),
            "stock" | "share" | "exchange" => with(&["price", "prices", "rate", "rates"]),
            "weather" => with(&["like", "forecast", "in"]),
            "breaking" => word == "news",
            "what" => word == "time" && sentence.len() < 24,
            _ => false,
        };
        if found {
            return true;
        }
        before = word;
    }
    false
}

const TIME_WORDS: &[&str] = &["today", "todays", "tonight", "tomorrow", "latest"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_about_now_is_told_from_one_that_mentions_a_day() {
        for asks in [
            "What is the weather like in Paris?",
            "What happened today?",
            "What's the latest version of Rust?",
            "What time is it?",
            "Who won yesterday?",
            "Which shops are open right now?",
            "What is the stock price of Acme?",
        ] {
            assert!(asks_about_now(asks), "{asks}");
        }
        for does_not in [
            "I saw my doctor yesterday. Can I drink coffee with these pills?",
            "What is the capital of France?",
            "What happens now that my card has expired?",
            // The answer of yesterday still holds: what is kept is kept for a day.
            "who is the current president of France",
            "How do I live with a cat?",
            "I bought it yesterday, can I still return it?",
        ] {
            assert!(!asks_about_now(does_not), "{does_not}");
        }
    }
}

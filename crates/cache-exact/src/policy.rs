//! Which calls are answered from a cache, and which answers are kept.

use std::fmt;

use mainstay_provider_core::chat::Role;
use mainstay_provider_core::{Call, ReplyHead};

/// Which calls are answered from the cache, and which answers are kept. [`StandardPolicy`] is the usual one.
///
/// A call may override it with its [`CacheDirective`](mainstay_provider_core::CacheDirective). What no policy can allow: an
/// error, a part, what a filter cut off and a refusal are never kept.
pub trait CachePolicy: Send + Sync + 'static {
    /// Whether the cache has anything to do with a call, and why not.
    fn judge(&self, call: &Call) -> Result<(), NotCached>;

    /// Whether an answer that has begun with this head is kept when it is complete.
    fn keeps(&self, _call: &Call, _head: &ReplyHead) -> bool {
        true
    }

    /// Whether an answer that calls tools is kept. A call whose directive forces the cache has it kept in any case.
    fn keeps_tool_calls(&self) -> bool {
        false
    }
}

/// Why the cache has nothing to do with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotCached {
    /// Its temperature is not 0: the caller wants another answer each time, or did not say.
    Random,
    /// It offers tools, or searches.
    Tools,
    /// It asks for several answers.
    SeveralAnswers,
    /// It asks about the present, and the answer will be another one soon.
    TimeSensitive,
    /// A policy of the user says so.
    Other,
}

impl NotCached {
    pub(crate) const ALL: [Self; 5] =
        [Self::Random, Self::Tools, Self::SeveralAnswers, Self::TimeSensitive, Self::Other];

    /// The reason as it stands in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Tools => "tools",
            Self::SeveralAnswers => "several_answers",
            Self::TimeSensitive => "time_sensitive",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for NotCached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Deterministic calls only, without tools, for one answer, not about the present (S4.3). Each can be allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StandardPolicy {
    /// Calls with any temperature, or none given, are cached; else only those with temperature 0.
    pub any_temperature: bool,
    /// Calls that offer tools are cached, and answers that call them.
    pub tools: bool,
    /// Calls that ask for several answers are cached.
    pub several_answers: bool,
    /// Short questions about the present ("today", "latest") are cached.
    pub time_sensitive: bool,
}

impl StandardPolicy {
    /// Deterministic calls only, without tools, for one answer, not about the present.
    pub fn new() -> Self {
        Self::default()
    }

    /// Caches calls with any temperature.
    #[must_use]
    pub fn any_temperature(mut self) -> Self {
        self.any_temperature = true;
        self
    }

    /// Caches calls that offer tools, and answers that call them.
    #[must_use]
    pub fn tools(mut self) -> Self {
        self.tools = true;
        self
    }

    /// Caches calls that ask for several answers.
    #[must_use]
    pub fn several_answers(mut self) -> Self {
        self.several_answers = true;
        self
    }

    /// Caches questions about the present.
    #[must_use]
    pub fn time_sensitive(mut self) -> Self {
        self.time_sensitive = true;
        self
    }
}

impl CachePolicy for StandardPolicy {
    fn judge(&self, call: &Call) -> Result<(), NotCached> {
        let request = call.request();
        let allow = |allowed: bool, why: NotCached| if allowed { Ok(()) } else { Err(why) };
        allow(self.any_temperature || request.temperature == Some(0.0), NotCached::Random)?;
        let tools = !request.tools.is_empty()
            || TOOL_MEMBERS.iter().any(|name| request.extra.get(name).is_some_and(|value| !value.is_null()));
        allow(self.tools || !tools, NotCached::Tools)?;
        allow(self.several_answers || request.n.is_none_or(|n| n <= 1), NotCached::SeveralAnswers)?;
        allow(self.time_sensitive || !asks_about_the_present(call), NotCached::TimeSensitive)
    }

    fn keeps_tool_calls(&self) -> bool {
        self.tools
    }
}

/// Tools under names that the contract has no field for: OpenAI's before it had tools, and its search.
const TOOL_MEMBERS: [&str; 2] = ["functions", "web_search_options"];

/// In a longer text such a word is part of what is talked about; a question about the present is short.
const SHORT: usize = 240;

/// Words of a question whose answer is another one tomorrow.
const PRESENT: [&str; 17] = [
    "today",
    "todays",
    "tonight",
    "tomorrow",
    "yesterday",
    "now",
    "nowadays",
    "current",
    "currently",
    "latest",
    "newest",
    "recent",
    "recently",
    "upcoming",
    "breaking",
    "news",
    "weather",
];

fn asks_about_the_present(call: &Call) -> bool {
    let last = call.request().messages.iter().rev().find(|message| message.role == Role::User);
    let Some(last) = last else { return false };
    let text = last.text();
    text.len() <= SHORT
        && text
            .split(|letter: char| !letter.is_alphanumeric())
            .any(|word| word.len() >= 3 && PRESENT.iter().any(|present| present.eq_ignore_ascii_case(word)))
}

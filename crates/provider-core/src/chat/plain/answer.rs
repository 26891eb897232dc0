//! A whole answer.

use super::{One, Text, plain_object};
use crate::chat::FinishReason;
use crate::usage::Usage;

/// What a plain answer holds: the text of one choice that came to its end, and the tokens used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainAnswer {
    /// Whether its length cut it off; else it was done.
    pub cut_off: bool,
    /// The tokens used, if it says so.
    pub usage: Option<Usage>,
}

impl PlainAnswer {
    /// Reads an answer; `None` when it is anything but plain, or is not sound.
    ///
    /// Whatever is read here is also read by [`ChatResponse`](crate::ChatResponse)'s own reader: only members whose form
    /// was checked are let through.
    pub fn read(answer: &[u8]) -> Option<Self> {
        let answer = std::str::from_utf8(answer).ok()?;
        let answer = serde_json::from_str::<Answer>(answer).ok().filter(|answer| answer.has_model)?;
        Some(Self { cut_off: answer.choice?.cut_off?, usage: answer.usage })
    }

    pub(crate) fn finish_reason(&self) -> &'static FinishReason {
        if self.cut_off { &FinishReason::Length } else { &FinishReason::Stop }
    }
}

#[derive(Default)]
struct Answer {
    has_model: bool,
    choice: Option<Choice>,
    usage: Option<Usage>,
}

plain_object!(Answer, answer, map, {
    "id" | "system_fingerprint" | "service_tier" => {
        map.next_value::<Text>()?;
    },
    "object" => {
        map.next_value::<Completion>()?;
    },
    "model" => answer.has_model = map.next_value::<Text>()?.0,
    "created" => {
        map.next_value::<u64>()?;
    },
    "choices" => answer.choice = Some(map.next_value::<One<Choice>>()?.0),
    "usage" => answer.usage = map.next_value::<Option<Figures>>()?.map(|figures| figures.0),
});

#[derive(Default)]
struct Choice {
    cut_off: Option<bool>,
}

plain_object!(Choice, choice, map, {
    "index" => {
        map.next_value::<u32>()?;
    },
    "message" => {
        map.next_value::<Message>()?;
    },
    "finish_reason" => choice.cut_off = Some(map.next_value::<Reason>()?.0),
    "logprobs" => map.next_value::<()>()?,
});

#[derive(Default)]
struct Message;

plain_object!(Message, _message, map, {
    "role" => {
        map.next_value::<Assistant>()?;
    },
    "content" => {
        map.next_value::<Text>()?;
    },
    "refusal" | "audio" | "tool_calls" | "function_call" => map.next_value::<()>()?,
    "annotations" => {
        map.next_value::<[(); 0]>()?;
    },
});

#[derive(Default)]
struct Figures(Usage);

plain_object!(Figures, figures, map, {
    "prompt_tokens" => figures.0.input = map.next_value()?,
    "completion_tokens" => figures.0.output = map.next_value()?,
    "total_tokens" => {
        map.next_value::<u64>()?;
    },
    "prompt_tokens_details" => {
        let details = map.next_value::<Option<Details>>()?.unwrap_or_default();
        figures.0.cache_read = details.cached;
        figures.0.cache_write = details.cache_write;
        figures.0.cache_write_long = details.cache_write_long;
    },
    "completion_tokens_details" => {
        figures.0.reasoning = map.next_value::<Option<Details>>()?.unwrap_or_default().reasoning;
    },
});

#[derive(Default)]
struct Details {
    cached: u64,
    cache_write: u64,
    cache_write_long: u64,
    reasoning: u64,
}

plain_object!(Details, details, map, {
    "cached_tokens" => details.cached = map.next_value()?,
    "cache_write_tokens" => details.cache_write = map.next_value()?,
    "cache_write_1h_tokens" => details.cache_write_long = map.next_value()?,
    "reasoning_tokens" => details.reasoning = map.next_value()?,
    "audio_tokens" | "accepted_prediction_tokens" | "rejected_prediction_tokens" => {
        map.next_value::<u64>()?;
    },
});

/// Reads one of a few words; any other says that the answer is not plain.
macro_rules! word {
    ($type:ident, $($word:literal => $value:expr),+) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Word;
                impl serde::de::Visitor<'_> for Word {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a known word")
                    }

                    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<$type, E> {
                        match word {
                            $($word => Ok($value),)+
                            _ => Err(E::custom("not plain")),
                        }
                    }
                }
                deserializer.deserialize_str(Word)
            }
        }
    };
}

struct Completion;
word!(Completion, "chat.completion" => Completion);

struct Assistant;
word!(Assistant, "assistant" => Assistant);

/// Whether the answer was cut off.
struct Reason(bool);
word!(Reason, "stop" => Reason(false), "length" => Reason(true));

#[cfg(test)]
mod tests {
    use super::super::super::ChatResponse;
    use super::*;

    const PLAIN: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hé\"llo","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":3}},"service_tier":"default","system_fingerprint":null}"#;

    #[test]
    fn a_plain_answer_is_known_for_one_and_is_read_in_full_alike() {
        let plain = PlainAnswer::read(PLAIN.as_bytes()).unwrap();
        let full: ChatResponse = serde_json::from_str(PLAIN).unwrap();
        assert_eq!(plain.usage, full.usage());
        assert_eq!(Some(plain.finish_reason()), full.finish_reason());
        let cut = PLAIN.replace("\"stop\"", "\"length\"");
        assert!(PlainAnswer::read(cut.as_bytes()).unwrap().cut_off);
        let without = PLAIN.replace(
            "\"prompt_tokens_details\":{\"cached_tokens\":4,\"audio_tokens\":0}",
            "\"prompt_tokens_details\":null",
        );
        assert_ne!(without, PLAIN);
        assert_eq!(PlainAnswer::read(without.as_bytes()).unwrap().usage.unwrap().cache_read, 0);
        assert!(serde_json::from_str::<ChatResponse>(&without).is_ok());
    }

    #[test]
    fn anything_else_is_for_the_full_reader() {
        for (from, to) in [
            ("\"stop\"", "\"eos\""),
            ("\"stop\"", "null"),
            ("\"model\":\"m\"", "\"model\":\"\""),
            ("\"model\":\"m\",", ""),
            ("chat.completion", "error"),
            ("\"role\":\"assistant\"", "\"role\":null"),
            ("\"refusal\":null", "\"refusal\":\"no\""),
            ("\"refusal\":null", "\"reasoning\":\"x\""),
            ("\"refusal\":null", "\"tool_calls\":[]"),
            ("\"annotations\":[]", "\"annotations\":[{}]"),
            ("\"content\":\"Hé\\\"llo\"", "\"content\":[]"),
            ("\"logprobs\":null", "\"logprobs\":{}"),
            ("\"cached_tokens\":4", "\"cached_tokens\":-4"),
            ("\"cached_tokens\":4", "\"cached\":4"),
            ("\"total_tokens\":16", "\"total_tokens\":16,\"prompt_cache_hit_tokens\":4"),
            ("\"total_tokens\":16", "\"total_tokens\":16,\"total_tokens\":16"),
            ("\"created\":1", "\"created\":1.5"),
            ("\"service_tier\":\"default\"", "\"citations\":[]"),
            ("}],\"usage\"", "},{}],\"usage\""),
        ] {
            let answer = PLAIN.replacen(from, to, 1);
            assert_ne!(answer, PLAIN, "{from}");
            assert_eq!(PlainAnswer::read(answer.as_bytes()), None, "{answer}");
        }
    }
}

//! A whole answer.

use super::scan::{self, Form, Note, member};
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
        let notes = scan::read(answer, &ANSWER)?;
        let is_sound = notes.get(Note::Model) == Some(1) && u32::try_from(notes.count(Note::Index)).is_ok();
        if !is_sound {
            return None;
        }
        let usage = notes.get(Note::Usage).map(|_| Usage {
            input: notes.count(Note::Input),
            output: notes.count(Note::Output),
            cache_read: notes.count(Note::CacheRead),
            cache_write: notes.count(Note::CacheWrite),
            cache_write_long: notes.count(Note::CacheWriteLong),
            reasoning: notes.count(Note::Reasoning),
        });
        Some(Self { cut_off: notes.get(Note::Finish)? == CUT_OFF, usage })
    }

    pub(crate) fn finish_reason(&self) -> &'static FinishReason {
        if self.cut_off { &FinishReason::Length } else { &FinishReason::Stop }
    }
}

static ANSWER: [(&str, Form); 8] = [
    member!("id", Form::Text(Note::Nothing)),
    member!("object", Form::Word(&["chat.completion"], Note::Nothing)),
    member!("created", Form::Count(Note::Nothing)),
    member!("model", Form::Text(Note::Model)),
    member!("choices", Form::OnlyOne(&CHOICE, Note::Nothing)),
    member!("usage", Form::ObjectOrNull(&USAGE, Note::Usage)),
    member!("system_fingerprint", Form::Text(Note::Nothing)),
    member!("service_tier", Form::Text(Note::Nothing)),
];

/// Places in the list of finish reasons.
const CUT_OFF: u64 = 1;

static CHOICE: [(&str, Form); 4] = [
    member!("index", Form::Count(Note::Index)),
    member!("message", Form::Object(&MESSAGE)),
    member!("logprobs", Form::Null),
    member!("finish_reason", Form::Word(&["stop", "length"], Note::Finish)),
];

static MESSAGE: [(&str, Form); 7] = [
    member!("role", Form::Word(&["assistant"], Note::Nothing)),
    member!("content", Form::Text(Note::Text)),
    member!("refusal", Form::Null),
    member!("annotations", Form::EmptyList),
    member!("tool_calls", Form::Null),
    member!("function_call", Form::Null),
    member!("audio", Form::Null),
];

static USAGE: [(&str, Form); 5] = [
    member!("prompt_tokens", Form::Count(Note::Input)),
    member!("completion_tokens", Form::Count(Note::Output)),
    member!("total_tokens", Form::Count(Note::Nothing)),
    member!("prompt_tokens_details", Form::ObjectOrNull(&INPUT_DETAILS, Note::Nothing)),
    member!("completion_tokens_details", Form::ObjectOrNull(&OUTPUT_DETAILS, Note::Nothing)),
];

static INPUT_DETAILS: [(&str, Form); 4] = [
    member!("cached_tokens", Form::Count(Note::CacheRead)),
    member!("cache_write_tokens", Form::Count(Note::CacheWrite)),
    member!("cache_write_1h_tokens", Form::Count(Note::CacheWriteLong)),
    member!("audio_tokens", Form::Count(Note::Nothing)),
];

static OUTPUT_DETAILS: [(&str, Form); 4] = [
    member!("reasoning_tokens", Form::Count(Note::Reasoning)),
    member!("audio_tokens", Form::Count(Note::Nothing)),
    member!("accepted_prediction_tokens", Form::Count(Note::Nothing)),
    member!("rejected_prediction_tokens", Form::Count(Note::Nothing)),
];

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

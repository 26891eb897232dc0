//! An event of a stream.

use super::scan::{self, Form, Note, member};

/// What a plain text event holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainText {
    /// The number of the choice.
    pub index: u32,
    /// Whether there is any text in it; the first event often has a role alone.
    pub has_text: bool,
}

impl PlainText {
    /// Reads an event; `None` when it is anything but plain text, or is not sound.
    ///
    /// Whatever is read here is also read by [`ChatChunk`](crate::ChatChunk)'s own reader: only members whose form
    /// was checked are let through.
    pub fn read(event: &[u8]) -> Option<Self> {
        let notes = scan::read(event, &EVENT)?;
        notes.get(Note::Choice)?;
        let index = u32::try_from(notes.count(Note::Index)).ok()?;
        Some(Self { index, has_text: notes.get(Note::Text) == Some(1) })
    }
}

static EVENT: [(&str, Form); 9] = [
    member!("id", Form::Text(Note::Nothing)),
    member!("object", Form::Text(Note::Nothing)),
    member!("created", Form::Count(Note::Nothing)),
    member!("model", Form::Text(Note::Nothing)),
    member!("system_fingerprint", Form::Text(Note::Nothing)),
    member!("service_tier", Form::Text(Note::Nothing)),
    member!("obfuscation", Form::Text(Note::Nothing)),
    member!("choices", Form::OnlyOne(&CHOICE, Note::Choice)),
    member!("usage", Form::Null),
];

static CHOICE: [(&str, Form); 4] = [
    member!("index", Form::Count(Note::Index)),
    member!("delta", Form::Object(&DELTA)),
    member!("finish_reason", Form::Null),
    member!("logprobs", Form::Null),
];

static DELTA: [(&str, Form); 3] = [
    member!("role", Form::Text(Note::Nothing)),
    member!("content", Form::Text(Note::Text)),
    member!("refusal", Form::Null),
];

#[cfg(test)]
mod tests {
    use super::super::super::ChatChunk;
    use super::*;

    const PLAIN: &str = r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":null,"choices":[{"index":1,"delta":{"role":"assistant","content":"Hé\"llo"},"logprobs":null,"finish_reason":null}],"usage":null}"#;

    #[test]
    fn a_plain_text_event_is_known_for_one() {
        assert_eq!(PlainText::read(PLAIN.as_bytes()), Some(PlainText { index: 1, has_text: true }));
        let empty = PLAIN.replace("Hé\\\"llo", "");
        assert_eq!(PlainText::read(empty.as_bytes()), Some(PlainText { index: 1, has_text: false }));
    }

    #[test]
    fn anything_else_is_for_the_full_reader() {
        for (from, to) in [
            ("\"finish_reason\":null", "\"finish_reason\":\"stop\""),
            ("\"usage\":null", "\"usage\":{\"prompt_tokens\":1}"),
            ("\"usage\":null", "\"error\":{\"message\":\"x\"}"),
            ("\"role\":\"assistant\"", "\"tool_calls\":[]"),
            ("\"role\":\"assistant\"", "\"reasoning\":\"x\""),
            ("\"content\":\"Hé\\\"llo\"", "\"content\":[]"),
            ("\"index\":1", "\"index\":-1"),
            ("\"index\":1", "\"index\":1,\"index\":1"),
            ("\"role\":\"assistant\"", "\"content\":\"twice\""),
            ("\"logprobs\":null", "\"logprobs\":{}"),
            ("}],\"usage\"", "},{}],\"usage\""),
            ("\"created\":1", "\"created\":\"1\""),
            ("}],\"usage\":null}", "}"),
        ] {
            let event = PLAIN.replacen(from, to, 1);
            assert_ne!(event, PLAIN, "{from}");
            assert_eq!(PlainText::read(event.as_bytes()), None, "{event}");
        }
    }

    #[test]
    fn whatever_is_plain_is_also_read_in_full() {
        let chunk: ChatChunk = serde_json::from_str(PLAIN).unwrap();
        assert_eq!(chunk.choices[0].delta.content.as_deref(), Some("Hé\"llo"));
        // A role or an id of null is plain; the full reader takes it too.
        let nulls =
            PLAIN.replace("\"id\":\"c\"", "\"id\":null").replace("\"role\":\"assistant\"", "\"role\":null");
        assert!(PlainText::read(nulls.as_bytes()).is_some());
        assert!(serde_json::from_str::<ChatChunk>(&nulls).is_ok());
    }
}

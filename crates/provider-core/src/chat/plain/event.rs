//! An event of a stream.

use super::{One, Text, plain_object};

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
        // One check of the whole event is quicker than one for each text in it.
        let event = std::str::from_utf8(event).ok()?;
        let choice = serde_json::from_str::<Event>(event).ok()?.choice?;
        Some(Self { index: choice.index, has_text: choice.delta.has_text })
    }
}

#[derive(Default)]
struct Event {
    choice: Option<Choice>,
}

plain_object!(Event, event, map, {
    "id" | "object" | "model" | "system_fingerprint" | "service_tier" | "obfuscation" => {
        map.next_value::<Text>()?;
    },
    "created" => {
        map.next_value::<u64>()?;
    },
    "usage" => map.next_value::<()>()?,
    "choices" => event.choice = Some(map.next_value::<One<Choice>>()?.0),
});

#[derive(Default)]
struct Choice {
    index: u32,
    delta: Delta,
}

plain_object!(Choice, choice, map, {
    "index" => choice.index = map.next_value()?,
    "delta" => choice.delta = map.next_value()?,
    "finish_reason" | "logprobs" => map.next_value::<()>()?,
});

#[derive(Default)]
struct Delta {
    has_text: bool,
}

plain_object!(Delta, delta, map, {
    "content" => delta.has_text = map.next_value::<Text>()?.0,
    "role" => {
        map.next_value::<Text>()?;
    },
    "refusal" => map.next_value::<()>()?,
});

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

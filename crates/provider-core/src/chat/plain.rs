//! The commonest event of a stream by far: some text for one choice, and nothing else.
//!
//! A gateway passes such an event on as it came. To know that it may, it must know that the event is sound and what it
//! holds; it need not take the event apart. [`PlainText::read`] finds that out without an allocation; an event that
//! is anything else is for the full reader.

use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::lossless::Name;

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
    /// Whatever is read here is also read by [`ChatChunk`](super::ChatChunk)'s own reader: only members whose form
    /// was checked are let through.
    pub fn read(event: &[u8]) -> Option<Self> {
        // One check of the whole event is quicker than one for each text in it.
        let event = std::str::from_utf8(event).ok()?;
        let choice = serde_json::from_str::<Event>(event).ok()?.choice?;
        Some(Self { index: choice.index, has_text: choice.delta.has_text })
    }
}

/// Reads an object whose members are all listed, each once; anything else says that the event is not plain.
macro_rules! plain_object {
    ($type:ident, $read:ident, $map:ident, { $($($name:literal)|+ => $member:expr,)* }) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object;
                impl<'de> Visitor<'de> for Object {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut $map: A) -> Result<$type, A::Error> {
                        const NAMES: &[&str] = &[$($($name),+),*];
                        let mut $read = $type::default();
                        let mut seen = 0_u32;
                        while let Some(name) = $map.next_key::<Name<'de>>()? {
                            let at = NAMES.iter().position(|known| *known == name.as_str());
                            let bit = at.map_or(0, |at| 1 << at);
                            if bit == 0 || seen & bit != 0 {
                                return Err(A::Error::custom("not plain"));
                            }
                            seen |= bit;
                            match name.as_str() {
                                $($($name)|+ => $member,)*
                                _ => {}
                            }
                        }
                        Ok($read)
                    }
                }
                deserializer.deserialize_map(Object)
            }
        }
    };
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
    "choices" => event.choice = Some(map.next_value::<One>()?.0),
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

/// A list of exactly one choice.
struct One(Choice);

impl<'de> Deserialize<'de> for One {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = One;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one choice")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<One, A::Error> {
                let first = list.next_element()?.ok_or_else(|| A::Error::custom("not plain"))?;
                match list.next_element::<IgnoredAny>()? {
                    None => Ok(One(first)),
                    Some(_) => Err(A::Error::custom("not plain")),
                }
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// A text or null; whether it has anything in it.
struct Text(bool);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrNull;
        impl Visitor<'_> for TextOrNull {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or null")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(!text.is_empty()))
            }

            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text(false))
            }
        }
        deserializer.deserialize_any(TextOrNull)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ChatChunk;
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

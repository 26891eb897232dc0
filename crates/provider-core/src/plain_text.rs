//! The text of an event that is known to be plain, without taking the event apart.

use std::fmt;

use memchr::{memchr2, memmem};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Visitor};

/// Appends the text of a plain event; `false`, with nothing appended, when it is written in an unusual way. `near` is where
/// the text of the event before stood, most often the same place.
pub(crate) fn push(event: &[u8], near: &mut usize, text: &mut String) -> bool {
    // In a plain event this stands nowhere but before the text: inside of a text its quotes would be escaped, and no other
    // member is called so.
    const MEMBER: &[u8] = b"\"content\":";
    if !event.get(*near..).is_some_and(|rest| rest.starts_with(MEMBER)) {
        let Some(found) = memmem::find(event, MEMBER) else { return false };
        *near = found;
    }
    let value = &event[*near + MEMBER.len()..];
    if let Some(inside) = value.strip_prefix(b"\"")
        && let Some(end) = memchr2(b'"', b'\\', inside)
        && inside[end] == b'"'
        && let Ok(inside) = std::str::from_utf8(&inside[..end])
    {
        text.push_str(inside);
        return true;
    }
    let length = text.len();
    let read = Append(text).deserialize(&mut serde_json::Deserializer::from_slice(value)).is_ok();
    if !read {
        text.truncate(length);
    }
    read
}

/// Reads a text to the end of another, without a copy of its own.
struct Append<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Append<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(event: &str) -> Option<String> {
        let mut text = "so far ".to_owned();
        let pushed = push(event.as_bytes(), &mut 0, &mut text);
        assert!(pushed || text == "so far ");
        // Wherever the last text stood, the result is the same.
        for mut near in 0..event.len() + 1 {
            let mut again = "so far ".to_owned();
            assert_eq!((push(event.as_bytes(), &mut near, &mut again), &again), (pushed, &text));
        }
        pushed.then(|| text["so far ".len()..].to_owned())
    }

    #[test]
    fn a_text_is_appended_with_its_escapes_undone() {
        assert_eq!(pushed(r#"{"delta":{"content":"Hé llo"}}"#).as_deref(), Some("Hé llo"));
        assert_eq!(pushed(r#"{"delta":{"content": "a\n\"b\u00e9"}}"#).as_deref(), Some("a\n\"bé"));
        assert_eq!(pushed(r#"{"id":"\"content\":\"x\"","delta":{"content":"y"}}"#).as_deref(), Some("y"));
    }

    #[test]
    fn what_is_written_in_an_unusual_way_is_for_the_full_reader() {
        assert_eq!(pushed(r#"{"delta":{"cont\u0065nt":"x"}}"#), None);
        assert_eq!(pushed(r#"{"delta":{"content" :"x"}}"#), None);
        assert_eq!(pushed(r#"{"delta":{"content":null}}"#), None);
    }
}

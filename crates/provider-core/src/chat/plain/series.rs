//! The events of one stream: most often each differs from the one before it in its text alone.

use memchr::memmem;

use super::PlainText;
use super::scan::length_of_text;

/// Reads the plain events of one stream, and remembers what stands around the text of the last one: an event that has
/// the same around its own text needs no more than a look at that text.
#[derive(Debug, Default)]
pub struct PlainSeries {
    last: Option<Around>,
}

/// What stands before and after the text of an event that was read in full.
#[derive(Debug)]
struct Around {
    before: Box<[u8]>,
    after: Box<[u8]>,
    index: u32,
}

impl PlainSeries {
    /// As [`PlainText::read`].
    pub fn read(&mut self, event: &[u8]) -> Option<PlainText> {
        if let Some(known) = self.last.as_ref().and_then(|last| last.read(event)) {
            return Some(known);
        }
        let plain = PlainText::read(event)?;
        self.last = Around::the_text_of(event, plain.index);
        Some(plain)
    }
}

impl Around {
    /// Finds the text of a plain event. `None` when it has none, as the first event with a role alone.
    fn the_text_of(event: &[u8], index: u32) -> Option<Self> {
        // Inside a JSON text a quote has a backslash before it, so this is a member's name; and the delta's text is the
        // only member of a plain event that is called so.
        const NAME: &[u8] = b"\"content\":";
        let value = memmem::find(event, NAME)? + NAME.len();
        let blanks = event[value..].iter().take_while(|&&byte| byte == b' ').count();
        let start = value + blanks + 1;
        if event.get(start - 1) != Some(&b'"') {
            return None;
        }
        let length = length_of_text(&event[start..])?;
        let (before, after) = (event[..start].into(), event[start + length..].into());
        Some(Self { before, after, index })
    }

    /// An event that has the same around its text is as sound and as plain as the one that was read in full.
    fn read(&self, event: &[u8]) -> Option<PlainText> {
        let text = event.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        // The quote after the text is the first byte of what stands after it.
        let sound = length_of_text(&event[self.before.len()..])? == text.len();
        let plain = PlainText { index: self.index, has_text: !text.is_empty() };
        (sound && std::str::from_utf8(text).is_ok()).then_some(plain)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(text: &str) -> String {
        format!(
            r#"{{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":2,"delta":{{"content": "{text}"}},"finish_reason":null}}]}}"#
        )
    }

    fn series() -> PlainSeries {
        let mut series = PlainSeries::default();
        assert!(series.read(event("first").as_bytes()).is_some());
        assert!(series.last.is_some());
        series
    }

    #[test]
    fn an_event_like_the_last_is_known_by_its_text() {
        let last = series().last.unwrap();
        for text in ["word", "", "Hé", r#"\"quoted\\\n"#, r"\u00e9"] {
            let plain = PlainText { index: 2, has_text: !text.is_empty() };
            assert_eq!(last.read(event(text).as_bytes()), Some(plain), "{text}");
        }
    }

    #[test]
    fn whatever_is_not_is_read_in_full() {
        let last = series().last.unwrap();
        let other = event("x").replace("\"index\":2", "\"index\":1");
        assert_eq!(last.read(other.as_bytes()), None);
        assert_eq!(series().read(other.as_bytes()).unwrap().index, 1);
    }

    #[test]
    fn what_is_unsound_stays_unsound() {
        for text in ["a\nb", "\\", r"\x", r#"","role":"assistant"#, r#"a" "b"#, "\u{1}"] {
            assert_eq!(series().last.unwrap().read(event(text).as_bytes()), None, "{text:?}");
        }
        let mut bytes = event("text").into_bytes();
        let at = bytes.windows(4).position(|window| window == b"text").unwrap();
        bytes[at] = 0xff;
        assert_eq!(series().read(&bytes), None);
        // What stands before and after must not overlap in a short event.
        let last = series().last.unwrap();
        assert_eq!(last.read(&last.before), None);
    }

    proptest! {
        /// A series never says anything else of an event than the full look at it does.
        #[test]
        fn a_series_reads_what_each_event_says(texts in prop::collection::vec("[a\"\\\\nu0-9é\n{}:,]{0,6}", 1..8)) {
            let mut series = PlainSeries::default();
            for text in texts {
                let event = event(&text);
                prop_assert_eq!(series.read(event.as_bytes()), PlainText::read(event.as_bytes()), "{}", event);
            }
        }
    }
}

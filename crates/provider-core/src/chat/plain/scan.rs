//! A walk over JSON that knows beforehand what may stand where.
//!
//! The forms are data and the walk is one small loop, which stays in the processor's nearest cache; readers that the compiler
//! makes for each struct do not.

/// What a value must be for the whole to be plain.
pub(super) enum Form {
    /// A text, or null. Whether there is anything in it is noted.
    Text(Note),
    /// One of these texts. Which one is noted.
    Word(&'static [&'static str], Note),
    /// A whole number, which is noted.
    Count(Note),
    Null,
    /// A list without elements.
    EmptyList,
    /// A list of exactly one object with these members. That it is there is noted.
    OnlyOne(&'static Members, Note),
    Object(&'static Members),
    /// That it is not null is noted.
    ObjectOrNull(&'static Members, Note),
}

/// The members that an object may have, each once and in any order; at most 32. A name stands here as it stands in JSON,
/// with the colon.
pub(super) type Members = [(&'static str, Form)];

/// A member by its name alone.
macro_rules! member {
    ($name:literal, $form:expr) => {
        (concat!("\"", $name, "\":"), $form)
    };
}

pub(super) use member;

/// What is remembered of a value.
#[derive(Clone, Copy)]
pub(super) enum Note {
    Nothing,
    Model,
    Choice,
    Index,
    Text,
    Finish,
    Usage,
    Input,
    Output,
    CacheRead,
    CacheWrite,
    CacheWriteLong,
    Reasoning,
}

/// What was remembered.
#[derive(Default)]
pub(super) struct Notes([Option<u64>; Note::Reasoning as usize + 1]);

impl Notes {
    pub(super) fn get(&self, note: Note) -> Option<u64> {
        self.0[note as usize]
    }

    /// A count that was not given is none.
    pub(super) fn count(&self, note: Note) -> u64 {
        self.get(note).unwrap_or_default()
    }

    fn put(&mut self, note: Note, value: u64) {
        self.0[note as usize] = Some(value);
    }
}

/// Walks over a whole object. `None` when it is not sound, or holds anything but `members`.
pub(super) fn read(json: &[u8], members: &Members) -> Option<Notes> {
    // One check of the whole is quicker than one for each text in it.
    std::str::from_utf8(json).ok()?;
    let mut walk = Walk { json, at: 0, notes: Notes::default() };
    walk.object(members)?;
    walk.next().is_none().then_some(walk.notes)
}

struct Walk<'a> {
    json: &'a [u8],
    at: usize,
    notes: Notes,
}

impl<'a> Walk<'a> {
    fn object(&mut self, members: &Members) -> Option<()> {
        self.byte(b'{')?;
        if self.next()? == b'}' {
            self.at += 1;
            return Some(());
        }
        let (mut seen, mut expected) = (0_u32, 0);
        loop {
            let place = self.name(members, expected)?;
            let bit = 1 << place;
            if seen & bit != 0 {
                return None;
            }
            seen |= bit;
            expected = place + 1;
            self.value(&members[place].1)?;
            let next = self.next()?;
            self.at += 1;
            match next {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Goes past a member's name. Members mostly come in the order in which they are listed.
    fn name(&mut self, members: &Members, expected: usize) -> Option<usize> {
        self.next()?;
        let rest = self.json.get(self.at..)?;
        let is_here = |(name, _): &(&str, Form)| rest.starts_with(name.as_bytes());
        let place = match members.get(expected) {
            Some(member) if is_here(member) => expected,
            _ => members.iter().position(is_here)?,
        };
        self.at += members[place].0.len();
        Some(place)
    }

    fn value(&mut self, form: &Form) -> Option<()> {
        match form {
            Form::Null => return self.is_null().then_some(()),
            Form::Text(note) => {
                let is_empty = self.is_null() || self.text()?.is_empty();
                self.notes.put(*note, u64::from(!is_empty));
            }
            Form::Word(words, note) => {
                let text = self.text()?;
                let which = words.iter().position(|word| word.as_bytes() == text)?;
                self.notes.put(*note, which as u64);
            }
            Form::Count(note) => {
                let number = self.whole_number()?;
                self.notes.put(*note, number);
            }
            Form::EmptyList => {
                self.byte(b'[')?;
                self.byte(b']')?;
            }
            Form::OnlyOne(members, note) => {
                self.byte(b'[')?;
                self.object(members)?;
                self.byte(b']')?;
                self.notes.put(*note, 1);
            }
            Form::Object(members) => return self.object(members),
            Form::ObjectOrNull(members, note) => {
                if !self.is_null() {
                    self.object(members)?;
                    self.notes.put(*note, 1);
                }
            }
        }
        Some(())
    }

    /// What stands between the quotes, as it stands there.
    fn text(&mut self) -> Option<&'a [u8]> {
        self.byte(b'"')?;
        let rest = self.json.get(self.at..)?;
        let length = length_of_text(rest)?;
        self.at += length + 1;
        rest.get(..length)
    }

    fn whole_number(&mut self) -> Option<u64> {
        self.next()?;
        let begin = self.at;
        let mut number = 0_u64;
        while let Some(digit @ b'0'..=b'9') = self.json.get(self.at) {
            number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            self.at += 1;
        }
        // A fraction or an exponent fails at what must follow.
        match self.at - begin {
            0 => None,
            1 => Some(number),
            _ => (self.json[begin] != b'0').then_some(number),
        }
    }

    /// Goes past a null, if there is one.
    fn is_null(&mut self) -> bool {
        let is_null = self.next() == Some(b'n') && self.json[self.at..].starts_with(b"null");
        self.at += if is_null { 4 } else { 0 };
        is_null
    }

    /// Goes past this byte.
    fn byte(&mut self, byte: u8) -> Option<()> {
        let is_it = self.next()? == byte;
        self.at += 1;
        is_it.then_some(())
    }

    /// The next byte that is not blank; none at the end.
    fn next(&mut self) -> Option<u8> {
        loop {
            match *self.json.get(self.at)? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                other => return Some(other),
            }
        }
    }
}

/// How long a JSON text is to its closing quote; `None` when it is not sound. `text` begins after the opening quote.
pub(super) fn length_of_text(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += length_of_run(&text[at..]);
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += length_of_escape(&text[at..])?,
            _ => return None, // a control character
        }
    }
}

/// How many bytes there are before the first that has a meaning: a quote, a backslash, a control character.
fn length_of_run(text: &[u8]) -> usize {
    // Eight bytes at a time: a byte is below `n` when taking `n` from it borrows and its own highest bit was not set. A
    // borrow may mark a byte above one that is marked rightly; the lowest mark is always right.
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGHEST: u64 = EACH << 7;
    let below = |bytes: u64, n: u8| bytes.wrapping_sub(EACH * u64::from(n)) & !bytes & HIGHEST;
    let mut at = 0;
    while let Some(eight) = text[at..].first_chunk() {
        let eight = u64::from_le_bytes(*eight);
        let quotes = below(eight ^ (EACH * u64::from(b'"')), 1);
        let backslashes = below(eight ^ (EACH * u64::from(b'\\')), 1);
        let found = quotes | backslashes | below(eight, 0x20);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let is_plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | ..=0x1f);
    at + text[at..].iter().take_while(is_plain).count()
}

/// How long the escape is that `text` begins with; `None` when it is not sound.
fn length_of_escape(text: &[u8]) -> Option<usize> {
    match text.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => match code_unit(text)? {
            // The first half of a character must have its second half behind it.
            0xd800..=0xdbff => matches!(code_unit(text.get(6..)?)?, 0xdc00..=0xdfff).then_some(12),
            0xdc00..=0xdfff => None,
            _ => Some(6),
        },
        _ => None,
    }
}

/// The number of an escape like `\u00e9`.
fn code_unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |number, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(number << 4 | u16::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    static INNER: [(&str, Form); 2] =
        [member!("a", Form::Text(Note::Text)), member!("n", Form::Count(Note::Input))];
    static OUTER: [(&str, Form); 6] = [
        member!("word", Form::Word(&["stop", "length"], Note::Finish)),
        member!("null", Form::Null),
        member!("list", Form::EmptyList),
        member!("one", Form::OnlyOne(&INNER, Note::Choice)),
        member!("object", Form::Object(&INNER)),
        member!("maybe", Form::ObjectOrNull(&INNER, Note::Usage)),
    ];

    #[test]
    fn what_is_known_is_noted() {
        let notes = read(
            b" { \"word\":\t\"length\",\n\"null\":null, \"list\":[ ] ,\"one\":[{\"a\":\"x\"}],\"maybe\":null}\r\n",
            &OUTER,
        )
        .unwrap();
        assert_eq!(notes.get(Note::Finish), Some(1));
        assert_eq!(notes.get(Note::Choice), Some(1));
        assert_eq!(notes.get(Note::Text), Some(1));
        assert_eq!((notes.get(Note::Usage), notes.get(Note::Input)), (None, None));
        let notes = read(b"{\"maybe\":{\"n\":18446744073709551615,\"a\":\"\"}}", &OUTER).unwrap();
        assert_eq!((notes.get(Note::Usage), notes.count(Note::Input)), (Some(1), u64::MAX));
        assert_eq!(notes.get(Note::Text), Some(0));
        assert!(read(b"{ }", &OUTER).is_some());
    }

    #[test]
    fn anything_else_is_refused() {
        for other in [
            "",
            "{",
            "{,}",
            "null",
            "[]",
            "{\"null\":null",
            "{\"null\":null,}",
            "{\"null\":null}}",
            "{\"null\":nul}",
            "{\"null\" null}",
            "{\"null\" :null}",
            "{\"null\":null \"list\":[]}",
            "{\"null\":null,\"null\":null}",
            "{\"else\":null}",
            "{\"word\":\"other\"}",
            "{\"word\":null}",
            "{\"list\":[1]}",
            "{\"list\":null}",
            "{\"one\":[]}",
            "{\"one\":[{\"a\":\"x\"},{\"a\":\"x\"}]}",
            "{\"object\":null}",
            "{\"object\":{\"n\":01}}",
            "{\"object\":{\"n\":1.0}}",
            "{\"object\":{\"n\":1e2}}",
            "{\"object\":{\"n\":-1}}",
            "{\"object\":{\"n\":}}",
            "{\"object\":{\"n\":18446744073709551616}}",
            "{\"object\":{\"n\":\"1\"}}",
            "{\"\\u006eull\":null}",
        ] {
            assert!(read(other.as_bytes(), &OUTER).is_none(), "{other}");
        }
        assert!(read(b"{\"object\":{\"a\":\"\xff\"}}", &OUTER).is_none());
    }

    proptest! {
        /// A text is sound here exactly where serde_json says so.
        #[test]
        fn a_text_ends_where_it_ends(text in "([a-zé\u{0}-\u{1f}\u{1F600}]|\\\\[\"\\\\/bfnrtux0]|\\\\u[dD][89aAbcCdef][0-9a-f]{2}|\\\\u[0-9a-f]{4}|a{7,9}){0,12}") {
            let json = format!("\"{text}\"");
            let ours = length_of_text(&json.as_bytes()[1..]) == Some(text.len());
            prop_assert_eq!(ours, serde_json::from_str::<String>(&json).is_ok(), "{}", json);
        }

        /// Any bytes, so that all places within eight are met.
        #[test]
        fn a_run_ends_at_the_first_byte_with_a_meaning(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let first = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..=0x1f));
            prop_assert_eq!(length_of_run(&bytes), first.unwrap_or(bytes.len()));
        }
    }
}

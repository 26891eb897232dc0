//! Prints JSON. Prompts are most of a request: their letters are looked at many at a time, not one by one.

use std::io;

use serde::{Serialize, Serializer};
use serde_json::ser::{CharEscape, Formatter};

/// A long text, which [`print`] prints quicker than a `str`. For nobody else: to other printers it is a list of bytes.
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.as_bytes())
    }
}

/// The JSON text of `value`.
pub(crate) fn print(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    /// Most requests fit, and none is copied more than a few times.
    const USUAL: usize = 1024;
    let mut printed = Vec::with_capacity(USUAL);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut printed, Texts))?;
    Ok(printed)
}

/// Compact, and every list of bytes is a [`Text`].
struct Texts;

impl Formatter for Texts {
    fn write_byte_array<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &[u8]) -> io::Result<()> {
        /// So many letters are looked at in one go.
        const AT_ONCE: usize = 32;
        self.begin_string(writer)?;
        // Without a branch, so that the compiler makes one instruction of many letters.
        let any =
            |letters: &[u8; AT_ONCE]| letters.iter().fold(false, |any, letter| any | is_escaped(*letter));
        let (whole, rest) = text.as_chunks::<AT_ONCE>();
        let groups = whole.iter().map(|letters| (letters.as_slice(), any(letters))).chain([(rest, true)]);
        let mut printed = 0;
        for (group, (letters, _)) in groups.enumerate().filter(|(_, (_, any))| *any) {
            for (place, letter) in letters.iter().enumerate().filter(|(_, letter)| is_escaped(**letter)) {
                let place = group * AT_ONCE + place;
                writer.write_all(&text[printed..place])?;
                self.write_char_escape(writer, escape(*letter))?;
                printed = place + 1;
            }
        }
        writer.write_all(&text[printed..])?;
        self.end_string(writer)
    }
}

/// What JSON does not take in a text as it is (RFC 8259, section 7).
const fn is_escaped(letter: u8) -> bool {
    letter < 0x20 || letter == b'"' || letter == b'\\'
}

fn escape(letter: u8) -> CharEscape {
    match letter {
        b'"' => CharEscape::Quote,
        b'\\' => CharEscape::ReverseSolidus,
        0x08 => CharEscape::Backspace,
        b'\t' => CharEscape::Tab,
        b'\n' => CharEscape::LineFeed,
        0x0c => CharEscape::FormFeed,
        b'\r' => CharEscape::CarriageReturn,
        control => CharEscape::AsciiControl(control),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(text: &str) -> String {
        String::from_utf8(print(&Text(text)).unwrap()).unwrap()
    }

    #[test]
    fn every_letter_that_needs_it_is_escaped_wherever_it_stands() {
        for letter in (0..0x80_u8).map(char::from).chain(['é', '水', '🦀', '\u{2028}']) {
            for before in 0..70 {
                let text = format!("{}{letter}{}", "a".repeat(before), "z".repeat(70 - before));
                assert_eq!(printed(&text), serde_json::to_string(&text).unwrap());
            }
        }
    }

    proptest! {
        #[test]
        fn a_text_is_printed_as_any_printer_would(text in any::<String>(), more in "[ -~\n\"\\\\]{0,200}") {
            let text = text + &more;
            prop_assert_eq!(printed(&text), serde_json::to_string(&text).unwrap());
        }
    }
}

//! Questions as they are compared letter by letter.

use std::borrow::Cow;
use std::sync::Arc;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// The text as its exact repetition is looked for: in Unicode's normal form (NFC), without space at the ends, with one
/// space for any other, with plain quotes and apostrophes. Case, symbols, digits and signs stay: `C++` is not `C#`.
pub fn normalise(text: &str) -> Arc<str> {
    let text: Cow<'_, str> = match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        _ => Cow::Owned(text.nfc().collect()),
    };
    if is_plain(&text) {
        return text.as_ref().into();
    }
    let mut plain = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !plain.is_empty() {
            plain.push(' ');
        }
        plain.extend(word.chars().map(|letter| match letter {
            '‘' | '’' | 'ʼ' => '\'',
            '“' | '”' => '"',
            letter => letter,
        }));
    }
    plain.into()
}

/// Whether nothing is to be done: the usual case, found without a copy.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.is_ascii()
        && !bytes.first().is_some_and(|byte| byte.is_ascii_whitespace())
        && !bytes.last().is_some_and(|byte| byte.is_ascii_whitespace())
        && !bytes.windows(2).any(|pair| pair == b"  ")
        && !bytes.iter().any(|byte| matches!(byte, b'\n' | b'\t' | b'\r' | 0x0b | 0x0c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_quotes_and_composed_letters_make_no_difference() {
        assert_eq!(&*normalise("  What's\n up,  doc? "), "What's up, doc?");
        assert_eq!(normalise("What’s “this”?"), normalise("What's \"this\"?"));
        assert_eq!(normalise("cafe\u{301}"), normalise("caf\u{e9}"));
        assert_eq!(&*normalise(""), "");
        assert_eq!(&*normalise(" \u{a0}\n"), "");
    }

    #[test]
    fn symbols_case_and_digits_do() {
        for (a, b) in [("C++", "C#"), ("-5", "5"), ("1.5", "15"), ("us", "US"), ("a/b", "a b"), ("x!", "x")] {
            assert_ne!(normalise(a), normalise(b));
        }
    }
}

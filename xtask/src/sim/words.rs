//! The answers: texts in which a gap, a repetition and a wrong seam show.

use std::fmt::Write as _;

/// The whole answer to a call, in one of its variants: a provider that never says the same twice has a variant for each
/// attempt. Some words need escapes in JSON, some more than a byte for a letter.
pub(super) fn answer(call: usize, variant: u32, words: usize) -> String {
    let mut text = String::with_capacity(words * 10);
    for word in 0..words {
        let separator = if word == 0 { "" } else { " " };
        let ending = match word % 7 {
            3 => "é",
            5 => "\"",
            _ => "",
        };
        // Writing into a text cannot fail.
        let _written = write!(text, "{separator}v{variant}c{call}w{word}{ending}");
    }
    text
}

/// The text in pieces of up to `longest` characters.
pub(super) fn pieces(text: &str, mut length: impl FnMut() -> usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let at = rest.char_indices().nth(length().max(1)).map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(at);
        pieces.push(piece.to_owned());
        rest = after;
    }
    pieces
}

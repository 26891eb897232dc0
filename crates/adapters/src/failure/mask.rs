//! Takes keys out of what providers say: some quote the key they refuse.

use std::borrow::Cow;

/// What keys start with, by provider. What follows is a secret.
const PREFIXES: [&str; 17] = [
    "sk_", "pk-", "rk-", "gsk_", "xai-", "pplx-", "csk-", "hf_", "tgp_", "fw_", "nvapi-", "AIza", "AKIA",
    "ASIA", "AQ.", "ya29.", "eyJ",
];

/// Words after which a key is quoted, in lower case.
const BEFORE_A_KEY: [&str; 5] = ["key provided:", "api key:", "api_key:", "api-key:", "apikey:"];

/// How many characters of a key may be shown.
const SHOWN: usize = 4;

/// The text with every key replaced by `***` and its last four characters, of a short key by `***` alone.
pub(super) fn mask_keys(text: &str) -> Cow<'_, str> {
    let (mut masked, mut done) = (String::new(), 0);
    for (start, token) in tokens(text) {
        if is_key(token) || is_quoted_key(&text[..start], token) {
            masked.push_str(&text[done..start]);
            masked.push_str("***");
            masked.push_str(shown(token));
            done = start + token.len();
        }
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    masked.push_str(&text[done..]);
    Cow::Owned(masked)
}

/// The runs of characters that keys are made of, and where each starts. A full stop ends the sentence, not the key.
fn tokens(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_separator = |c: char| !(c.is_ascii_alphanumeric() || "-_.*+=".contains(c));
    let mut end = 0;
    text.split_inclusive(is_separator)
        .map(move |piece| {
            let start = end;
            end += piece.len();
            (start, piece.trim_end_matches(is_separator).trim_end_matches('.'))
        })
        .filter(|(_, token)| !token.is_empty())
}

fn is_key(token: &str) -> bool {
    let starts_as_key = |prefix| token.strip_prefix(prefix).is_some_and(|rest: &str| rest.len() >= 8);
    token.strip_prefix("sk-").is_some_and(|rest| !rest.is_empty())
        || PREFIXES.into_iter().any(starts_as_key)
        || is_random(token)
}

/// A long token of all sorts of characters is neither a word nor a model's name.
fn is_random(token: &str) -> bool {
    let has = |sort: fn(&u8) -> bool| token.as_bytes().iter().any(sort);
    token.len() >= 40 && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit)
}

/// Whether the words before a token say that it is a key, and it does not look like the next word of the sentence.
fn is_quoted_key(before: &str, token: &str) -> bool {
    let before = before.trim_end_matches([' ', '"', '\'', '`']);
    let ends_in = |words: &str| {
        let end = before.len().checked_sub(words.len()).and_then(|at| before.get(at..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(words))
    };
    let is_no_word = token.bytes().any(|byte| !byte.is_ascii_alphabetic());
    is_no_word && token.len() > SHOWN && BEFORE_A_KEY.into_iter().any(ends_in)
        || token.len() >= 20 && is_no_word && ends_in("bearer")
}

/// What may be shown of a key: its last characters, where they are a small part of it.
fn shown(token: &str) -> &str {
    if token.len() < 3 * SHOWN { "" } else { token.get(token.len() - SHOWN..).unwrap_or_default() }
}

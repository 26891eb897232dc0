//! Two forms of one word: misspelt, or of the same root.

use super::lexicon::Lexicon;
use super::question::{Question, Word};

/// `happy` and `unhappy`.
pub(super) fn is_denied_form(word: &str, denied: &str) -> bool {
    const PREFIXES: &[&str] = &["un", "in", "im", "il", "ir", "dis", "non", "anti", "mis"];
    word.len() >= 3 && PREFIXES.iter().any(|prefix| denied.strip_prefix(prefix) == Some(word))
}

/// Whether one is a misspelling of the other, or made from the same root.
pub(super) fn is_form_of(a: &Question, b: &Question, one: &Word, other: &Word) -> bool {
    let (one_letters, other_letters) = (a.letters(one), b.letters(other));
    if !one_letters.is_ascii() || !other_letters.is_ascii() {
        return false;
    }
    let (short, long) = if one_letters.len() <= other_letters.len() {
        (one_letters.as_bytes(), other_letters.as_bytes())
    } else {
        (other_letters.as_bytes(), one_letters.as_bytes())
    };
    if short.len() < 4 || long.len() - short.len() > 6 {
        return false;
    }
    if one.known.is_of_sort(&other.known) || Lexicon::get().are_opposite(one.key, other.key) {
        return false;
    }
    is_misspelling(short, long) || (!one.is_name && !other.is_name && has_same_root(short, long))
}

/// Two neighbours exchanged, or in words of five letters and more one letter more, less or other.
fn is_misspelling(short: &[u8], long: &[u8]) -> bool {
    let head = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    let tail = short[head..].iter().rev().zip(long[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&short[head..short.len() - tail], &long[head..long.len() - tail]);
    match (a, b) {
        ([], [_]) => short.len() >= 5 && head > 0,
        ([_], [_]) => short.len() >= 6 && head > 0,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

fn has_same_root(short: &[u8], long: &[u8]) -> bool {
    const ENDINGS: &[&str] = &[
        "", "e", "s", "es", "y", "ing", "ed", "er", "or", "ers", "ors", "ion", "ions", "ation", "ations",
        "ization", "ment", "ments", "al", "ally", "ness", "ity", "ive", "able", "ance", "ence", "ant", "ent",
        "ancy", "ency", "ful", "ous", "ize", "ized", "izing", "ise", "ised", "ising", "ify", "ication",
        "ical", "ics", "ic", "ism", "ist", "ists", "ly", "ure", "age", "t", "th", "d", "ied", "ies", "ying",
        "ary", "ory", "ative",
    ];
    let head = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    if head < 5 && !(head == 4 && short.len() == 4) {
        return false;
    }
    let is_ending = |rest: &[u8]| ENDINGS.iter().any(|ending| ending.as_bytes() == rest);
    // The common head may reach into the endings (`organi-ze`, `organi-zation`).
    (0..=2)
        .any(|back| head >= back + 4 && is_ending(&short[head - back..]) && is_ending(&long[head - back..]))
}

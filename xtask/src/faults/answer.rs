//! The one answer that every upstream gives: sixty words, each with its number, so that a gap or a repetition shows.

use serde_json::Value;

pub(crate) const WORDS: usize = 60;

/// One token each; all but the first begin with a space, as those of language models do.
pub(crate) fn tokens() -> Vec<String> {
    (1..=WORDS).map(|n| format!("{}word{n:02}", if n == 1 { "" } else { " " })).collect()
}

pub(crate) fn text() -> String {
    tokens().concat()
}

/// What is still to say after `said`, token by token; `None` when `said` is no beginning of the answer.
pub(crate) fn rest_after(said: &str) -> Option<Vec<String>> {
    let text = text();
    let rest = text.strip_prefix(said)?;
    let starts = rest.char_indices().filter(|(at, letter)| *at > 0 && *letter == ' ').map(|(at, _)| at);
    let ends: Vec<usize> = starts.chain((!rest.is_empty()).then_some(rest.len())).collect();
    let mut from = 0;
    Some(ends.into_iter().map(|end| rest[std::mem::replace(&mut from, end)..end].to_owned()).collect())
}

/// The text of a message, whose content is a text or a list of parts.
pub(crate) fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        content => content.as_str().unwrap_or_default().to_owned(),
    }
}

/// What differs from the whole answer, in words.
pub(crate) fn difference(got: &str) -> Option<String> {
    let whole = text();
    if got == whole {
        return None;
    }
    let words: Vec<&str> = got.split(' ').filter(|word| !word.is_empty()).collect();
    let expected = text();
    let expected: Vec<&str> = expected.split(' ').collect();
    let equal = words.iter().zip(&expected).take_while(|(got, expected)| got == expected).count();
    Some(match words.get(equal) {
        None if words.len() < WORDS => format!("{} of {WORDS} words", words.len()),
        None => "the words are right, the white space is not".to_owned(),
        Some(wrong) => {
            let shown: String = wrong.chars().take(20).collect();
            format!("{equal} right words, then {shown:?} ({} words in all)", words.len())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_left_continues_what_was_said_to_the_letter() {
        assert_eq!(rest_after(""), Some(tokens()));
        let said = tokens()[..40].concat();
        assert_eq!(rest_after(&said), Some(tokens()[40..].to_vec()));
        assert_eq!(rest_after(&format!("{said} wo")).unwrap()[0], "rd41");
        assert_eq!(rest_after(&text()), Some(vec![]));
        assert_eq!(rest_after("something else"), None);
    }

    #[test]
    fn a_gap_and_a_repetition_are_told_apart() {
        let tokens = tokens();
        assert_eq!(difference(&text()), None);
        assert_eq!(difference(&tokens[..40].concat()).unwrap(), "40 of 60 words");
        let gap = [&tokens[..9], &tokens[10..]].concat().concat();
        assert_eq!(difference(&gap).unwrap(), "9 right words, then \"word11\" (59 words in all)");
        let twice = [&tokens[..40], &tokens[..]].concat().concat();
        assert!(difference(&twice).unwrap().starts_with("39 right words, then \"word40word01\""));
        assert!(difference("").unwrap().starts_with("0 of 60"));
    }

    #[test]
    fn a_message_of_parts_has_the_text_of_its_parts() {
        let parts = json!({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]});
        assert_eq!(text_of(&parts), "ab");
        assert_eq!(text_of(&json!({"content": "ab"})), "ab");
        assert_eq!(text_of(&json!({"content": null})), "");
    }
}

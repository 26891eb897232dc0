//! What is denied, and how often.

use super::lexicon::{Asking, Class, Joint, Note};
use super::question::{Question, Word};

/// What the first negation of a question denies.
pub(super) struct Denied {
    /// The word right after it.
    key: u64,
    /// From the negation to the third word after it that says what the question is about.
    from: usize,
    to: usize,
}

impl Denied {
    pub(super) fn of(question: &Question) -> Option<Self> {
        let words = &question.words;
        let place = words.iter().position(|word| word.is(Class::Negation))?;
        let mut after = words.iter().enumerate().skip(place + 1).filter(|(_, word)| word.is_content());
        let (at, word) = after.next()?;
        let to = after.nth(1).map_or(words.len(), |(at, _)| at).max(at);
        Some(Self { key: word.key, from: verb_of(words, place), to })
    }

    /// Whether the other question says this word, and does not deny it.
    pub(super) fn is_affirmed_in(&self, other: &Self, question: &Question) -> bool {
        let places = question.words.iter().enumerate().filter(|(_, word)| word.key == self.key);
        let mut outside = places.map(|(at, _)| at < other.from || at > other.to).peekable();
        outside.peek().is_some() && outside.all(|outside| outside)
    }
}

/// Where the verb stands that is denied: "does Quora not have it" denies as much of Quora as "doesn't Quora have it".
fn verb_of(words: &[Word], place: usize) -> usize {
    let nearest = words[..place].iter().rposition(|word| word.tense().is_some());
    let between = |verb: usize| &words[verb + 1..place];
    let belongs = |verb: &usize| {
        let said = between(*verb).iter().filter(|word| word.is_content()).count();
        said <= 2
            && !between(*verb)
                .iter()
                .any(|word| word.is(Class::Preposition) || word.after_comma || word.begins)
    };
    nearest.filter(belongs).unwrap_or(place)
}

/// Where a question is denied that begins with its verb, or with the verb right after a word like `why`.
pub(super) fn denied_as_a_whole(question: &Question) -> Option<usize> {
    let words = &question.words;
    let place = words.iter().position(|word| word.is(Class::Negation))?;
    let verb = verb_of(words, place);
    let asks = |word: &Word| matches!(word.known.class, Class::Asking(asking) if asking != Asking::Who);
    let begins =
        |verb: usize| words[verb].begins || verb.checked_sub(1).is_some_and(|before| asks(&words[before]));
    (verb < place && begins(verb)).then_some(place)
}

/// How often something is denied. "Or not" denies nothing.
pub(super) fn denials(question: &Question) -> usize {
    let words = &question.words;
    (0..words.len())
        .filter(|at| words[*at].is(Class::Negation))
        .filter(|at| {
            // "Or not", "if not", "why not" deny nothing.
            !at.checked_sub(1).is_some_and(|before| {
                words[before].joint() == Some(Joint::Or) || words[before].note == Note::Perhaps
            })
        })
        .filter(|at| !is_not_known(question, *at))
        .count()
}

/// `I don't know how`, `I can't figure out why`: that is asked, and nothing denied.
fn is_not_known(question: &Question, at: usize) -> bool {
    const KNOW: &[&str] =
        &["know", "understand", "figure", "remember", "sure", "see", "tell", "think", "find"];
    let after = &question.words[at + 1..];
    let verb = after.iter().take(2).position(|word| KNOW.contains(&question.letters(word)));
    verb.is_some_and(|verb| {
        after[verb + 1..].iter().take(2).any(|word| matches!(word.known.class, Class::Asking(_)))
    })
}

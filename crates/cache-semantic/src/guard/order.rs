//! The same words in another order.

use super::compare::Comparison;
use super::lexicon::Class;
use super::question::{Question, Word};

/// In which order both questions say what both say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The same, or another one that means the same.
    Same,
    /// Another one, in two questions that have words of their own too.
    Moved,
    /// Another one, of the very same words.
    Scrambled,
}

pub(crate) fn of(pair: &Comparison<'_>) -> Order {
    let own = pair.only_a().chain(pair.only_b());
    // Of the very same words every one counts.
    let is_same_bag = own.clone().all(|word| word.is_article);
    let a = sequence(pair, pair.a, &pair.to_b, true, is_same_bag);
    let b = sequence(pair, pair.b, &pair.to_a, false, is_same_bag);
    if a.len() != b.len() || !differ(&a, &b) || is_exchange_around_joint(&a, &b) {
        return Order::Same;
    }
    let unmatched = own.filter(|word| word.is_content()).count();
    let is_scrambled = match unmatched {
        0 => is_same_bag || !is_move(&a, &b),
        1 => !is_move(&a, &b),
        _ => false,
    };
    let change = unmatched <= 2 && names_change_places(&a, &b);
    if is_scrambled || change { Order::Scrambled } else { Order::Moved }
}

/// Whether one block of words stands elsewhere, and all others as they were. Two words that have changed places are no such
/// block, unless they are neighbours.
fn is_move(a: &[Place], b: &[Place]) -> bool {
    let first = a.iter().zip(b).take_while(|(a, b)| a.key == b.key).count();
    let last = a.len() - a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a.key == b.key).count();
    let (a, b) = (&a[first..last], &b[first..last]);
    (1..a.len()).any(|at| !differ(&a[at..], b) && !differ(&a[..at], &b[a.len() - at..]))
}

/// Whether two names, or two numbers, stand the other way round.
fn names_change_places(a: &[Place], b: &[Place]) -> bool {
    let names = |places: &[Place]| places.iter().filter(|place| place.is_name).copied().collect::<Vec<_>>();
    let (a, b) = (names(a), names(b));
    a.len() == b.len() && differ(&a, &b) && !is_exchange_around_joint(&a, &b)
}

/// One word of the order: which it is, and whether it may change places with what stands before it.
#[derive(Debug, Clone, Copy)]
struct Place {
    key: u64,
    /// `and`, `or`, `versus` or a comma stands before it.
    after_joint: bool,
    is_name: bool,
}

fn differ(a: &[Place], b: &[Place]) -> bool {
    a.iter().zip(b).any(|(a, b)| a.key != b.key)
}

/// The words that both questions have and whose place matters.
fn sequence(pair: &Comparison<'_>, question: &Question, other: &[Option<u16>], is_a: bool, all: bool) -> Vec<Place> {
    let mut places = Vec::with_capacity(question.words.len());
    let mut after_joint = false;
    for (word, counterpart) in question.words.iter().zip(other) {
        if word.joint().is_some() {
            after_joint = true;
            continue;
        }
        let Some(counterpart) = counterpart else { continue };
        if !(has_place(word) || all && is_verb(word)) || is_frame(question.letters(word)) {
            continue;
        }
        // Both sides call it as `b` does.
        let there = if is_a { &pair.b.words[usize::from(*counterpart)] } else { word };
        let is_name = there.is_name || there.is_number();
        places.push(Place { key: there.key, after_joint: after_joint || word.after_comma, is_name });
        after_joint = false;
    }
    places
}

fn has_place(word: &Word) -> bool {
    matches!(word.known.class, Class::Content | Class::Number | Class::Light | Class::Pronoun | Class::Negation)
}

/// Verbs that say so little that they may be added and left out, but not change places.
fn is_verb(word: &Word) -> bool {
    matches!(word.known.class, Class::Verb(_) | Class::Weak)
}

/// Words that mean the same wherever they stand: `which laptop is best` and `which is the best laptop`.
fn is_frame(word: &str) -> bool {
    matches!(word, "best" | "difference" | "differences" | "different" | "differ")
}

/// `X or Y` and `Y or X`, with all else as it was.
fn is_exchange_around_joint(a: &[Place], b: &[Place]) -> bool {
    let first = a.iter().zip(b).take_while(|(a, b)| a.key == b.key).count();
    let last = a.len() - a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a.key == b.key).count();
    (1..a.len()).filter(|joint| a[*joint].after_joint).any(|joint| {
        (0..=first.min(joint.saturating_sub(1))).any(|start| {
            (last.max(joint + 1)..=a.len()).any(|end| {
                let (x, y) = (&a[start..joint], &a[joint..end]);
                let there = &b[start..end];
                let (y_there, x_there) = there.split_at(y.len());
                !differ(y, y_there)
                    && !differ(x, x_there)
                    && x_there.first().is_some_and(|place| place.after_joint)
            })
        })
    })
}

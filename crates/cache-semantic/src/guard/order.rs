//! The same words in another order.

use super::compare::Comparison;
use super::denial::denied_as_a_whole;
use super::lexicon::{Class, Known, Lexicon, Note, Tense};
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
    let is_same_bag = own.clone().all(|word| word.is_article()) && pair.is_to_the_letter();
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
    let change = unmatched <= 2 && rivals_change_places(&a, &b);
    if is_scrambled || change { Order::Scrambled } else { Order::Moved }
}

/// Whether one block of words stands elsewhere, and all others as they were. Two words that have changed places are no such
/// block, unless they are neighbours.
fn is_move(a: &[Place], b: &[Place]) -> bool {
    let first = a.iter().zip(b).take_while(|(a, b)| a.key == b.key).count();
    let last = a.len() - a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a.key == b.key).count();
    let (a, b) = (&a[first..last], &b[first..last]);
    (1..a.len()).any(|at| {
        !differ(&a[at..], b)
            && !differ(&a[..at], &b[a.len() - at..])
            // "From A to B", "from B to A": what leads to the second is the same.
            && (a[at].preposition == 0 || a[at].preposition != b[a.len() - at].preposition)
            && a.iter().all(|place| b.iter().all(|other| place.key != other.key || place.is_subject == other.is_subject))
    })
}

/// Whether two names, two numbers, opposites, or two of one sort stand the other way round.
fn rivals_change_places(a: &[Place], b: &[Place]) -> bool {
    let there = |place: &Place| b.iter().position(|other| other.key == place.key);
    let rivals = (0..a.len()).flat_map(|one| (one + 1..a.len()).map(move |other| (one, other))).filter(
        |(one, other)| {
            let (one, other) = (&a[*one], &a[*other]);
            one.key != other.key
                && (one.is_name && other.is_name
                    || one.known.is_of_sort(&other.known)
                    || Lexicon::get().are_opposite(one.key, other.key))
        },
    );
    let mut swapped = rivals.filter(|(one, other)| match (there(&a[*one]), there(&a[*other])) {
        (Some(one), Some(other)) => one > other,
        _ => false,
    });
    // `Intel and AMD`, `AMD and Intel`.
    swapped.any(|(one, other)| !(other == one + 1 && a[other].after_joint))
}

/// One word of the order: which it is, and whether it may change places with what stands before it.
#[derive(Debug, Clone, Copy)]
struct Place {
    key: u64,
    known: Known,
    /// `and`, `or`, `versus` or a comma stands between it and the place before, and nothing else.
    after_joint: bool,
    /// A name or a number.
    is_name: bool,
    /// The key of the preposition right before it, 0 for none.
    preposition: u64,
    /// It stands right after an auxiliary verb: `do cars`, `can my child`; not after `is`, since `is` makes passives.
    is_subject: bool,
}

fn differ(a: &[Place], b: &[Place]) -> bool {
    a.iter().zip(b).any(|(a, b)| a.key != b.key)
}

/// The words that both questions have and whose place matters.
fn sequence(
    pair: &Comparison<'_>,
    question: &Question,
    other: &[Option<u16>],
    is_a: bool,
    all: bool,
) -> Vec<Place> {
    let mut places = Vec::with_capacity(question.words.len());
    let mut after_joint = false;
    let mut follows = false;
    let (mut preposition, mut is_subject) = (0, false);
    // "Why doesn't it have one", "why does it not have one": in both the whole question is denied, wherever the word stands.
    let denied = denied_as_a_whole(question)
        .filter(|_| denied_as_a_whole(if is_a { pair.b } else { pair.a }).is_some());
    for (at, (word, counterpart)) in question.words.iter().zip(other).enumerate() {
        if Some(at) == denied {
            continue;
        }
        if word.is_article() {
            continue;
        }
        if word.joint().is_some() {
            after_joint = follows;
            (preposition, is_subject) = (0, false);
            continue;
        }
        match word.known.class {
            Class::Preposition => (preposition, is_subject) = (word.key, false),
            Class::Verb(_) => (preposition, is_subject) = (0, word.note != Note::Be),
            Class::Function if word.note == Note::Anybody => (preposition, is_subject) = (0, false),
            // "Does my child": whose it is stands between.
            Class::Function => {}
            _ if counterpart.is_none() => (preposition, is_subject) = (0, false),
            _ => {}
        }
        after_joint |= word.after_comma && follows;
        follows = false;
        let there = match counterpart {
            // Both sides call it as `b` does.
            Some(there) if is_a => &pair.b.words[usize::from(*there)],
            Some(_) => word,
            None => {
                // "Accord or Toyota Camry": still after the joint.
                after_joint &= word.is_name;
                continue;
            }
        };
        if (has_place(word) || all && is_verb(word)) && word.note != Note::Frame {
            let is_name = there.is_name || there.is_number();
            places.push(Place {
                key: there.key,
                known: there.known,
                after_joint,
                is_name,
                preposition,
                is_subject,
            });
            (preposition, is_subject) = (0, false);
            follows = true;
        }
        after_joint = false;
    }
    places
}

fn has_place(word: &Word) -> bool {
    matches!(
        word.known.class,
        Class::Content | Class::Number | Class::Light | Class::Pronoun | Class::Negation
    )
}

/// Verbs that say so little that they may be added and left out, but not change places. `Is` may: a question has it at
/// its beginning, or not.
fn is_verb(word: &Word) -> bool {
    match word.known.class {
        Class::Weak => true,
        Class::Verb(tense) => tense != Tense::Present && tense != Tense::Past,
        _ => false,
    }
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

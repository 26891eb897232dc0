//! The same words in another order.

use super::compare::Comparison;
use super::lexicon::Class;
use super::question::{Question, Word};

/// Whether what both questions say stands in another order, other than in ways that leave the meaning as it is.
pub(crate) fn differs(pair: &Comparison<'_>) -> bool {
    let a = sequence(pair, pair.a, &pair.to_b, true);
    let b = sequence(pair, pair.b, &pair.to_a, false);
    a.len() == b.len() && differ(&a, &b) && !is_exchange_around_joint(&a, &b)
}

/// One word of the order: which it is, and whether it may change places with what stands before it.
#[derive(Debug, Clone, Copy)]
struct Place {
    key: u64,
    /// `and`, `or`, `versus` or a comma stands before it.
    after_joint: bool,
}

fn differ(a: &[Place], b: &[Place]) -> bool {
    a.iter().zip(b).any(|(a, b)| a.key != b.key)
}

/// The words that both questions have and whose place matters.
fn sequence(pair: &Comparison<'_>, question: &Question, other: &[Option<u16>], is_a: bool) -> Vec<Place> {
    let mut places = Vec::with_capacity(question.words.len());
    let mut after_joint = false;
    let mut before: Option<&Word> = None;
    for (word, counterpart) in question.words.iter().zip(other) {
        if word.joint().is_some() {
            after_joint = true;
        }
        let Some(counterpart) = counterpart else { continue };
        if !has_place(word) {
            continue;
        }
        // Both sides call it as `b` does.
        let key = if is_a { pair.b.words[usize::from(*counterpart)].key } else { word.key };
        places.push(Place { key, after_joint: after_joint || word.after_comma });
        after_joint = false;
        before = Some(word);
    }
    let _ = before;
    places
}

fn has_place(word: &Word) -> bool {
    matches!(word.known.class, Class::Content | Class::Number | Class::Light | Class::Pronoun | Class::Negation)
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

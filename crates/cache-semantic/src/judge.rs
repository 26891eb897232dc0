//! Whether two answers say the same, without asking anybody.

use std::collections::HashSet;

use mainstay_provider_core::BoxFuture;

use crate::guard::Words;
use crate::text::normalise;
use crate::verifier::Judge;

/// Compares the words of two answers. Rough on purpose: where it is not plain, it says nothing, and the pair stays without
/// a label.
///
/// The same text is the same. `Yes` against `No` is not, nor are short answers with other numbers. Of longer ones, those
/// that share nearly half of their words are the same, and those that share hardly any are not.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SharedWords;

impl Judge for SharedWords {
    fn is_same(&self, _: &str, one: &str, other: &str) -> BoxFuture<Option<bool>> {
        Box::pin(std::future::ready(compare(one, other)))
    }
}

/// The shares of common words above which two answers are the same, and below which they are not.
const SAME: f64 = 0.45;
const DIFFERENT: f64 = 0.12;
/// So few words are an answer in figures or names, and not a text about something.
const SHORT: usize = 6;

fn compare(one: &str, other: &str) -> Option<bool> {
    let (one, other) = (normalise(one), normalise(other));
    if one == other {
        return Some(true);
    }
    if let (Some(a), Some(b)) = (yes_or_no(&one), yes_or_no(&other))
        && a != b
    {
        return Some(false);
    }
    let (one, other) = (Words::read(&one), Words::read(&other));
    let (a, b): (HashSet<_>, HashSet<_>) = (one.content().collect(), other.content().collect());
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let numbers = |words: &Words| words.numbers().collect::<HashSet<_>>();
    if a.len() <= SHORT && b.len() <= SHORT {
        return (numbers(&one) != numbers(&other)).then_some(false).or_else(|| (a == b).then_some(true));
    }
    let common = crate::bound::as_real(a.intersection(&b).count() as u64);
    let share = common / crate::bound::as_real(a.union(&b).count() as u64);
    if share >= SAME {
        Some(true)
    } else if share <= DIFFERENT {
        Some(false)
    } else {
        None
    }
}

fn yes_or_no(answer: &str) -> Option<bool> {
    let first = answer.split(|letter: char| !letter.is_alphabetic()).find(|word| !word.is_empty())?;
    match first.to_ascii_lowercase().as_str() {
        "yes" | "yeah" | "correct" => Some(true),
        "no" | "nope" | "incorrect" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plain_is_said_and_the_rest_is_not() {
        assert_eq!(compare("Paris.", "Paris."), Some(true));
        assert_eq!(compare("Yes, you can.", "No, you cannot."), Some(false));
        assert_eq!(compare("It takes 3 days.", "It takes 5 days."), Some(false));
        let long =
            "Open the settings, choose your account, press reset password, and follow the link in the mail.";
        let alike =
            "Go to the settings, choose the account, press reset password and follow the link sent by mail.";
        assert_eq!(compare(long, alike), Some(true));
        let another = "Our office is open from Monday to Friday, nine to five, except on public holidays in the region.";
        assert_eq!(compare(long, another), Some(false));
        assert_eq!(compare("", "something"), None);
    }
}

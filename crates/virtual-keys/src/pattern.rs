//! Names, and all names that begin alike.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name, or with `*` at its end all names that begin so: `main-model`, `openai/*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Box<str>);

/// A text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no pattern: a name of 1 to 256 printable characters, with `*` at its end or nowhere")]
pub struct InvalidPattern(String);

impl Pattern {
    /// Every name.
    pub fn any() -> Self {
        Self("*".into())
    }

    /// Whether this name is meant.
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => &*self.0 == name,
        }
    }

    /// Whether everything that `other` matches is matched by this one too.
    pub fn covers(&self, other: &Self) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => other.0.strip_suffix('*').unwrap_or(&other.0).starts_with(beginning),
            None => self == other,
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let is_sound = (1..=256).contains(&text.len())
            && !text.chars().any(|c| c.is_control() || c.is_whitespace())
            && text.find('*').is_none_or(|at| at + 1 == text.len());
        is_sound.then(|| Self(text.into())).ok_or_else(|| InvalidPattern(text.chars().take(64).collect()))
    }
}

impl TryFrom<String> for Pattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0.into()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_is_itself_and_a_star_is_every_ending() {
        assert!(pattern("gpt-4o").matches("gpt-4o") && !pattern("gpt-4o").matches("gpt-4o-mini"));
        assert!(pattern("gpt-4o*").matches("gpt-4o") && pattern("gpt-4o*").matches("gpt-4o-mini"));
        assert!(!pattern("openai/*").matches("openai") && !pattern("openai/*").matches("OPENAI/x"));
        assert!(Pattern::any().matches(""));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for wrong in ["", "gpt-*-mini", "**", "a b", "a\nb", "a\u{7f}", &"x".repeat(257)] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong:?}");
        }
    }

    proptest! {
        // Security test 19: what is covered can name nothing that the covering one cannot.
        #[test]
        fn what_is_covered_matches_nothing_more(a in "[ab]{0,3}\\*?", b in "[ab]{0,3}\\*?", name in "[ab]{0,5}") {
            let (Ok(a), Ok(b)) = (a.parse::<Pattern>(), b.parse::<Pattern>()) else { return Ok(()) };
            if a.covers(&b) && b.matches(&name) {
                prop_assert!(a.matches(&name));
            }
            prop_assert!(a.covers(&a) && Pattern::any().covers(&a));
        }
    }
}

//! Which kind of answer a question wants.

use super::lexicon::{Asking, Class, Note};
use super::question::Question;

/// What is asked for, a bit for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Asks(pub(crate) u32);

impl Asks {
    pub(crate) const WHAT: u32 = 1;
    pub(crate) const HOW: u32 = 2;
    pub(crate) const WHY: u32 = 4;
    pub(crate) const WHEN: u32 = 8;
    pub(crate) const WHERE: u32 = 16;
    pub(crate) const WHO: u32 = 32;
    pub(crate) const HOW_MANY: u32 = 64;
    pub(crate) const HOW_LONG: u32 = 128;
    pub(crate) const HOW_MUCH: u32 = 256;
    pub(crate) const YES_NO: u32 = 512;
}

impl Question {
    pub(super) fn find_asks(&mut self) {
        let mut asks = 0;
        let words = &self.words;
        for (at, word) in words.iter().enumerate() {
            let next = words.get(at + 1);
            match word.known.class {
                // "How is salt able to melt ice" asks for the reason too.
                Class::Asking(Asking::How) if self.says(at, &["able", "possible"]) => {
                    asks |= Asks::HOW | Asks::WHY
                }
                Class::Asking(Asking::How) => {
                    let next = next.map(|next| self.letters(next)).unwrap_or_default();
                    asks |= match next {
                        "many" => Asks::HOW_MANY,
                        "much" | "expensive" => Asks::HOW_MUCH,
                        "long" | "soon" | "quickly" | "fast" | "often" => Asks::HOW_LONG,
                        "old" | "tall" | "far" | "big" | "high" | "deep" | "large" | "strong" | "hot"
                        | "cold" | "hard" | "heavy" => Asks::HOW_MANY,
                        "come" => Asks::WHY,
                        _ => Asks::HOW,
                    };
                }
                Class::Asking(Asking::What) => {
                    asks |= self.what(at);
                }
                Class::Asking(Asking::Why) => asks |= Asks::WHY,
                Class::Asking(Asking::When) if word.begins || at <= 1 => asks |= Asks::WHEN,
                // "Where does it come from": its place or its reason.
                Class::Asking(Asking::Where) if (word.begins || at <= 1) && self.comes_from(at) => {
                    asks |= Asks::WHERE | Asks::WHY;
                }
                Class::Asking(Asking::Where) if word.begins || at <= 1 => asks |= Asks::WHERE,
                Class::Asking(Asking::Who) if word.begins || at <= 1 => asks |= Asks::WHO,
                Class::Verb(_) if word.begins => asks |= Asks::YES_NO,
                _ => {}
            }
        }
        self.asks = Asks(asks);
    }

    fn says(&self, after: usize, words: &[&str]) -> bool {
        self.words[after..].iter().any(|word| words.contains(&self.letters(word)))
    }

    fn comes_from(&self, after: usize) -> bool {
        self.words[after..].windows(2).any(|pair| {
            matches!(self.letters(&pair[0]), "come" | "comes" | "came" | "coming")
                && pair[1].note == Note::From
        })
    }

    /// `what` asks for many things: the words after it say for which.
    fn what(&self, at: usize) -> u32 {
        for word in self.words.iter().skip(at + 1).take(6) {
            match self.letters(word) {
                "way" | "ways" | "tips" | "tip" | "steps" | "step" | "method" | "methods" | "process"
                | "procedure" => {
                    return Asks::HOW;
                }
                "reason" | "reasons" | "cause" | "causes" | "caused" => return Asks::WHY,
                "time" | "date" | "year" | "day" => return Asks::WHEN,
                "place" | "places" | "city" | "country" | "site" | "website" | "websites" | "sites" => {
                    return Asks::WHERE | Asks::WHAT;
                }
                "cost" | "price" | "fee" | "fees" | "salary" => return Asks::HOW_MUCH | Asks::WHAT,
                "number" | "amount" | "population" => return Asks::HOW_MANY | Asks::WHAT,
                "person" | "people" => return Asks::WHO | Asks::WHAT,
                _ => {}
            }
        }
        Asks::WHAT
    }
}

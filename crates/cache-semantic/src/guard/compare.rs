//! Two questions side by side.

use super::lexicon::{Class, Joint, Lexicon, Tense};
use super::question::{Asks, Question, Word};
use super::{Difference, Verdict, order};

/// Two questions, and which word of one is which of the other.
pub(crate) struct Comparison<'a> {
    pub(crate) a: &'a Question,
    pub(crate) b: &'a Question,
    /// For each word of `a` its counterpart in `b`.
    pub(crate) to_b: Vec<Option<u16>>,
    pub(crate) to_a: Vec<Option<u16>>,
    /// Words that are met by one that means the same, and not by themselves.
    loose: u32,
}

impl<'a> Comparison<'a> {
    pub(crate) fn new(a: &'a Question, b: &'a Question) -> Self {
        let mut this = Self { a, b, to_b: vec![None; a.words.len()], to_a: vec![None; b.words.len()], loose: 0 };
        this.pair(|_, _, one, other| one.key == other.key && one.is_content() == other.is_content());
        this.pair(|a, b, one, other| {
            one.is_content() && other.is_content() && !one.is_number() && !other.is_number() && is_form_of(a, b, one, other)
        });
        let before = this.paired();
        this.pair(|_, _, one, other| one.is_content() && other.is_content() && one.known.means(&other.known));
        this.loose = (this.paired() - before) as u32;
        this
    }

    fn paired(&self) -> usize {
        self.to_b.iter().flatten().count()
    }

    #[allow(clippy::cast_possible_truncation)]
    fn pair(&mut self, fits: impl Fn(&Question, &Question, &Word, &Word) -> bool) {
        for (at, word) in self.a.words.iter().enumerate() {
            if self.to_b[at].is_some() {
                continue;
            }
            let found = self
                .b
                .words
                .iter()
                .enumerate()
                .position(|(place, other)| self.to_a[place].is_none() && fits(self.a, self.b, word, other));
            if let Some(place) = found {
                self.to_b[at] = Some(place as u16);
                self.to_a[place] = Some(at as u16);
            }
        }
    }

    pub(crate) fn only_a(&self) -> impl Iterator<Item = &'a Word> + Clone + '_ {
        self.a.words.iter().zip(&self.to_b).filter(|(_, other)| other.is_none()).map(|(word, _)| word)
    }

    pub(crate) fn only_b(&self) -> impl Iterator<Item = &'a Word> + Clone + '_ {
        self.b.words.iter().zip(&self.to_a).filter(|(_, other)| other.is_none()).map(|(word, _)| word)
    }

    pub(crate) fn verdict(&self, strict: bool) -> Verdict {
        match self.find_veto() {
            Some(difference) => Verdict::veto(difference),
            None => self.doubt(strict),
        }
    }

    fn find_veto(&self) -> Option<Difference> {
        if self.numbers_differ() {
            return Some(Difference::Number);
        }
        if count(self.a, Class::Negation) != count(self.b, Class::Negation) {
            return Some(Difference::Negation);
        }
        if self.opposites() {
            return Some(Difference::Opposite);
        }
        if self.sorts() {
            return Some(Difference::Sort);
        }
        if self.names_differ() {
            return Some(Difference::Name);
        }
        if self.joints_differ() {
            return Some(Difference::Joint);
        }
        if self.roles_differ() {
            return Some(Difference::Role);
        }
        if self.tenses_differ() {
            return Some(Difference::Tense);
        }
        if order::differs(self) {
            return Some(Difference::Order);
        }
        if self.asked_differ() {
            return Some(Difference::Asked);
        }
        None
    }

    fn numbers_differ(&self) -> bool {
        self.only_a().chain(self.only_b()).any(Word::is_number)
    }

    fn opposites(&self) -> bool {
        let lexicon = Lexicon::get();
        let only_b = self.only_b();
        self.only_a().any(|one| {
            only_b.clone().any(|other| {
                lexicon.are_opposite(one.key, other.key)
                    || is_denied_form(self.a.letters(one), self.b.letters(other))
                    || is_denied_form(self.b.letters(other), self.a.letters(one))
            })
        })
    }

    fn sorts(&self) -> bool {
        let only_b = self.only_b();
        self.only_a().any(|one| only_b.clone().any(|other| one.known.is_of_sort(&other.known)))
    }

    fn names_differ(&self) -> bool {
        let names_a = self.only_a().filter(|word| word.is_name && word.is_content());
        let names_b = self.only_b().filter(|word| word.is_name && word.is_content());
        names_a.chain(names_b).next().is_some()
    }

    fn joints_differ(&self) -> bool {
        let ors = |question: &Question| {
            question.words.iter().filter(|word| word.joint() == Some(Joint::Or)).count().min(1)
        };
        let ands = |question: &Question| {
            question.words.iter().filter(|word| word.joint() == Some(Joint::And)).count().min(1)
        };
        let (or_a, or_b, and_a, and_b) = (ors(self.a), ors(self.b), ands(self.a), ands(self.b));
        (or_a > or_b && and_b > and_a) || (or_b > or_a && and_a > and_b)
    }

    /// `Is A seen by B` is not `does A see B`.
    fn roles_differ(&self) -> bool {
        let by = |question: &Question| question.words.iter().any(|word| question.letters(word) == "by");
        by(self.a) != by(self.b) && self.only_a().chain(self.only_b()).all(|word| !word.is_content())
    }

    fn tenses_differ(&self) -> bool {
        let has = |question: &Question, words: &[&str]| {
            question.words.iter().any(|word| words.contains(&question.letters(word)))
        };
        let change = ["becoming", "former", "formerly", "ex", "future", "becomes", "wannabe"];
        if change.iter().any(|word| has(self.a, &[word]) != has(self.b, &[word])) {
            return true;
        }
        let used_to = |question: &Question| {
            question.words.windows(2).any(|pair| {
                matches!(question.letters(&pair[0]), "use" | "used") && question.letters(&pair[1]) == "to"
            })
        };
        if used_to(self.a) != used_to(self.b) {
            return true;
        }
        let tense = |question: &Question, tense| question.words.iter().any(|word| word.tense() == Some(tense));
        let (past_a, past_b) = (tense(self.a, Tense::Past), tense(self.b, Tense::Past));
        let (future_a, future_b) = (tense(self.a, Tense::Future), tense(self.b, Tense::Future));
        (past_a && future_b && !future_a && !past_b) || (past_b && future_a && !future_b && !past_a)
    }

    fn asked_differ(&self) -> bool {
        let (a, b) = (self.a.asks, self.b.asks);
        let strong = Asks::WHY | Asks::WHEN | Asks::WHERE | Asks::WHO | Asks::HOW_MANY | Asks::HOW_LONG | Asks::HOW_MUCH;
        let (only_a, only_b) = (a.0 & !b.0, b.0 & !a.0);
        only_a & strong != 0 && only_b != 0 || only_b & strong != 0 && only_a != 0
    }

    fn doubt(&self, strict: bool) -> Verdict {
        let content = |words: &mut dyn Iterator<Item = &'a Word>| words.filter(|word| word.is_content()).count();
        let only_a = content(&mut self.only_a());
        let only_b = content(&mut self.only_b());
        let replaced = only_a.min(only_b);
        let added = only_a.max(only_b) - replaced;
        if strict && replaced > 0 {
            return Verdict::veto(Difference::Replaced);
        }
        if strict && added > 0 {
            return Verdict::veto(Difference::Added);
        }
        let asked = f32::from(u8::from(self.a.asks.0 & !Asks::WHAT != self.b.asks.0 & !Asks::WHAT));
        let doubt = 0.04 * replaced as f32 + 0.02 * added as f32 + 0.02 * asked + 0.005 * self.loose as f32;
        let because = match (replaced, added) {
            (0, 0) if asked > 0.0 => Some(Difference::Asked),
            (0, 0) => None,
            (0, _) => Some(Difference::Added),
            _ => Some(Difference::Replaced),
        };
        Verdict { veto: None, doubt, because }
    }
}

fn count(question: &Question, class: Class) -> usize {
    question.words.iter().filter(|word| word.is(class)).count()
}

/// `happy` and `unhappy`.
fn is_denied_form(word: &str, denied: &str) -> bool {
    const PREFIXES: &[&str] = &["un", "in", "im", "il", "ir", "dis", "non", "anti", "mis"];
    word.len() >= 3 && PREFIXES.iter().any(|prefix| denied.strip_prefix(prefix) == Some(word))
}

/// Whether one is a misspelling of the other, or made from the same root.
fn is_form_of(a: &Question, b: &Question, one: &Word, other: &Word) -> bool {
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
        "", "e", "s", "es", "y", "ing", "ed", "er", "or", "ers", "ors", "ion", "ions", "ation", "ations", "ization", "ment",
        "ments", "al", "ally", "ness", "ity", "ive", "able", "ance", "ence", "ant", "ent", "ancy", "ency", "ful", "ous",
        "ize", "ized", "izing", "ise", "ised", "ising", "ify", "ication", "ical", "ics", "ic", "ism", "ist", "ists", "ly",
        "ure", "age", "t", "th", "d", "ied", "ies", "ying", "ary", "ory", "ative",
    ];
    let head = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    if head < 5 && !(head == 4 && short.len() == 4) {
        return false;
    }
    let is_ending = |rest: &[u8]| ENDINGS.iter().any(|ending| ending.as_bytes() == rest);
    // The common head may reach into the endings (`organi-ze`, `organi-zation`).
    (0..=2).any(|back| {
        head >= back + 4 && is_ending(&short[head - back..]) && is_ending(&long[head - back..])
    })
}

//! Two questions side by side.

use super::asks::Asks;
use super::denial::{Denied, denials};
use super::doubt::{Doubt, Doubts};
use super::form::{is_denied_form, is_form_of};
use super::lexicon::{Class, Joint, Lexicon, Note, Tense};
use super::order::{self, Order};
use super::question::{Question, Word};
use super::{Difference, Verdict};

/// Two questions, and which word of one is which of the other.
pub(crate) struct Comparison<'a> {
    pub(crate) a: &'a Question,
    pub(crate) b: &'a Question,
    /// For each word of `a` its counterpart in `b`.
    pub(crate) to_b: Vec<Option<u16>>,
    pub(crate) to_a: Vec<Option<u16>>,
}

impl<'a> Comparison<'a> {
    pub(crate) fn new(a: &'a Question, b: &'a Question) -> Self {
        let mut this = Self { a, b, to_b: vec![None; a.words.len()], to_a: vec![None; b.words.len()] };
        this.pair(|_, _, one, other| one.key == other.key && one.is_content() == other.is_content());
        this.pair(|a, b, one, other| {
            one.is_content()
                && other.is_content()
                && !one.is_number()
                && !other.is_number()
                && is_form_of(a, b, one, other)
        });
        this.pair(|_, _, one, other| one.is_content() && other.is_content() && one.known.means(&other.known));
        this
    }

    #[allow(clippy::cast_possible_truncation)]
    fn pair(&mut self, fits: impl Fn(&Question, &Question, &Word, &Word) -> bool) {
        for (at, word) in self.a.words.iter().enumerate() {
            if self.to_b[at].is_some() {
                continue;
            }
            let found =
                self.b.words.iter().enumerate().position(|(place, other)| {
                    self.to_a[place].is_none() && fits(self.a, self.b, word, other)
                });
            if let Some(place) = found {
                self.to_b[at] = Some(place as u16);
                self.to_a[place] = Some(at as u16);
            }
        }
    }

    /// Whether what both have is written the same way, and not only means the same.
    pub(crate) fn is_to_the_letter(&self) -> bool {
        let pairs = self.a.words.iter().zip(&self.to_b);
        pairs
            .filter_map(|(word, there)| Some((word, (*there)?)))
            .all(|(word, there)| word.key == self.b.words[usize::from(there)].key)
    }

    pub(crate) fn only_a(&self) -> impl Iterator<Item = &'a Word> + Clone + '_ {
        self.a.words.iter().zip(&self.to_b).filter(|(_, other)| other.is_none()).map(|(word, _)| word)
    }

    pub(crate) fn only_b(&self) -> impl Iterator<Item = &'a Word> + Clone + '_ {
        self.b.words.iter().zip(&self.to_a).filter(|(_, other)| other.is_none()).map(|(word, _)| word)
    }

    pub(crate) fn verdict(&self, strict: bool) -> Verdict {
        if let Some(difference) = self.find_veto() {
            return Verdict::veto(difference);
        }
        let order = order::of(self);
        if order == Order::Scrambled {
            return Verdict::veto(Difference::Order);
        }
        if self.directions() {
            return Verdict::veto(Difference::Opposite);
        }
        if self.unmatched() <= 1 && self.ask_for_others() {
            return Verdict::veto(Difference::Asked);
        }
        let doubts = self.doubts(order);
        if strict && let Some(difference) = doubts.because() {
            return Verdict::veto(difference);
        }
        Verdict { veto: None, doubt: doubts.sum(), because: doubts.because() }
    }

    fn find_veto(&self) -> Option<Difference> {
        if self.numbers_differ() {
            return Some(Difference::Number);
        }
        if self.is_denial() {
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
        None
    }

    /// Another number on the other side, or one more.
    fn numbers_differ(&self) -> bool {
        let a = self.only_a().filter(|word| word.is_number()).count();
        let b = self.only_b().filter(|word| word.is_number()).count();
        a > 0 && b > 0 || a + b > 0 && self.is_same_but_for(Word::is_number)
    }

    /// Whether everything but these words is on both sides.
    fn is_same_but_for(&self, but: impl Fn(&Word) -> bool) -> bool {
        self.only_a().chain(self.only_b()).all(|word| !word.is_content() || but(word))
    }

    /// One is denied and the other is not, and there is hardly any other difference. In two questions that say the same in
    /// other words one may be denied ("I can't find it", "it is missing").
    fn is_denial(&self) -> bool {
        denials(self.a) != denials(self.b)
            && self.unmatched() <= 1
            && !self.only_a().any(|word| word.note == Note::Trouble)
            && !self.only_b().any(|word| word.note == Note::Trouble)
            || self.denies_another()
    }

    /// Both deny something, but not the same: `without food` and `without water`, where both speak of water.
    fn denies_another(&self) -> bool {
        self.unmatched() <= 3
            && match (Denied::of(self.a), Denied::of(self.b)) {
                (Some(a), Some(b)) => a.is_affirmed_in(&b, self.b) || b.is_affirmed_in(&a, self.a),
                _ => false,
            }
    }

    /// How many words say what only one of the questions is about.
    pub(crate) fn unmatched(&self) -> usize {
        self.only_a().chain(self.only_b()).filter(|word| word.is_content()).count()
    }

    fn opposites(&self) -> bool {
        let lexicon = Lexicon::get();
        if self.quantifiers() {
            return true;
        }
        // "Not accepting" and "denying": denied twice.
        let is_denied_twice = denials(self.a) != denials(self.b);
        let only_b = self.only_b();
        self.only_a().any(|one| {
            only_b.clone().any(|other| {
                !(is_denied_twice && one.is_content() && other.is_content())
                    && (lexicon.are_opposite(one.key, other.key)
                        || is_denied_form(self.a.letters(one), self.b.letters(other))
                        || is_denied_form(self.b.letters(other), self.a.letters(one)))
            })
        })
    }

    /// `To Norway` and `from Norway`.
    fn directions(&self) -> bool {
        let before = |question: &Question, at: usize| {
            let words = question.words[..at].iter().rev();
            words.take(2).find(|word| !word.is_article()).map_or(Note::None, |word| word.note)
        };
        self.to_b.iter().enumerate().any(|(at, there)| {
            let Some(there) = there else { return false };
            self.a.words[at].is_content()
                && matches!(
                    (before(self.a, at), before(self.b, usize::from(*there))),
                    (Note::To, Note::From) | (Note::From, Note::To)
                )
        })
    }

    /// `All` and `some`, where nothing else differs.
    fn quantifiers(&self) -> bool {
        let has = |mut only: Box<dyn Iterator<Item = &Word> + '_>, note| only.any(|word| word.note == note);
        self.unmatched() == 0
            && (has(Box::new(self.only_a()), Note::All) && has(Box::new(self.only_b()), Note::Some)
                || has(Box::new(self.only_a()), Note::Some) && has(Box::new(self.only_b()), Note::All))
    }

    fn sorts(&self) -> bool {
        let only_b = self.only_b();
        self.only_a().any(|one| only_b.clone().any(|other| one.known.is_of_sort(&other.known)))
    }

    /// A name on each side that the other does not have; where something is to be chosen, on one side, unless it is only more
    /// of a name that both have (`Toyota Camry`).
    fn names_differ(&self) -> bool {
        let is_name = |word: &Word| word.is_name && word.is_content();
        let (a, b) = (self.only_a().any(is_name), self.only_b().any(is_name));
        let is_new = |question: &Question, other: &[Option<u16>]| {
            let mut own =
                question.words.iter().enumerate().filter(|(at, word)| other[*at].is_none() && is_name(word));
            own.any(|(at, _)| !is_part_of_name(question, other, at))
        };
        let is_choice = |question: &Question| {
            question.words.iter().any(|word| matches!(word.joint(), Some(Joint::Or | Joint::Versus)))
        };
        a && b
            || (is_new(self.a, &self.to_b) || is_new(self.b, &self.to_a))
                && (is_choice(self.a) || is_choice(self.b))
    }

    fn joints_differ(&self) -> bool {
        let has = |question: &Question, joint| question.words.iter().any(|word| word.joint() == Some(joint));
        let (or_a, or_b) = (has(self.a, Joint::Or), has(self.b, Joint::Or));
        let (and_a, and_b) = (has(self.a, Joint::And), has(self.b, Joint::And));
        // "The difference between pills and powder", "does it make a difference, pills or powder".
        let are_compared = |question: &Question| {
            question.words.iter().any(|word| word.note == Note::Frame && word.is_content())
        };
        (or_a && !or_b && and_b && !and_a || or_b && !or_a && and_a && !and_b)
            && !(are_compared(self.a) && are_compared(self.b))
    }

    /// `Is A seen by B` is not `does A see B`.
    fn roles_differ(&self) -> bool {
        let by = |question: &Question| {
            question
                .words
                .windows(2)
                .any(|pair| pair[0].note == Note::By && (pair[1].is_content() || pair[1].is_article()))
        };
        by(self.a) != by(self.b) && self.is_same_but_for(|_| false)
    }

    fn tenses_differ(&self) -> bool {
        let changes = |word: &&Word| word.note == Note::Change;
        if self.only_a().any(|word| changes(&word)) || self.only_b().any(|word| changes(&word)) {
            return true;
        }
        let used_to = |question: &Question| {
            question.words.windows(2).any(|pair| {
                let is_used = match pair[0].note {
                    Note::Used => true,
                    Note::Use => question.words.iter().any(|word| word.tense() == Some(Tense::Past)),
                    _ => false,
                };
                is_used && pair[1].note == Note::To
            })
        };
        if used_to(self.a) != used_to(self.b) {
            return true;
        }
        let tense =
            |question: &Question, tense| question.words.iter().any(|word| word.tense() == Some(tense));
        let (past_a, past_b) = (tense(self.a, Tense::Past), tense(self.b, Tense::Past));
        let speaks_to =
            |question: &Question| question.words.iter().any(|word| question.letters(word) == "you");
        // "Why do you like it", "why did you like it": everybody is asked, and nobody's past.
        if self.unmatched() == 0 && past_a != past_b && self.a.asks == self.b.asks && !speaks_to(self.a) {
            return true;
        }
        let (future_a, future_b) = (tense(self.a, Tense::Future), tense(self.b, Tense::Future));
        self.unmatched() <= 2
            && ((past_a && future_b && !future_a && !past_b) || (past_b && future_a && !future_b && !past_a))
    }

    fn doubts(&self, order: Order) -> Doubts {
        let mut doubts = Doubts::default();
        for (question, other) in [(self.a, &self.to_b), (self.b, &self.to_a)] {
            for (at, word) in question.words.iter().enumerate().filter(|(at, _)| other[*at].is_none()) {
                doubts.add(match word.known.class {
                    Class::Number => Doubt::Number,
                    Class::Content if word.is_name && is_part_of_name(question, other, at) => continue,
                    Class::Content if word.is_name => Doubt::Name,
                    Class::Content if word.note == Note::Trouble => Doubt::Trouble,
                    Class::Content if word.note == Note::Ordinal => Doubt::Ordinal,
                    Class::Content => Doubt::Word,
                    // "Besides", "apart from": all but that.
                    Class::Preposition if word.note == Note::Trouble => Doubt::Trouble,
                    _ => continue,
                });
            }
        }
        if denials(self.a) != denials(self.b) {
            doubts.add(Doubt::Denied);
        }
        if order == Order::Moved {
            doubts.add(Doubt::Moved);
        }
        if self.asked_differ() {
            doubts.add(Doubt::Asked);
        }
        doubts
    }

    /// `Why did it fall` and `when did it fall`: both say what kind of answer they want, and it is not the same.
    fn ask_for_others(&self) -> bool {
        const VAGUE: u32 = Asks::WHAT | Asks::YES_NO;
        const WAY: u32 = Asks::HOW | Asks::WHERE;
        let (a, b) = (self.a.asks.0, self.b.asks.0);
        // "Where do I order it" and "how do I order it" want the same.
        let is_way = a & !WAY == 0 && b & !WAY == 0;
        a != 0 && b != 0 && a & b == 0 && (a | b) & VAGUE == 0 && !is_way
    }

    /// `Why` on one side and `how` on the other; not `how` and `what is the best way`.
    fn asked_differ(&self) -> bool {
        const SURE: u32 = Asks::WHY
            | Asks::WHEN
            | Asks::WHERE
            | Asks::WHO
            | Asks::HOW_MANY
            | Asks::HOW_LONG
            | Asks::HOW_MUCH;
        let (a, b) = (self.a.asks.0, self.b.asks.0);
        let (only_a, only_b) = (a & !b, b & !a);
        only_a & SURE != 0 && only_b != 0 || only_b & SURE != 0 && only_a != 0
    }
}

/// Whether a name stands beside another one that both questions have: `Donald` in `Donald Trump`.
fn is_part_of_name(question: &Question, other: &[Option<u16>], at: usize) -> bool {
    let words = &question.words;
    let before = words[at].joins_name && other[at - 1].is_some();
    let after = words.get(at + 1).is_some_and(|next| next.joins_name && other[at + 1].is_some());
    before || after
}

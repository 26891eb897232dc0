//! Two questions side by side.

use super::lexicon::{Class, Joint, Lexicon, Tense};
use super::question::{Asks, Question, Word};
use super::order::{self, Order};
use super::{Difference, Verdict};

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
        if let Some(difference) = self.find_veto() {
            return Verdict::veto(difference);
        }
        let doubts = self.doubts();
        if strict && let Some(doubt) = doubts.first_serious() {
            return Verdict::veto(doubt.difference());
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
        if order::of(self) == Order::Scrambled {
            return Some(Difference::Order);
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
            && !self.only_a().any(|word| is_trouble(self.a.letters(word)))
            && !self.only_b().any(|word| is_trouble(self.b.letters(word)))
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

    fn sorts(&self) -> bool {
        let only_b = self.only_b();
        self.only_a().any(|one| only_b.clone().any(|other| one.known.is_of_sort(&other.known)))
    }

    /// A name on each side that the other does not have; where something is to be chosen, on one side.
    fn names_differ(&self) -> bool {
        let is_name = |word: &Word| word.is_name && word.is_content();
        let (a, b) = (self.only_a().any(is_name), self.only_b().any(is_name));
        let is_choice = |question: &Question| {
            question.words.iter().any(|word| matches!(word.joint(), Some(Joint::Or | Joint::Versus)))
        };
        a && b || (a || b) && (is_choice(self.a) || is_choice(self.b))
    }

    fn joints_differ(&self) -> bool {
        let has = |question: &Question, joint| question.words.iter().any(|word| word.joint() == Some(joint));
        let (or_a, or_b) = (has(self.a, Joint::Or), has(self.b, Joint::Or));
        let (and_a, and_b) = (has(self.a, Joint::And), has(self.b, Joint::And));
        (or_a && !or_b && and_b && !and_a) || (or_b && !or_a && and_a && !and_b)
    }

    /// `Is A seen by B` is not `does A see B`.
    fn roles_differ(&self) -> bool {
        let by = |question: &Question| {
            question.words.windows(2).any(|pair| question.letters(&pair[0]) == "by" && (pair[1].is_content() || pair[1].is_article))
        };
        by(self.a) != by(self.b) && self.is_same_but_for(|_| false)
    }

    fn tenses_differ(&self) -> bool {
        const CHANGE: &[&str] = &["becoming", "former", "formerly", "ex", "becomes", "wannabe", "aspiring"];
        let has = |question: &Question, wanted: &str| question.words.iter().any(|word| question.letters(word) == wanted);
        if CHANGE.iter().any(|word| has(self.a, word) != has(self.b, word)) {
            return true;
        }
        let used_to = |question: &Question| {
            question.words.windows(2).any(|pair| {
                let is_used = match question.letters(&pair[0]) {
                    "used" => true,
                    "use" => question.words.iter().any(|word| word.tense() == Some(Tense::Past)),
                    _ => false,
                };
                is_used && question.letters(&pair[1]) == "to"
            })
        };
        if used_to(self.a) != used_to(self.b) {
            return true;
        }
        let tense = |question: &Question, tense| question.words.iter().any(|word| word.tense() == Some(tense));
        let (past_a, past_b) = (tense(self.a, Tense::Past), tense(self.b, Tense::Past));
        let (future_a, future_b) = (tense(self.a, Tense::Future), tense(self.b, Tense::Future));
        self.unmatched() <= 2
            && ((past_a && future_b && !future_a && !past_b) || (past_b && future_a && !future_b && !past_a))
    }

    pub(crate) fn doubts(&self) -> Doubts {
        let mut doubts = Doubts::default();
        let (mut plain_a, mut plain_b) = (0, 0);
        for (question, other, plain) in [(self.a, &self.to_b, &mut plain_a), (self.b, &self.to_a, &mut plain_b)] {
            for (at, word) in question.words.iter().enumerate().filter(|(at, _)| other[*at].is_none()) {
                match word.known.class {
                    Class::Content if word.is_name && is_part_of_name(question, other, at) => doubts.add(Doubt::NamePart),
                    Class::Content if word.is_name => doubts.add(Doubt::NameAdded),
                    Class::Content if is_trouble(question.letters(word)) => doubts.add(Doubt::Trouble),
                    Class::Content if is_ordinal(question.letters(word)) => doubts.add(Doubt::Ordinal),
                    Class::Content if is_superlative(question.letters(word)) => doubts.add(Doubt::Superlative),
                    Class::Content => *plain += 1,
                    Class::Number => doubts.add(Doubt::NumberAdded),
                    Class::Light => doubts.add(Doubt::Light),
                    Class::Pronoun => doubts.add(Doubt::Person),
                    Class::Preposition => doubts.add(Doubt::Preposition),
                    Class::Verb(tense) => match tense {
                        Tense::Past => doubts.add(Doubt::Past),
                        Tense::Should | Tense::Must | Tense::Would | Tense::Can => doubts.add(Doubt::Modal),
                        _ => {}
                    },
                    _ => {}
                }
            }
        }
        doubts.set(Doubt::Replaced, plain_a.min(plain_b));
        doubts.set(Doubt::Added, plain_a.max(plain_b) - plain_a.min(plain_b));
        doubts.set(Doubt::Loose, self.loose as usize);
        if order::of(self) == Order::Moved {
            doubts.add(Doubt::Moved);
        }
        if denials(self.a) != denials(self.b) {
            let troubles = |words: &Question| words.words.iter().any(|word| is_trouble(words.letters(word)));
            // "I can't log in", "I have trouble to log in": denied both, in their way.
            doubts.add(if troubles(self.a) || troubles(self.b) { Doubt::Light } else { Doubt::Denied });
        }
        let (content_a, content_b) = (self.a.content(), self.b.content());
        if content_a.min(content_b) <= 2 && plain_a + plain_b > 0 {
            doubts.add(Doubt::Short);
        }
        if content_a.abs_diff(content_b) >= 4 {
            doubts.add(Doubt::Longer);
        }
        if self.a.is_question != self.b.is_question {
            doubts.add(Doubt::Told);
        }
        self.doubt_what_is_asked(&mut doubts);
        doubts
    }

    fn doubt_what_is_asked(&self, doubts: &mut Doubts) {
        let strong = Asks::WHY | Asks::WHEN | Asks::WHERE | Asks::WHO | Asks::HOW_MANY | Asks::HOW_LONG | Asks::HOW_MUCH;
        let (a, b) = (self.a.asks.0, self.b.asks.0);
        let (only_a, only_b) = (a & !b, b & !a);
        if only_a & strong != 0 && only_b != 0 || only_b & strong != 0 && only_a != 0 {
            doubts.add(Doubt::AskedOther);
        } else if (only_a | only_b) & !Asks::WHAT != 0 {
            doubts.add(Doubt::Asked);
        }
    }
}

/// What may change an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    Replaced,
    Added,
    NameAdded,
    NamePart,
    NumberAdded,
    Superlative,
    Trouble,
    AskedOther,
    Asked,
    Moved,
    Modal,
    Past,
    Person,
    Light,
    Preposition,
    Loose,
    Denied,
    Short,
    Longer,
    Told,
    Ordinal,
}

/// How often each of them was met.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Doubts(pub(crate) [u8; 21]);

const ALL: [(Doubt, f32); 21] = [
    (Doubt::Replaced, 0.0),
    (Doubt::Added, 0.0),
    (Doubt::NameAdded, 0.0),
    (Doubt::NamePart, 0.0),
    (Doubt::NumberAdded, 0.04),
    (Doubt::Superlative, 0.0),
    (Doubt::Trouble, 0.03),
    (Doubt::AskedOther, 0.0),
    (Doubt::Asked, 0.0),
    (Doubt::Moved, 0.0),
    (Doubt::Modal, 0.0),
    (Doubt::Past, 0.0),
    (Doubt::Person, 0.0),
    (Doubt::Light, 0.0),
    (Doubt::Preposition, 0.0),
    (Doubt::Loose, 0.0),
    (Doubt::Denied, 0.0),
    (Doubt::Short, 0.0),
    (Doubt::Longer, 0.0),
    (Doubt::Told, 0.0),
    (Doubt::Ordinal, 0.04),
];

impl Doubts {
    fn add(&mut self, doubt: Doubt) {
        self.0[doubt as usize] = self.0[doubt as usize].saturating_add(1);
    }

    fn set(&mut self, doubt: Doubt, count: usize) {
        self.0[doubt as usize] = u8::try_from(count).unwrap_or(u8::MAX);
    }

    fn sum(&self) -> f32 {
        ALL.iter().map(|(doubt, weight)| f32::from(self.0[*doubt as usize]) * weight).sum()
    }

    fn first_serious(&self) -> Option<Doubt> {
        ALL.iter().find(|(doubt, weight)| *weight >= 0.02 && self.0[*doubt as usize] > 0).map(|(doubt, _)| *doubt)
    }

    fn because(&self) -> Option<Difference> {
        let worth = |(doubt, weight): &(Doubt, f32)| f32::from(self.0[*doubt as usize]) * weight;
        let most = ALL.iter().max_by(|a, b| worth(a).total_cmp(&worth(b)))?;
        (worth(most) > 0.0).then(|| most.0.difference())
    }
}

impl Doubt {
    fn difference(self) -> Difference {
        match self {
            Self::Replaced | Self::Loose => Difference::Replaced,
            Self::Added | Self::Superlative | Self::Trouble | Self::Light | Self::Preposition => Difference::Added,
            Self::NameAdded | Self::NamePart => Difference::Name,
            Self::NumberAdded | Self::Ordinal => Difference::Number,
            Self::AskedOther | Self::Asked => Difference::Asked,
            Self::Moved => Difference::Order,
            Self::Denied => Difference::Negation,
            Self::Short | Self::Longer | Self::Told => Difference::Added,
            Self::Modal | Self::Past => Difference::Tense,
            Self::Person => Difference::Role,
        }
    }
}

/// Whether a name stands beside another one that both questions have: `Donald` in `Donald Trump`.
fn is_part_of_name(question: &Question, other: &[Option<u16>], at: usize) -> bool {
    let words = &question.words;
    let before = words[at].joins_name && other[at - 1].is_some();
    let after = words.get(at + 1).is_some_and(|next| next.joins_name && other[at + 1].is_some());
    before || after
}

/// Words of something going wrong.
fn is_trouble(word: &str) -> bool {
    const WORDS: &[&str] = &[
        "problem", "problems", "trouble", "troubles", "issue", "issues", "error", "errors", "difficulty", "unable", "fail",
        "fails", "failed", "failing", "failure", "decline", "declined", "declining", "denied", "reject", "rejected", "stop",
        "stopped", "stops", "prevent", "prevents", "avoid", "lack", "lacks", "wrong", "broken", "refuse", "refused", "lost",
        "stolen", "missing", "unsure", "unsuccessful", "hate", "hates", "against", "deny", "denying", "denies",
        "besides", "apart",
    ];
    WORDS.contains(&word)
}

fn is_ordinal(word: &str) -> bool {
    matches!(word, "second" | "third" | "fourth" | "fifth" | "next" | "previous")
}

fn is_superlative(word: &str) -> bool {
    const WORDS: &[&str] = &["best", "good", "better", "most", "greatest", "top", "great", "worst", "first", "favorite", "favourite", "main"];
    WORDS.contains(&word)
}

/// What the first negation of a question denies.
struct Denied {
    /// The word right after it.
    key: u64,
    /// From the negation to the third word after it that says what the question is about.
    from: usize,
    to: usize,
}

impl Denied {
    fn of(question: &Question) -> Option<Self> {
        let from = question.words.iter().position(|word| word.is(Class::Negation))?;
        let mut after = question.words.iter().enumerate().skip(from + 1).filter(|(_, word)| word.is_content());
        let (at, word) = after.next()?;
        let to = after.nth(1).map_or(question.words.len(), |(at, _)| at).max(at);
        Some(Self { key: word.key, from, to })
    }

    /// Whether the other question says this word, and does not deny it.
    fn is_affirmed_in(&self, other: &Self, question: &Question) -> bool {
        let places = question.words.iter().enumerate().filter(|(_, word)| word.key == self.key);
        let mut outside = places.map(|(at, _)| at < other.from || at > other.to).peekable();
        outside.peek().is_some() && outside.all(|outside| outside)
    }
}

/// How often something is denied. "Or not" denies nothing.
fn denials(question: &Question) -> usize {
    let words = &question.words;
    (0..words.len())
        .filter(|at| words[*at].is(Class::Negation))
        .filter(|at| {
            // "Or not", "if not", "why not" deny nothing.
            !at.checked_sub(1).is_some_and(|before| {
                words[before].joint() == Some(Joint::Or) || matches!(question.letters(&words[before]), "if" | "why" | "whether")
            })
        })
        .count()
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

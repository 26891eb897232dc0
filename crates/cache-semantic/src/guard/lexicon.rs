//! What the guards know of English: small closed lists, each of them of one sort of word.
//!
//! Words stand here as they are written; what is looked up is their stem, on both sides.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::OnceLock;

use super::stem::{key, stem_key};

/// What a word does in a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// It says what the question is about.
    Content,
    /// A number, or a code with digits in it.
    Number,
    /// It holds the sentence together.
    Function,
    /// It says little, but where it stands may matter: `just`, `really`, `also`.
    Light,
    /// Courtesy and padding: `please`, `exactly`.
    Filler,
    /// `not`, `never`, `without`.
    Negation,
    /// `get`, `know`: verbs that say little.
    Weak,
    /// `he`, `her`.
    Pronoun,
    /// `and`, `or`, `versus`.
    Joint(Joint),
    /// `what`, `how`, `why`.
    Asking(Asking),
    /// `can`, `will`, `did`.
    Verb(Tense),
    /// `in`, `of`, `to`.
    Preposition,
}

/// How two things are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joint {
    And,
    Or,
    Versus,
}

/// What a word asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    What,
    How,
    Why,
    When,
    Where,
    Who,
}

/// What an auxiliary verb says of time and of how sure something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tense {
    Present,
    Past,
    Future,
    Can,
    Should,
    Must,
    Would,
}

/// What a guard looks for in single words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Note {
    #[default]
    None,
    /// `a`, `an`, `the`.
    Article,
    /// Something went wrong: `problem`, `declined`, `lost`.
    Trouble,
    /// `second`, `next`.
    Ordinal,
    /// Means the same wherever it stands: `which laptop is best`, `which is the best laptop`.
    Frame,
    /// Not what it is: what it was, or will be: `former`, `becoming`.
    Change,
    /// `if`, `why`, `whether`: a `not` after it denies nothing.
    Perhaps,
    By,
    Use,
    Used,
    To,
    From,
    /// `is`, `were`.
    Be,
    All,
    Some,
    /// `i`, `people`: who does it, without a name.
    Anybody,
}

/// What is known of one stem.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) class: Class,
    /// The circles of words that mean the same, 0 for none.
    pub(crate) same: [u16; 3],
    /// The sets of words of which one cannot stand for another, 0 for none.
    pub(crate) sort: [u16; 2],
}

impl Known {
    pub(crate) const UNKNOWN: Self = Self { class: Class::Content, same: [0; 3], sort: [0; 2] };

    pub(crate) fn means(&self, other: &Self) -> bool {
        self.same.iter().any(|circle| *circle != 0 && other.same.contains(circle))
    }

    pub(crate) fn is_of_sort(&self, other: &Self) -> bool {
        self.sort.iter().any(|sort| *sort != 0 && other.sort.contains(sort))
    }
}

/// The lists, by stem.
pub(crate) struct Lexicon {
    words: HashMap<u64, Known, BuildHasherDefault<Same>>,
    opposites: HashMap<(u64, u64), (), BuildHasherDefault<Same>>,
    /// By the key of the word as it stands.
    notes: HashMap<u64, Note, BuildHasherDefault<Same>>,
    numbers: HashMap<u64, f64, BuildHasherDefault<Same>>,
}

impl Lexicon {
    pub(crate) fn get() -> &'static Self {
        static LEXICON: OnceLock<Lexicon> = OnceLock::new();
        LEXICON.get_or_init(Lexicon::read)
    }

    /// What is known of a stem.
    pub(crate) fn of(&self, stem: u64) -> Known {
        self.words.get(&stem).copied().unwrap_or(Known::UNKNOWN)
    }

    /// What is noted of a word as it stands.
    pub(crate) fn note(&self, word: u64) -> Note {
        self.notes.get(&word).copied().unwrap_or_default()
    }

    /// The number that a word says.
    pub(crate) fn number(&self, word: u64) -> Option<f64> {
        self.numbers.get(&word).copied()
    }

    /// Whether two stems are opposites.
    pub(crate) fn are_opposite(&self, a: u64, b: u64) -> bool {
        self.opposites.contains_key(&(a.min(b), a.max(b)))
    }

    fn read() -> Self {
        let mut lexicon = Self {
            words: HashMap::default(),
            opposites: HashMap::default(),
            notes: HashMap::default(),
            numbers: NUMBERS.iter().map(|(name, value)| (key(name), *value)).collect(),
        };
        for (note, words) in NOTES {
            lexicon.notes.extend(words.split_whitespace().map(|word| (key(word), *note)));
        }
        for (class, words) in CLASSES {
            for word in words.split_whitespace() {
                // Function words are looked up as they stand: their stems say nothing.
                lexicon.known(key(word)).class = *class;
            }
        }
        for (circle, words) in (1..).zip(lines(SAME)) {
            for word in words.split_whitespace() {
                let places = &mut lexicon.known(stem_key(word)).same;
                if let Some(free) = places.iter_mut().find(|place| **place == 0) {
                    *free = circle;
                }
            }
        }
        for (sort, words) in (1..).zip(lines(SORTS)) {
            for word in words.split_whitespace() {
                let places = &mut lexicon.known(stem_key(word)).sort;
                if let Some(free) = places.iter_mut().find(|place| **place == 0) {
                    *free = sort;
                }
            }
        }
        for line in lines(OPPOSITES) {
            let Some((one, other)) = line.split_once('|') else { continue };
            for a in one.split_whitespace() {
                for b in other.split_whitespace() {
                    let (a, b) = (any_key(&lexicon, a), any_key(&lexicon, b));
                    lexicon.opposites.insert((a.min(b), a.max(b)), ());
                }
            }
        }
        lexicon
    }

    fn known(&mut self, key: u64) -> &mut Known {
        self.words.entry(key).or_insert(Known::UNKNOWN)
    }
}

/// The key under which a word of a list is met in a text: a function word as it stands, any other by its stem.
fn any_key(lexicon: &Lexicon, word: &str) -> u64 {
    let plain = key(word);
    match lexicon.words.get(&plain) {
        Some(known) if known.class != Class::Content => plain,
        _ => stem_key(word),
    }
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// Keys are hashes already.
#[derive(Default)]
pub(crate) struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = self.0.rotate_left(17) ^ number;
    }
}

const CLASSES: &[(Class, &str)] = &[
    (
        Class::Function,
        "a an the this that these those there here it its itself i me my mine myself we us our ours ourselves you your \
         yours yourself u ur one ones oneself someone somebody anyone anybody everyone everybody people they them their \
         theirs themselves something anything thing things stuff some any each such so as if whether than then \
         but because since though although while of s t im etc eg ie vs way ways kind kinds sort sorts type types \
         let lets please kindly \
         yes ok okay well much many lot lots few bit per own same else ever",
    ),
    (
        Class::Weak,
        "be being been get gets getting got gotten have having go going do doing done make makes making made want wants \
         wanted need needs needed know knows knew tell tells told show shows give gives gave help helps find finds like",
    ),
    (
        Class::Light,
        "all every each just only really even also too still already again yet almost nearly very quite rather so-called",
    ),
    (
        Class::Filler,
        "please kindly exactly actually truly basically literally simply hi hello hey thanks thank dear sir madam guys \
         maybe perhaps somehow anyway currently fact indeed certainly definitely generally usually normally possible \
         possibly probably particular specifically",
    ),
    (
        Class::Negation,
        "not no never none neither nor without cannot nobody nothing nowhere hardly barely rarely seldom non except \
         excluding",
    ),
    (Class::Pronoun, "he him his himself she her hers herself"),
    (Class::Joint(Joint::And), "and plus both simultaneously together"),
    (Class::Joint(Joint::Or), "or either"),
    (Class::Joint(Joint::Versus), "vs versus v"),
    (Class::Asking(Asking::What), "what which whatever"),
    (Class::Asking(Asking::How), "how"),
    (Class::Asking(Asking::Why), "why reason reasons"),
    (Class::Asking(Asking::When), "when"),
    (Class::Asking(Asking::Where), "where"),
    (Class::Asking(Asking::Who), "who whom whose"),
    (Class::Verb(Tense::Present), "is are am do does has have 're"),
    (Class::Verb(Tense::Past), "was were did had"),
    (Class::Verb(Tense::Future), "will shall gonna"),
    (Class::Verb(Tense::Can), "can could may might able"),
    (Class::Verb(Tense::Should), "should ought"),
    (Class::Verb(Tense::Must), "must"),
    (Class::Verb(Tense::Would), "would"),
    (
        Class::Preposition,
        "in on at of to for from by with about into onto upon over under through during within between among across \
         against towards toward around near via per until till off out up down regarding concerning besides beyond \
         inside outside above below behind beneath beside after before",
    ),
];

const NOTES: &[(Note, &str)] = &[
    (Note::Article, "a an the"),
    (
        Note::Trouble,
        "problem problems trouble troubles issue issues error errors difficulty unable fail fails failed failing failure \
         decline declined declining denied deny denies denying reject rejected stop stopped stops prevent prevents avoid \
         lack lacks wrong broken refuse refused lost stolen missing unsure unsuccessful hate hates against besides apart",
    ),
    (Note::Ordinal, "second third fourth fifth next previous"),
    (Note::Frame, "best difference differences different differ"),
    (Note::Change, "becoming becomes former formerly ex wannabe aspiring pre post"),
    (Note::Perhaps, "if why whether"),
    (Note::By, "by"),
    (Note::Use, "use"),
    (Note::Used, "used"),
    (Note::To, "to into onto towards"),
    (Note::From, "from"),
    (Note::Be, "is are am was were be been being"),
    (Note::All, "all every each"),
    (Note::Some, "some several"),
    (
        Note::Anybody,
        "i you we they it one someone somebody anyone anybody everyone everybody people u this that there",
    ),
];

const NUMBERS: &[(&str, f64)] = &[
    ("zero", 0.0),
    ("two", 2.0),
    ("three", 3.0),
    ("four", 4.0),
    ("five", 5.0),
    ("six", 6.0),
    ("seven", 7.0),
    ("eight", 8.0),
    ("nine", 9.0),
    ("ten", 10.0),
    ("eleven", 11.0),
    ("twelve", 12.0),
    ("thirteen", 13.0),
    ("fourteen", 14.0),
    ("fifteen", 15.0),
    ("sixteen", 16.0),
    ("seventeen", 17.0),
    ("eighteen", 18.0),
    ("nineteen", 19.0),
    ("twenty", 20.0),
    ("thirty", 30.0),
    ("forty", 40.0),
    ("fifty", 50.0),
    ("sixty", 60.0),
    ("seventy", 70.0),
    ("eighty", 80.0),
    ("ninety", 90.0),
    ("hundred", 100.0),
    ("thousand", 1e3),
    ("lakh", 1e5),
    ("million", 1e6),
    ("crore", 1e7),
    ("billion", 1e9),
];

/// Circles of words that mean the same in a question.
const SAME: &str = include_str!("same.txt");

/// Sorts of words: one of a sort cannot stand for another of it.
const SORTS: &str = include_str!("sorts.txt");

/// What is one way and what is the other.
const OPPOSITES: &str = include_str!("opposites.txt");

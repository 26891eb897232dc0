//! What a near question must survive before its answer is served: differences that a vector does not see.
//!
//! Opposites, numbers, names and who did what to whom change an answer and hardly move a vector. Each guard looks for one
//! such difference and may only veto. What is different but may mean the same costs nearness instead (a *doubt*): the
//! question must be that much nearer than the threshold says.

mod asks;
mod compare;
mod denial;
mod doubt;
mod form;
mod lexicon;
mod order;
mod question;
mod reader;
mod shape;
mod stem;

use std::fmt;

use self::compare::Comparison;
use self::question::Question;

/// How much the guards let through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Guards {
    /// Nearness alone decides. Not for production: opposites are nearer to each other than most paraphrases.
    Off,
    /// What changes the answer is vetoed, what may change it asks for more nearness.
    #[default]
    Standard,
    /// What may change the answer is vetoed too.
    Strict,
}

/// What a guard found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Difference {
    /// Another number, year, amount or code.
    Number,
    /// A name that the other question does not have.
    Name,
    /// One is denied, the other is not.
    Negation,
    /// Opposites: `before` and `after`, `more` and `less`, `he` and `she`.
    Opposite,
    /// Two of one sort: `dog` and `cat`, `Monday` and `Tuesday`, `Java` and `Python`.
    Sort,
    /// `and` instead of `or`.
    Joint,
    /// Who does it, and to whom it is done.
    Role,
    /// What is, what was, what will be.
    Tense,
    /// The same words in another order.
    Order,
    /// Another kind of answer is asked for: `why` instead of `how`, `when` instead of `where`.
    Asked,
    /// One speaks of something that went wrong: `trouble`, `declined`, `lost`.
    Trouble,
    /// A word that the other question does not have.
    Word,
}

impl Difference {
    /// All of them, in the order in which they are looked for.
    pub const ALL: [Self; 12] = [
        Self::Number,
        Self::Negation,
        Self::Opposite,
        Self::Sort,
        Self::Name,
        Self::Joint,
        Self::Role,
        Self::Tense,
        Self::Order,
        Self::Asked,
        Self::Trouble,
        Self::Word,
    ];

    /// Its name in records, events and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Name => "name",
            Self::Negation => "negation",
            Self::Opposite => "opposite",
            Self::Sort => "sort",
            Self::Joint => "joint",
            Self::Role => "role",
            Self::Tense => "tense",
            Self::Order => "order",
            Self::Asked => "asked",
            Self::Trouble => "trouble",
            Self::Word => "word",
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the guards say of two questions.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// Why the answer of one is not for the other.
    pub veto: Option<Difference>,
    /// How much nearer than the threshold the two must be.
    pub doubt: f32,
    /// What raised the most doubt.
    pub because: Option<Difference>,
}

impl Verdict {
    pub(crate) fn veto(difference: Difference) -> Self {
        Self { veto: Some(difference), doubt: 0.0, because: None }
    }
}

/// A question that others are compared with: taken apart once.
#[derive(Debug)]
pub struct Asked {
    question: Question,
    guards: Guards,
}

impl Asked {
    /// Takes a question apart.
    pub fn new(text: &str, guards: Guards) -> Self {
        let question = if guards == Guards::Off { Question::default() } else { Question::read(text) };
        Self { question, guards }
    }

    /// Whether the answer to `other` may be given to this question.
    pub fn compare(&self, other: &str) -> Verdict {
        if self.guards == Guards::Off {
            return Verdict::default();
        }
        let other = Question::read(other);
        Comparison::new(&self.question, &other).verdict(self.guards == Guards::Strict)
    }
}

/// The words of a text, for comparing answers.
pub(crate) struct Words(Question);

impl Words {
    pub(crate) fn read(text: &str) -> Self {
        Self(Question::read(text))
    }

    /// The keys of the words that say what the text is about, numbers included.
    pub(crate) fn content(&self) -> impl Iterator<Item = u64> {
        self.0.words.iter().filter(|word| word.is_content()).map(|word| word.key)
    }

    /// The keys of its numbers.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.0.words.iter().filter(|word| word.is_number()).map(|word| word.key)
    }
}

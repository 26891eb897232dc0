//! What may change an answer and need not: it asks for more nearness.

use super::Difference;

/// What may change an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// A word that only one question has.
    Word,
    /// A name that only one has; not a part of one that both have.
    Name,
    /// A number that only one has.
    Number,
    /// `second`, `next`.
    Ordinal,
    /// One speaks of something that went wrong.
    Trouble,
    /// One is denied, the other is not.
    Denied,
    /// What both say stands in another order.
    Moved,
    /// Another kind of answer is asked for.
    Asked,
}

/// How often each of them was met.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Doubts(pub(crate) [u8; 8]);

/// How much nearer the questions must be for each. Found on labelled traffic: words that only one question has say little
/// that the vectors do not say better.
const WEIGHTS: [(Doubt, f32); 8] = [
    (Doubt::Word, 0.001),
    (Doubt::Name, 0.01),
    (Doubt::Number, 0.04),
    (Doubt::Ordinal, 0.08),
    (Doubt::Trouble, 0.05),
    (Doubt::Denied, 0.0),
    (Doubt::Moved, 0.0),
    (Doubt::Asked, 0.003),
];

impl Doubts {
    pub(super) fn add(&mut self, doubt: Doubt) {
        self.0[doubt as usize] = self.0[doubt as usize].saturating_add(1);
    }

    pub(super) fn sum(&self) -> f32 {
        WEIGHTS.iter().map(|(doubt, weight)| f32::from(self.0[*doubt as usize]) * weight).sum()
    }

    /// The heaviest of those that were met.
    pub(super) fn because(&self) -> Option<Difference> {
        let met = WEIGHTS.iter().filter(|(doubt, _)| self.0[*doubt as usize] > 0);
        met.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(doubt, _)| doubt.difference())
    }
}

impl Doubt {
    fn difference(self) -> Difference {
        match self {
            Self::Word => Difference::Word,
            Self::Name => Difference::Name,
            Self::Number | Self::Ordinal => Difference::Number,
            Self::Trouble => Difference::Trouble,
            Self::Denied => Difference::Negation,
            Self::Moved => Difference::Order,
            Self::Asked => Difference::Asked,
        }
    }
}

//! What a call costs, in everything that providers limit.

use std::ops::{Index, IndexMut};

/// What providers limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dimension {
    /// Requests.
    Requests,
    /// Tokens of both kinds.
    Tokens,
    /// Input tokens, where they are limited apart.
    InputTokens,
    /// Output tokens, where they are limited apart.
    OutputTokens,
}

impl Dimension {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Requests, Self::Tokens, Self::InputTokens, Self::OutputTokens];

    /// The name as it stands in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
        }
    }
}

/// So much of each dimension.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amounts([u64; 4]);

impl Amounts {
    pub(crate) const fn each(amount: u64) -> Self {
        Self([amount; 4])
    }

    /// One request with these tokens.
    pub(crate) fn call(input: u64, output: u64) -> Self {
        let (input, output) = (input.min(MOST_TOKENS), output.min(MOST_TOKENS));
        Self([1, input + output, input, output])
    }

    /// One request, and nothing of its tokens.
    pub(crate) fn request() -> Self {
        Self::call(0, 0)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, other) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(other);
        }
    }

    /// Adds to a count that begins anew when it is full.
    pub(crate) fn count(&mut self, other: &Self) {
        for (mine, other) in self.0.iter_mut().zip(other.0) {
            *mine = mine.wrapping_add(other);
        }
    }

    pub(crate) fn take_away(&mut self, other: &Self) {
        for (mine, other) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_sub(other);
        }
    }
}

impl Index<Dimension> for Amounts {
    type Output = u64;

    fn index(&self, of: Dimension) -> &u64 {
        &self.0[of as usize]
    }
}

impl IndexMut<Dimension> for Amounts {
    fn index_mut(&mut self, of: Dimension) -> &mut u64 {
        &mut self.0[of as usize]
    }
}

/// What no call has and no provider allows: a hostile figure above it is cut, so that sums of millionths stay whole.
pub(crate) const MOST_TOKENS: u64 = 1_000_000_000_000;

//! Several texts as tokens, one after the other: no text is filled up to the length of another.

use std::ops::Range;

/// The texts of one pass through a model. None is empty: a model's own first and last token are always there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    tokens: Vec<u32>,
    ends: Vec<usize>,
}

impl Batch {
    pub(crate) fn push(&mut self, text: &[u32]) {
        self.tokens.extend_from_slice(text);
        self.ends.push(self.tokens.len());
    }

    /// How many texts.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// How many tokens in all texts.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens.len()
    }

    /// Where the tokens of each text stand.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.ends.iter().scan(0, |start, end| Some(std::mem::replace(start, *end)..*end))
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = &[u32]> {
        self.ranges().map(|range| &self.tokens[range])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_out_as_they_went_in() {
        let mut batch = Batch::default();
        batch.push(&[1, 2]);
        batch.push(&[3]);
        assert_eq!(batch.texts().collect::<Vec<_>>(), [&[1, 2][..], &[3]]);
        assert_eq!(batch.ranges().collect::<Vec<_>>(), [0..2, 2..3]);
        assert_eq!((batch.len(), batch.tokens()), (2, 3));
    }
}

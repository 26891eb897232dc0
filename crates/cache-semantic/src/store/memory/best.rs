//! The nearest few of those that were offered.

/// At most `k` rows, nearest first.
pub(super) struct Best<'a> {
    k: usize,
    found: Vec<(f32, usize)>,
    /// Whether a row counts at all: asked of those only that would be among the nearest.
    counts: &'a dyn Fn(usize) -> bool,
}

impl<'a> Best<'a> {
    pub(super) fn new(k: usize, counts: &'a dyn Fn(usize) -> bool) -> Self {
        Self { k, found: Vec::with_capacity(k.min(64) + 1), counts }
    }

    /// How many are wanted.
    pub(super) fn wanted(&self) -> usize {
        self.k
    }

    pub(super) fn counts(&self, row: usize) -> bool {
        (self.counts)(row)
    }

    #[inline]
    pub(super) fn offer(&mut self, row: usize, score: f32) {
        let is_near = self.found.len() < self.k || self.found.last().is_some_and(|(last, _)| score > *last);
        if is_near {
            self.take(row, score);
        }
    }

    fn take(&mut self, row: usize, score: f32) {
        // A score that is no number is nobody's.
        if score.is_nan() || !(self.counts)(row) {
            return;
        }
        let place = self.found.partition_point(|(better, _)| *better >= score);
        self.found.insert(place, (score, row));
        self.found.truncate(self.k);
    }

    pub(super) fn into_rows(self) -> impl Iterator<Item = (usize, f32)> {
        self.found.into_iter().map(|(score, row)| (row, score))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(k: usize, counts: &dyn Fn(usize) -> bool) -> Vec<usize> {
        let mut best = Best::new(k, counts);
        for (row, score) in [0.2, 0.9, f32::NAN, 0.5, 0.9, -0.1, 0.7].into_iter().enumerate() {
            best.offer(row, score);
        }
        best.into_rows().map(|(row, _)| row).collect()
    }

    #[test]
    fn the_nearest_come_first_and_the_earlier_of_two_alike() {
        assert_eq!(best(3, &|_| true), [1, 4, 6]);
        assert_eq!(best(9, &|_| true), [1, 4, 6, 3, 0, 5]);
        assert_eq!(best(0, &|_| true), [] as [usize; 0]);
    }

    #[test]
    fn a_row_that_does_not_count_takes_nobodys_place() {
        assert_eq!(best(2, &|row| row != 1), [4, 6]);
    }
}

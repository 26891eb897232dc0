//! The vectors of a partition, and their codes.
//!
//! Blocks of 128 rows: an insert copies one row and never the matrix. Only the first block grows, since most
//! partitions hold a few entries.

use std::sync::Arc;

use ndarray::Array2;

use super::best::Best;
use super::kernel::{Distances, GROUP, Kernel};
use super::sketch::{self, Sketch};

/// Rows of a block.
const BLOCK: usize = 128;

/// How many rows whose codes are near are looked at in full, at most.
const LOOKED_AT: usize = 512;

pub(super) struct Rows {
    kernel: Kernel,
    sketch: Arc<Sketch>,
    blocks: Vec<Block>,
    len: usize,
}

struct Block {
    vectors: Array2<f32>,
    /// In groups; see [`GROUP`].
    codes: Vec<u64>,
}

impl Rows {
    pub(super) fn new(kernel: Kernel, sketch: Arc<Sketch>) -> Self {
        Self { kernel, sketch, blocks: Vec::new(), len: 0 }
    }

    #[cfg(feature = "hnsw")]
    pub(super) fn kernel(&self) -> Kernel {
        self.kernel
    }

    pub(super) fn dims(&self) -> usize {
        self.sketch.dims()
    }

    /// The bytes of all blocks.
    pub(super) fn bytes(&self) -> usize {
        let of =
            |block: &Block| block.vectors.len() * size_of::<f32>() + block.codes.len() * size_of::<u64>();
        match self.blocks.as_slice() {
            [] => 0,
            // All but the first are full.
            [first, rest @ ..] => of(first) + rest.first().map_or(0, of) * rest.len(),
        }
    }

    /// Adds a row at the end; its length is [`Rows::dims`].
    pub(super) fn push(&mut self, vector: &[f32]) {
        let (block, row) = (self.len / BLOCK, self.len % BLOCK);
        match self.blocks.get_mut(block) {
            None => {
                let capacity = if block == 0 { 1 } else { BLOCK };
                self.blocks.push(Block::new(capacity, &self.sketch));
            }
            Some(first) if first.capacity() == row => first.resize((2 * row).min(BLOCK), row, &self.sketch),
            Some(_) => {}
        }
        let code = self.sketch.code(vector);
        self.blocks[block].set(row, vector, code.into_iter());
        self.len += 1;
    }

    /// Removes a row; the last one takes its place.
    pub(super) fn swap_remove(&mut self, row: usize) {
        let last = self.len - 1;
        if row != last {
            let from = &self.blocks[last / BLOCK];
            let vector = from.vectors.row(last % BLOCK).to_vec();
            let code = from.code(last % BLOCK, self.sketch.words());
            self.blocks[row / BLOCK].set(row % BLOCK, &vector, code.into_iter());
        }
        self.len = last;
        // One empty block stays, so that a cache that is full does not give back and ask for memory in turns.
        let needed = self.len.div_ceil(BLOCK).max(1) + 1;
        self.blocks.truncate(needed);
        if self.len > 0 && self.len * 4 <= self.blocks[0].capacity() {
            self.blocks.truncate(1);
            let half = self.blocks[0].capacity() / 2;
            self.blocks[0].resize(half, self.len, &self.sketch);
        }
    }

    /// How near one row is.
    pub(super) fn score(&self, row: usize, query: &[f32]) -> f32 {
        self.kernel.dot(self.blocks[row / BLOCK].row(row % BLOCK), query)
    }

    #[cfg(any(test, feature = "hnsw", feature = "log"))]
    pub(super) fn vector(&self, row: usize) -> &[f32] {
        self.blocks[row / BLOCK].row(row % BLOCK)
    }

    #[cfg(feature = "hnsw")]
    pub(super) fn code(&self, row: usize) -> Vec<u64> {
        self.blocks[row / BLOCK].code(row % BLOCK, self.sketch.words())
    }

    /// The code of a vector that is not among them.
    #[cfg(feature = "hnsw")]
    pub(super) fn code_for(&self, query: &[f32]) -> Vec<u64> {
        self.sketch.code(query)
    }

    /// Looks at every row.
    pub(super) fn exact(&self, query: &[f32], best: &mut Best<'_>) {
        let mut scores = [0.0; BLOCK];
        for (block, first) in self.blocks.iter().zip((0..self.len).step_by(BLOCK)) {
            let scores = &mut scores[..BLOCK.min(self.len - first)];
            self.kernel.dots(block.all(), query, scores);
            for (row, score) in (first..).zip(scores) {
                best.offer(row, *score);
            }
        }
    }

    /// Looks at every code, and at the rows whose codes are nearest.
    pub(super) fn sketched(&self, query: &[f32], best: &mut Best<'_>) {
        let code = self.sketch.code(query);
        let mut near = Near::new();
        let mut distances = [Distances::default(); BLOCK / GROUP];
        for (block, first) in self.blocks.iter().zip((0..self.len).step_by(BLOCK)) {
            self.kernel.distances(&block.codes, &code, near.below, &mut distances);
            let groups = (first..self.len).step_by(GROUP).zip(&distances);
            for (first, group) in groups.filter(|(_, group)| group.near != 0) {
                near.offer(first, group, self.len);
            }
        }
        for row in near.rows(best, code.len() * 64) {
            best.offer(row, self.score(row, query));
        }
    }
}

impl Block {
    fn new(capacity: usize, sketch: &Sketch) -> Self {
        let codes = vec![0; capacity.next_multiple_of(GROUP) * sketch.words()];
        Self { vectors: Array2::zeros((capacity, sketch.dims())), codes }
    }

    fn capacity(&self) -> usize {
        self.vectors.nrows()
    }

    /// Gives it another capacity; `filled` rows stay.
    fn resize(&mut self, capacity: usize, filled: usize, sketch: &Sketch) {
        let kept = filled * sketch.dims();
        let mut grown = Self { vectors: Array2::zeros((capacity, sketch.dims())), codes: Vec::new() };
        grown.all_mut()[..kept].copy_from_slice(&self.all()[..kept]);
        self.vectors = grown.vectors;
        // Whole groups, so nothing moves.
        self.codes.resize(capacity.next_multiple_of(GROUP) * sketch.words(), 0);
        self.codes.shrink_to_fit();
    }

    fn set(&mut self, row: usize, vector: &[f32], code: impl ExactSizeIterator<Item = u64>) {
        let dims = self.vectors.ncols();
        self.all_mut()[row * dims..][..dims].copy_from_slice(vector);
        let group = row / GROUP * code.len() * GROUP;
        for (word, bits) in code.enumerate() {
            self.codes[group + word * GROUP + row % GROUP] = bits;
        }
    }

    fn code(&self, row: usize, words: usize) -> Vec<u64> {
        let group = row / GROUP * words * GROUP;
        (0..words).map(|word| self.codes[group + word * GROUP + row % GROUP]).collect()
    }

    fn row(&self, row: usize) -> &[f32] {
        let dims = self.vectors.ncols();
        &self.all()[row * dims..][..dims]
    }

    fn all(&self) -> &[f32] {
        self.vectors.as_slice().expect("a matrix made by `zeros` lies in one piece, row by row")
    }

    fn all_mut(&mut self) -> &mut [f32] {
        self.vectors.as_slice_mut().expect("a matrix made by `zeros` lies in one piece, row by row")
    }
}

/// The rows with the nearest codes, as they pass.
struct Near {
    found: Vec<(u16, u32)>,
    /// Whoever is not nearer than this is not among them.
    below: u16,
}

impl Near {
    fn new() -> Self {
        Self { found: Vec::with_capacity(2 * LOOKED_AT + GROUP), below: u16::MAX }
    }

    /// The group whose first row is this; rows from `end` on are none.
    fn offer(&mut self, first: usize, group: &Distances, end: usize) {
        let mut near = group.near;
        while near != 0 {
            let lane = near.trailing_zeros() as usize;
            near &= near - 1;
            // It may have fallen within the block.
            if first + lane < end && group.of[lane] < self.below {
                self.found.push((group.of[lane], (first + lane) as u32));
            }
        }
        if self.found.len() >= 2 * LOOKED_AT {
            self.narrow();
        }
    }

    /// Keeps the nearest ones.
    fn narrow(&mut self) {
        let (_, furthest, _) = self.found.select_nth_unstable(LOOKED_AT - 1);
        self.below = furthest.0;
        self.found.truncate(LOOKED_AT);
    }

    /// Those that may be among the nearest.
    fn rows(mut self, best: &Best<'_>, bits: usize) -> Vec<usize> {
        if self.found.len() > LOOKED_AT {
            self.narrow();
        }
        let mut found = self.found;
        found.retain(|(_, row)| best.counts(*row as usize));
        if let Some(last_wanted) = best.wanted().checked_sub(1).filter(|last| *last < found.len()) {
            let (_, (distance, _), _) = found.select_nth_unstable(last_wanted);
            let furthest = distance.saturating_add(sketch::margin(*distance, bits));
            found.retain(|(distance, _)| *distance <= furthest);
        }
        found.into_iter().map(|(_, row)| row as usize).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(rng: &mut fastrand::Rng, dims: usize) -> Vec<f32> {
        let vector: Vec<f32> = (0..dims).map(|_| rng.f32() + rng.f32() + rng.f32() - 1.5).collect();
        let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
        vector.iter().map(|v| v / length).collect()
    }

    fn rows(dims: usize) -> Rows {
        let kernel = Kernel::detect();
        Rows::new(kernel, Arc::new(Sketch::new(kernel, dims)))
    }

    fn nearest(search: impl Fn(&mut Best<'_>)) -> Vec<usize> {
        let mut best = Best::new(3, &|_| true);
        search(&mut best);
        best.into_rows().map(|(row, _)| row).collect()
    }

    #[test]
    fn rows_stay_what_they_are_while_others_come_and_go() {
        let mut rng = fastrand::Rng::with_seed(11);
        let (mut rows, mut model) = (rows(48), Vec::<Vec<f32>>::new());
        for step in 0..3_000 {
            let shrinking = step / 500 % 2 == 1;
            if model.is_empty() || rng.u8(..) % 4 < if shrinking { 1 } else { 3 } {
                let vector = unit(&mut rng, 48);
                rows.push(&vector);
                model.push(vector);
            } else {
                let row = rng.usize(..model.len());
                rows.swap_remove(row);
                model.swap_remove(row);
            }
            assert_eq!(rows.len, model.len());
        }
        for (row, vector) in model.iter().enumerate() {
            assert_eq!(rows.vector(row), vector.as_slice());
            assert_eq!(rows.blocks[row / BLOCK].code(row % BLOCK, 1), rows.sketch.code(vector));
        }
        while rows.len > 1 {
            rows.swap_remove(0);
        }
        assert!(rows.bytes() < 4 * 48 * 4 + 64 * 8, "what is empty is given back: {}", rows.bytes());
    }

    #[test]
    fn the_codes_find_what_looking_at_every_row_finds() {
        let mut rng = fastrand::Rng::with_seed(12);
        let mut rows = rows(384);
        for _ in 0..5_000 {
            let vector = unit(&mut rng, 384);
            rows.push(&vector);
        }
        let mut same = 0;
        for _ in 0..200 {
            let (near, noise) = (rows.vector(rng.usize(..5_000)).to_vec(), unit(&mut rng, 384));
            let query: Vec<f32> = near.iter().zip(&noise).map(|(v, noise)| 0.9 * v + 0.43 * noise).collect();
            let exact = nearest(|best| rows.exact(&query, best));
            let sketched = nearest(|best| rows.sketched(&query, best));
            same += u32::from(exact[0] == sketched[0]);
        }
        assert_eq!(same, 200);
    }
}

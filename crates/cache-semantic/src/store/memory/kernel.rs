//! The loops that a search spends its time in, in the widest instructions that the machine has.
//!
//! They are plain loops over arrays of lanes; `dispatch!` compiles each once per instruction set, and the compiler
//! makes vectors of them.

use fearless_simd::{Level, dispatch};

/// How many rows lie side by side in a block of codes: word `w` of row `r` is at `w * GROUP + r`, so that the counts
/// of the rows grow in lanes of their own and nothing is ever summed across lanes.
pub(super) const GROUP: usize = 8;

/// As many lanes as keep the units of one core busy.
const LANES: usize = 64;

/// The instruction set of this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel(Level);

impl Kernel {
    pub(super) fn detect() -> Self {
        Self(Level::new())
    }

    /// The inner product of two vectors of one length.
    pub(super) fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        dispatch!(self.0, _simd => dot(a, b))
    }

    /// The inner product of each row with the query. `rows` holds one row per place of `into`.
    pub(super) fn dots(self, rows: &[f32], query: &[f32], into: &mut [f32]) {
        dispatch!(self.0, _simd => dots(rows, query, into));
    }

    /// In how many bits each row's code differs from the query's. `codes` holds one group per [`GROUP`] places of
    /// `into`.
    pub(super) fn distances(self, codes: &[u64], query: &[u64], into: &mut [[u16; GROUP]]) {
        // The length that a 384-dimensional embedder needs is known to the compiler.
        if let Ok(query) = <&[u64; 8]>::try_from(query) {
            dispatch!(self.0, _simd => distances(codes, query, into));
        } else {
            dispatch!(self.0, _simd => distances(codes, query, into));
        }
    }

    /// In how many bits two codes of one length differ.
    #[cfg(feature = "hnsw")]
    pub(super) fn distance(self, a: &[u64], b: &[u64]) -> u32 {
        dispatch!(self.0, _simd => distance(a, b))
    }

    /// One round of the fast Walsh-Hadamard transform, in place; the length is a power of two.
    pub(super) fn hadamard(self, values: &mut [f32]) {
        dispatch!(self.0, _simd => hadamard(values));
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (mut a, mut b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    for (a, b) in a.by_ref().zip(b.by_ref()) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
    }
    sums[0] + rest
}

#[inline(always)]
fn dots(rows: &[f32], query: &[f32], into: &mut [f32]) {
    for (row, score) in rows.chunks_exact(query.len().max(1)).zip(into) {
        *score = dot(row, query);
    }
}

#[inline(always)]
fn distances(codes: &[u64], query: &[u64], into: &mut [[u16; GROUP]]) {
    for (group, counts) in codes.chunks_exact(query.len() * GROUP).zip(into) {
        let mut sums = [0_u64; GROUP];
        for (words, wanted) in group.chunks_exact(GROUP).zip(query) {
            for lane in 0..GROUP {
                sums[lane] += u64::from((words[lane] ^ wanted).count_ones());
            }
        }
        for lane in 0..GROUP {
            counts[lane] = u16::try_from(sums[lane]).unwrap_or(u16::MAX);
        }
    }
}

#[cfg(feature = "hnsw")]
#[inline(always)]
fn distance(a: &[u64], b: &[u64]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

#[inline(always)]
fn hadamard(values: &mut [f32]) {
    let mut half = 1;
    while half < values.len() {
        for pair in values.chunks_exact_mut(2 * half) {
            let (left, right) = pair.split_at_mut(half);
            for (left, right) in left.iter_mut().zip(right) {
                (*left, *right) = (*left + *right, *left - *right);
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(rng: &mut fastrand::Rng, length: usize) -> Vec<f32> {
        (0..length).map(|_| rng.f32() - 0.5).collect()
    }

    #[test]
    fn an_inner_product_is_the_sum_of_the_products_whatever_the_length() {
        let mut rng = fastrand::Rng::with_seed(1);
        for length in [0, 1, 3, 63, 64, 65, 384, 1000] {
            let (a, b) = (vector(&mut rng, length), vector(&mut rng, length));
            let plain: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert!((Kernel::detect().dot(&a, &b) - plain).abs() < 1e-4, "{length}");
        }
    }

    #[test]
    fn many_rows_score_as_one_by_one() {
        let mut rng = fastrand::Rng::with_seed(2);
        let (rows, query) = (vector(&mut rng, 5 * 96), vector(&mut rng, 96));
        let mut scores = [0.0; 5];
        Kernel::detect().dots(&rows, &query, &mut scores);
        for (row, score) in rows.chunks_exact(96).zip(scores) {
            assert_eq!(score, Kernel::detect().dot(row, &query));
        }
    }

    #[test]
    fn a_distance_is_the_number_of_bits_that_differ() {
        let mut rng = fastrand::Rng::with_seed(3);
        for words in [1, 2, 8, 16] {
            let codes: Vec<u64> = (0..3 * GROUP * words).map(|_| rng.u64(..)).collect();
            let query: Vec<u64> = (0..words).map(|_| rng.u64(..)).collect();
            let mut found = [[0; GROUP]; 3];
            Kernel::detect().distances(&codes, &query, &mut found);
            for (row, distance) in found.as_flattened().iter().enumerate() {
                let (group, lane) = (row / GROUP, row % GROUP);
                let plain: u32 = (0..words)
                    .map(|word| (codes[(group * words + word) * GROUP + lane] ^ query[word]).count_ones())
                    .sum();
                assert_eq!(u32::from(*distance), plain);
            }
        }
    }

    #[test]
    fn the_transform_turned_twice_is_the_vector_again() {
        let mut rng = fastrand::Rng::with_seed(4);
        let before = vector(&mut rng, 256);
        let mut turned = before.clone();
        Kernel::detect().hadamard(&mut turned);
        Kernel::detect().hadamard(&mut turned);
        for (before, after) in before.iter().zip(turned) {
            assert!((before - after / 256.0).abs() < 1e-4);
        }
    }
}

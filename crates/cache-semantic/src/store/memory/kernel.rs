//! The loops that a search spends its time in, in the widest instructions that the machine has.
//!
//! `dispatch!` compiles each once per instruction set. Left to itself the compiler makes vectors across the groups of
//! codes, which takes five times as long, so the vectors are written down.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, f32x16, u64x8};

/// How many rows lie side by side in a block of codes: word `w` of row `r` is at `w * GROUP + r`, so that the counts
/// of the rows grow in lanes of their own and nothing is ever summed across lanes.
pub(super) const GROUP: usize = 8;

/// Of one group.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Distances {
    pub(super) of: [u16; GROUP],
    /// A bit for each row that is near enough.
    pub(super) near: u8,
}

/// Lanes of a vector, and as many vectors as keep a core busy.
const LANES: usize = 16;
const UNITS: usize = 4;

/// The instruction set of this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel(Level);

impl Kernel {
    pub(super) fn detect() -> Self {
        Self(Level::new())
    }

    /// The inner product of two vectors of one length.
    pub(super) fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        dispatch!(self.0, simd => dot(simd, a, b))
    }

    /// The inner product of each row with the query. `rows` holds one row per place of `into`.
    pub(super) fn dots(self, rows: &[f32], query: &[f32], into: &mut [f32]) {
        dispatch!(self.0, simd => dots(simd, rows, query, into));
    }

    /// In how many bits each row's code differs from the query's, and which rows differ in less than `below`.
    pub(super) fn distances(self, codes: &[u64], query: &[u64], below: u16, into: &mut [Distances]) {
        // The length that a 384-dimensional embedder needs is known to the compiler.
        if let Ok(query) = <&[u64; 8]>::try_from(query) {
            dispatch!(self.0, simd => distances(simd, codes, query, below, into));
        } else {
            dispatch!(self.0, simd => distances(simd, codes, query, below, into));
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
fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [f32x16::splat(simd, 0.0); UNITS];
    let (mut a, mut b) = (a.chunks_exact(LANES * UNITS), b.chunks_exact(LANES * UNITS));
    for (a, b) in a.by_ref().zip(b.by_ref()) {
        for (unit, sum) in sums.iter_mut().enumerate() {
            let at = unit * LANES..(unit + 1) * LANES;
            let (a, b) = (f32x16::from_slice(simd, &a[at.clone()]), f32x16::from_slice(simd, &b[at]));
            *sum = a.mul_add(b, *sum);
        }
    }
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    let [first, second, third, fourth] = sums;
    let mut lanes = [0.0; LANES];
    ((first + second) + (third + fourth)).store_slice(&mut lanes);
    lanes.iter().sum::<f32>() + rest
}

#[inline(always)]
fn dots<S: Simd>(simd: S, rows: &[f32], query: &[f32], into: &mut [f32]) {
    for (row, score) in rows.chunks_exact(query.len().max(1)).zip(into) {
        *score = dot(simd, row, query);
    }
}

#[inline(always)]
fn distances<S: Simd>(simd: S, codes: &[u64], query: &[u64], below: u16, into: &mut [Distances]) {
    let below = u64x8::splat(simd, below.into());
    for (group, distances) in codes.chunks_exact(query.len() * GROUP).zip(into) {
        let mut sums = u64x8::splat(simd, 0);
        for (words, wanted) in group.chunks_exact(GROUP).zip(query) {
            sums += (u64x8::from_slice(simd, words) ^ *wanted).count_ones();
        }
        // One bit for each of eight lanes.
        distances.near = sums.simd_lt(below).to_bitmask() as u8;
        if distances.near != 0 {
            let mut lanes = [0; GROUP];
            sums.store_slice(&mut lanes);
            // A code has less than 65,536 bits: vectors of that many parts there are none.
            distances.of = lanes.map(|count| count as u16);
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
            let below = words as u16 * 32;
            let mut found = [Distances::default(); 3];
            Kernel::detect().distances(&codes, &query, below, &mut found);
            for (group, found) in found.iter().enumerate() {
                for lane in 0..GROUP {
                    let plain: u32 = (0..words)
                        .map(|word| (codes[(group * words + word) * GROUP + lane] ^ query[word]).count_ones())
                        .sum();
                    let is_near = plain < u32::from(below);
                    assert_eq!(found.near >> lane & 1 == 1, is_near);
                    assert!(!is_near || u32::from(found.of[lane]) == plain);
                }
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

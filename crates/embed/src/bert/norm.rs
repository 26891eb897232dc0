//! Layer normalisation, and the softmax of attention.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch};
use ndarray::Array2;

/// Mean 0 and variance 1 in each row, then scaled and moved.
#[derive(Debug, Clone)]
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) epsilon: f32,
}

impl Norm {
    pub(super) fn apply(&self, level: Level, matrix: &mut Array2<f32>) {
        for mut row in matrix.rows_mut() {
            let row = row.as_slice_mut().expect("a matrix of the model's own is laid out by rows");
            dispatch!(level, simd => self.apply_to(simd, row));
        }
    }

    #[inline(always)]
    fn apply_to<S: Simd>(&self, _: S, row: &mut [f32]) {
        let count = row.len() as f32;
        let mean = sum(row, |value| value) / count;
        let variance = sum(row, |value| (value - mean) * (value - mean)) / count;
        let scale = 1.0 / (variance + self.epsilon).sqrt();
        for ((value, weight), bias) in row.iter_mut().zip(&self.weight).zip(&self.bias) {
            *value = (*value - mean) * scale * weight + bias;
        }
    }
}

/// Turns a row of scores into shares that add up to 1.
pub(super) fn softmax(level: Level, row: &mut [f32]) {
    dispatch!(level, simd => softmax_of(simd, row));
}

#[inline(always)]
fn softmax_of<S: Simd>(_: S, row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::MIN, f32::max);
    for value in &mut *row {
        *value = exp(*value - most);
    }
    let share = 1.0 / sum(row, |value| value);
    for value in &mut *row {
        *value *= share;
    }
}

/// In sixteen sums, so that the compiler may use whole registers.
#[inline(always)]
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<16>();
    let mut sums = [0.0; 16];
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += of(*value);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|value| of(*value)).sum::<f32>()
}

/// e^x for x ≤ 0, to seven digits, without a branch: a whole power of two by the exponent's bits, the rest by a
/// polynomial.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding this number leaves the nearest whole number in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first short enough that its multiples are exact.
    const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let x = x.max(-87.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let power = rounded - ROUND;
    let r = x - power * LN_2.0 - power * LN_2.1;
    let tail = 1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0)));
    let fraction = 1.0 + r * (1.0 + r * (0.5 + r * tail));
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    fraction * f32::from_bits(exponent << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_right_to_a_millionth() {
        for step in 0..8_700 {
            let x = -f64::from(step) / 100.0;
            let (found, expected) = (f64::from(exp(x as f32)), (x as f32 as f64).exp());
            assert!((found / expected - 1.0).abs() < 1e-6, "e^{x} is {expected}, not {found}");
        }
        assert!(exp(-1_000.0) < 1e-37);
    }

    #[test]
    fn shares_add_up_to_one_and_keep_their_order() {
        let mut row: Vec<f32> = (0..37).map(|index| index as f32 / 3.0 - 900.0).collect();
        softmax(Level::new(), &mut row);
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!(row.is_sorted());
    }

    #[test]
    fn a_normalised_row_has_mean_0_and_variance_1() {
        let norm = Norm { weight: vec![1.0; 40], bias: vec![0.0; 40], epsilon: 1e-12 };
        let mut matrix = Array2::from_shape_fn((2, 40), |(row, column)| (row * 7 + column * column) as f32);
        norm.apply(Level::new(), &mut matrix);
        for row in matrix.rows() {
            let mean = row.sum() / 40.0;
            let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 40.0;
            assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4, "{mean}, {variance}");
        }
    }
}

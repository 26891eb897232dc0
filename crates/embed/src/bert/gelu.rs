//! GELU by the error function, as the models were trained with it.

use fearless_simd::prelude::*;
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// `x / 2 (1 + erf(x / √2))`
///
/// The error function is a quotient of two polynomials, fitted to it between ±3.92 (least squares, reweighted until the
/// largest error was smallest: 1.6e-8); beyond, it is 1 in all digits that an f32 has.
#[inline(always)]
pub(super) fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let t = (x * FRAC_1_SQRT_2).max(-LIMIT).min(LIMIT);
    let y = t * t;
    let erf = t * polynomial(simd, NUMERATOR, y) / polynomial(simd, DENOMINATOR, y);
    let half = x * 0.5;
    half.mul_add(erf, half)
}

#[inline(always)]
fn polynomial<S: Simd>(simd: S, [a, b, c, d, e, f]: [f32; 6], y: S::f32s) -> S::f32s {
    let sum = S::f32s::splat(simd, f);
    let sum = sum.mul_add(y, e);
    let sum = sum.mul_add(y, d);
    let sum = sum.mul_add(y, c);
    let sum = sum.mul_add(y, b);
    sum.mul_add(y, a)
}

const LIMIT: f32 = 3.92;
const NUMERATOR: [f32; 6] =
    [FRAC_2_SQRT_PI, 1.927_643_2e-1, 5.306_051e-2, 3.868_336_5e-3, 2.874_792_2e-4, 2.034_728_4e-6];
const DENOMINATOR: [f32; 6] =
    [1.0, 5.041_646e-1, 1.150_847_2e-1, 1.517_231_6e-2, 1.188_116_6e-3, 3.807_056_4e-5];

#[cfg(test)]
mod tests {
    use super::*;
    use fearless_simd::{Level, dispatch};

    #[test]
    fn it_is_the_integral_of_the_bell_curve_to_a_millionth() {
        for step in -600..=600 {
            let x = f64::from(step) / 100.0;
            let expected = x / 2.0 * (1.0 + erf(x / std::f64::consts::SQRT_2));
            let found = dispatch!(Level::new(), simd => lane(simd, x as f32));
            assert!((f64::from(found) - expected).abs() < 2e-6, "gelu({x}) is {expected}, not {found}");
        }
    }

    #[inline(always)]
    fn lane<S: Simd>(simd: S, x: f32) -> f32 {
        gelu(simd, S::f32s::splat(simd, x))[0]
    }

    /// By Simpson's rule.
    fn erf(x: f64) -> f64 {
        const STEPS: u32 = 2_000;
        let width = x / f64::from(STEPS);
        let sum: f64 = (0..=STEPS)
            .map(|step| {
                let weight = if step == 0 || step == STEPS { 1.0 } else { f64::from(2 + 2 * (step % 2)) };
                weight * (-(width * f64::from(step)).powi(2)).exp()
            })
            .sum();
        sum * width / 3.0 * 2.0 / std::f64::consts::PI.sqrt()
    }
}

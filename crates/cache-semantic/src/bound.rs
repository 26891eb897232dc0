//! How sure one can be of a share that was counted: the bounds of Clopper and Pearson.

/// The share that `wrong` of `all` cannot be above, at this confidence (one-sided). 1 when nothing was counted.
pub fn upper_bound(wrong: u64, all: u64, confidence: f64) -> f64 {
    if wrong >= all {
        return 1.0;
    }
    quantile(confidence, as_real(wrong) + 1.0, as_real(all - wrong))
}

/// The share that `wrong` of `all` cannot be below, at this confidence (one-sided). 0 when nothing was counted.
pub fn lower_bound(wrong: u64, all: u64, confidence: f64) -> f64 {
    if wrong == 0 || wrong > all {
        return 0.0;
    }
    quantile(1.0 - confidence, as_real(wrong), as_real(all - wrong) + 1.0)
}

/// Both bounds of a share, together at this confidence.
pub fn interval(part: u64, all: u64, confidence: f64) -> (f64, f64) {
    let each = f64::midpoint(1.0, confidence);
    (lower_bound(part, all, each), upper_bound(part, all, each))
}

/// How many must be counted before not one wrong among them shows that the share is at most `most`.
pub fn fewest(most: f64, confidence: f64) -> u64 {
    if most <= 0.0 || confidence >= 1.0 {
        return u64::MAX;
    }
    let needed = ((1.0 - confidence).ln() / (1.0 - most).ln()).ceil();
    // A cast of a float stays within the range of the integer.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    {
        needed as u64
    }
}

/// Counts of pairs and hits stay far below 2^52.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn as_real(count: u64) -> f64 {
    count as f64
}

/// Where the beta distribution of `a` and `b` has the share `p` below it.
fn quantile(p: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    // Each step halves what is left: 60 of them are more than a double can tell apart.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if beta(middle, a, b) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// The regularised incomplete beta function.
fn beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(x, a, b) / a
    } else {
        1.0 - front * fraction(1.0 - x, b, a) / b
    }
}

/// Its continued fraction, by Lentz's method.
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let off_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / off_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut result = d;
    for step in 1..500 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / off_zero(1.0 + even * d);
        c = off_zero(1.0 + even / c);
        result *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / off_zero(1.0 + odd * d);
        c = off_zero(1.0 + odd / c);
        let change = d * c;
        result *= change;
        if (change - 1.0).abs() < 1e-14 {
            break;
        }
    }
    result
}

/// Lanczos' approximation, good to 15 digits for what is above 0.5; here all are at least 1.
fn ln_gamma(x: f64) -> f64 {
    const G: f64 = 7.0;
    const FIRST: f64 = 0.999_999_999_999_809_9;
    const REST: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let mut sum = FIRST;
    let mut at = 1.0;
    for part in REST {
        sum += part / (x + at);
        at += 1.0;
    }
    let t = x + G + 0.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6
    }

    /// Values of R's `binom.test`.
    #[test]
    fn the_bounds_are_those_of_the_tables() {
        assert!(near(upper_bound(0, 10, 0.95), 1.0 - 0.05_f64.powf(0.1)));
        assert!(near(upper_bound(1, 10, 0.975), 0.445_016_1), "{}", upper_bound(1, 10, 0.975));
        assert!(near(lower_bound(1, 10, 0.975), 0.002_528_579), "{}", lower_bound(1, 10, 0.975));
        assert!(near(lower_bound(10, 10, 0.95), 0.05_f64.powf(0.1)));
        let (low, high) = interval(5, 100, 0.95);
        assert!(near(low, 0.016_431_9) && near(high, 0.112_834_9), "{low} {high}");
    }

    #[test]
    fn nothing_counted_says_nothing() {
        assert_eq!((lower_bound(0, 0, 0.95), upper_bound(0, 0, 0.95)), (0.0, 1.0));
    }

    #[test]
    fn the_bound_holds_as_often_as_it_says() {
        // 2,000 draws of 300 at 2 %: the upper bound of 95 % is below the truth in at most 5 %, give or take.
        let mut rng = fastrand::Rng::with_seed(7);
        let broken = (0..2_000)
            .filter(|_| {
                let wrong = (0..300).filter(|_| rng.f64() < 0.02).count() as u64;
                upper_bound(wrong, 300, 0.95) < 0.02
            })
            .count();
        assert!(broken <= 130, "{broken}");
    }

    #[test]
    fn it_takes_299_to_show_one_percent() {
        assert_eq!(fewest(0.01, 0.95), 299);
        assert!(upper_bound(0, 299, 0.95) <= 0.01 && upper_bound(0, 298, 0.95) > 0.01);
    }
}

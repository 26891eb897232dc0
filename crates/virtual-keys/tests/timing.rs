//! Whether the time that a wrong key takes says anything of the right one (security test 1): Welch's t-test, as dudect does it.
//!
//! `cargo test --release -p mainstay-virtual-keys --test timing -- --ignored --nocapture`, on a machine that does nothing else.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![allow(clippy::disallowed_methods, reason = "it measures")]

mod common;

use std::hint::black_box;
use std::time::Instant;

use common::{Lab, settings};
use mainstay_virtual_keys::KeySecret;

const EACH: usize = 1_000_000;

/// Mean and variance as they come (Welford).
#[derive(Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let before = value - self.mean;
        self.mean += before / self.count;
        self.squares += before * (value - self.mean);
    }

    fn error(&self) -> f64 {
        self.squares / (self.count - 1.0) / self.count
    }
}

/// The same secret with another letter there.
fn wrong_at(secret: &KeySecret, at: usize) -> String {
    let mut wrong = secret.expose().to_owned();
    let other = if &wrong[at..=at] == "x" { "y" } else { "x" };
    wrong.replace_range(at..=at, other);
    wrong
}

#[tokio::test]
#[ignore = "it measures for some seconds and needs a quiet machine"]
async fn a_key_that_is_wrong_in_its_first_letter_takes_as_long_as_one_that_is_wrong_in_its_last() {
    let lab = Lab::new().await;
    let (_, secret) = lab.key(settings("a")).await;
    let wrong = [wrong_at(&secret, KeySecret::PREFIX.len()), wrong_at(&secret, KeySecret::LENGTH - 1)];
    let mut samples = Vec::with_capacity(2 * EACH);
    // In an order by chance: whatever slows the machine down meets both alike.
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..2 * EACH {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let which = usize::from(random & 1 == 1);
        let begun = Instant::now();
        let refused = lab.ring.check(black_box(&wrong[which]));
        let took = begun.elapsed().as_nanos() as f64;
        assert!(refused.is_err());
        samples.push((which, took));
    }
    // What the scheduler did is not what the code did.
    let mut times: Vec<_> = samples.iter().map(|(_, took)| *took).collect();
    times.sort_by(f64::total_cmp);
    let longest = times[times.len() * 99 / 100];
    let mut moments = [Moments::default(), Moments::default()];
    for (which, took) in samples.into_iter().filter(|(_, took)| *took <= longest) {
        moments[which].add(took);
    }
    let [first, last] = &moments;
    let t = (first.mean - last.mean) / (first.error() + last.error()).sqrt();
    println!("first letter {:.1} ns, last letter {:.1} ns, t = {t:.2}", first.mean, last.mean);
    assert!(t.abs() < 4.5, "t = {t}");
}

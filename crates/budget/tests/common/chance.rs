//! What may happen to a call: answers, failures, silence, streams that break off.
#![allow(unreachable_pub, reason = "a part of several tests")]

use std::time::Duration;

use fastrand::Rng;
use mainstay_provider_core::test_kit::{Piece, Step};
use mainstay_provider_core::{ErrorKind, Timer, Usage};

/// What a call comes upon, with pauses of at most so much. No answer uses more than was reserved for it.
pub fn step(rng: &mut Rng, longest: Duration) -> Step {
    let usage = Usage::new(rng.u64(1..12), rng.u64(0..40));
    let words = (0..rng.usize(1..12)).map(|_| Piece::text("mast "));
    let pauses = |rng: &mut Rng| Piece::Wait(longest.mul_f64(rng.f64()));
    let begun: Vec<_> = words.collect();
    let end = match rng.u32(0..6) {
        0 => vec![Piece::Stall],
        1 => vec![Piece::Cut],
        2 => vec![Piece::fail_with(ErrorKind::Overloaded)],
        3 => vec![pauses(rng), Piece::stop()],
        _ => vec![pauses(rng), Piece::stop(), Piece::Usage(usage)],
    };
    let step = match rng.u32(0..10) {
        0 => Step::fail_with(ErrorKind::RateLimited),
        1 => Step::fail_with(ErrorKind::Timeout(Timer::FirstToken)),
        2 => Step::hang(),
        3 | 4 => Step::text("A mainstay holds the mast.").usage(usage),
        _ => Step::stream(begun.into_iter().chain(end)),
    };
    step.after(longest.mul_f64(rng.f64() * 2.0 / 3.0))
}

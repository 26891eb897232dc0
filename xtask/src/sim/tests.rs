//! The simulation holds on a few seeds, and catches what is broken on purpose.

use clap::ValueEnum as _;

use super::fleet::{self, Order, Sum};
use super::sabotage::Sabotage;
use super::{Mode, world};

fn run(seeds: u64) -> Sum {
    let modes: &[Mode] = &[Mode::Safety, Mode::Liveness];
    let order = Order { from: 0, seeds, modes, prints: false, twice: false, jobs: None, sabotage: None };
    fleet::run(&order).unwrap()
}

#[test]
fn a_few_seeds_keep_every_promise() {
    let sum = run(10);
    assert!(sum.failures.is_empty(), "{sum}");
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let hash = |seed| world::live(seed, Mode::Liveness, false, None).unwrap().hash;
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

/// A simulation that cannot fail proves nothing.
#[test]
fn what_is_broken_on_purpose_is_caught() {
    for sabotage in Sabotage::value_variants() {
        let caught = (0..20).find(|seed| {
            [Mode::Safety, Mode::Liveness].into_iter().any(|mode| {
                let report = world::live(*seed, mode, false, Some(*sabotage)).unwrap();
                report.violations.iter().any(|violation| violation.invariant == sabotage.breaks())
            })
        });
        assert!(caught.is_some(), "{sabotage:?} should break \"{}\"", sabotage.breaks().name());
    }
}

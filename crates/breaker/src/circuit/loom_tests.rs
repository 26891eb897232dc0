//! Every order in which threads can meet in the state core:
//! `RUSTFLAGS="--cfg loom" cargo test -p mainstay-breaker --lib --release --target-dir target/loom loom_`

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;
use mainstay_provider_core::Availability;
use tokio::time::Instant;

use super::{Circuit, Permit};
use crate::BreakerPool;
use crate::config::{BreakerBuilder, BreakerConfig};
use crate::state::{State, Verdict};

const RECOVERY: Duration = Duration::from_secs(60);
const NEXT: Duration = Duration::from_secs(1);

fn config(probes: u32) -> BreakerBuilder {
    BreakerConfig::builder().failures(1).probes(probes).seed(1)
}

fn circuit(builder: BreakerBuilder) -> Arc<Circuit> {
    let config = builder.build_config().expect("the test's settings are right");
    Circuit::new(std::sync::Arc::new(config), "eu-1".into())
}

fn ask(circuit: &Arc<Circuit>, now: Instant) -> Option<Permit> {
    Permit::ask(circuit.clone(), now, None).ok()
}

/// A circuit that opened at `born`, and the time of the flip.
fn open(probes: u32) -> (Arc<Circuit>, Instant) {
    let circuit = circuit(config(probes));
    let born = circuit.born;
    ask(&circuit, born).expect("it is closed").settle(Verdict::Failure, born);
    (circuit, born + RECOVERY)
}

// B1
#[test]
fn loom_racing_threads_get_exactly_the_probes() {
    for probes in [1, 2] {
        loom::model(move || {
            let (circuit, flip) = open(probes);
            let others: Vec<_> = (0..2)
                .map(|_| {
                    let circuit = circuit.clone();
                    thread::spawn(move || ask(&circuit, flip))
                })
                .collect();
            let mut permits = vec![ask(&circuit, flip)];
            permits.extend(others.into_iter().map(|other| other.join().unwrap()));
            assert_eq!(permits.iter().flatten().count(), probes as usize);
            assert!(circuit.refuses(flip).is_some(), "the word knows that all places are taken");
        });
    }
}

// B2
#[test]
fn loom_a_place_given_back_is_never_lost_and_never_doubled() {
    loom::model(|| {
        let (circuit, flip) = open(1);
        let probe = ask(&circuit, flip).expect("the first is the probe");
        let dropped = thread::spawn(move || drop(probe));
        let other = {
            let circuit = circuit.clone();
            thread::spawn(move || ask(&circuit, flip))
        };
        let mine = ask(&circuit, flip);
        let other = other.join().unwrap();
        dropped.join().unwrap();
        let taken = [&mine, &other].iter().filter(|permit| permit.is_some()).count();
        assert!(taken <= 1);
        let third = ask(&circuit, flip);
        assert_eq!(taken + usize::from(third.is_some()), 1, "somebody has the place");
    });
}

// B2
#[test]
fn loom_a_success_and_a_failure_of_two_probes_end_open_or_wait_and_never_stuck() {
    loom::model(|| {
        let (circuit, flip) = open(2);
        let first = ask(&circuit, flip).expect("a place");
        let second = ask(&circuit, flip).expect("the other place");
        let fails = thread::spawn(move || first.settle(Verdict::Failure, flip));
        second.settle(Verdict::Success, flip);
        fails.join().unwrap();
        assert!(matches!(circuit.state(flip), State::Open { .. }));
        assert_eq!(circuit.availability(flip + RECOVERY), Availability::HalfOpen);
        assert!(ask(&circuit, flip + RECOVERY).is_some());
    });
}

// B4
#[test]
fn loom_an_old_verdict_that_races_with_the_flip_changes_nothing() {
    loom::model(|| {
        let circuit = circuit(config(1));
        let born = circuit.born;
        let old = ask(&circuit, born).expect("it is closed");
        ask(&circuit, born).expect("it is closed").settle(Verdict::Failure, born);
        let flip = born + RECOVERY;
        let late = thread::spawn(move || old.settle(Verdict::Success, flip));
        let probe = ask(&circuit, flip).expect("nobody else asks");
        late.join().unwrap();
        assert_eq!(circuit.state(flip), State::HalfOpen);
        probe.settle(Verdict::Failure, flip);
        assert!(matches!(circuit.state(flip), State::Open { .. }));
    });
}

// B3
#[test]
fn loom_a_lease_that_ends_while_its_probe_comes_back_gives_one_place() {
    loom::model(|| {
        let (circuit, flip) = open(1);
        let slow = ask(&circuit, flip).expect("the first is the probe");
        let after = flip + RECOVERY + NEXT;
        let late = thread::spawn(move || drop(slow));
        let next = ask(&circuit, after).expect("the lease has ended");
        late.join().unwrap();
        assert!(ask(&circuit, after).is_none(), "there is one place");
        next.settle(Verdict::Success, after);
        assert_eq!(circuit.state(after), State::Closed);
    });
}

// The word that refusals and routers read is the machine's own when nobody changes it.
#[test]
fn loom_the_word_says_what_the_machine_says() {
    loom::model(|| {
        let circuit = circuit(config(1));
        let born = circuit.born;
        let trips = {
            let circuit = circuit.clone();
            thread::spawn(move || {
                if let Some(permit) = ask(&circuit, born) {
                    permit.settle(Verdict::Failure, born);
                }
            })
        };
        circuit.change(|machine| ((), machine.reset(born)));
        trips.join().unwrap();
        let open = matches!(circuit.state(born), State::Open { .. });
        assert_eq!(circuit.refuses(born).is_some(), open);
    });
}

// B11
#[test]
fn loom_two_breakers_that_trip_at_once_share_one_seat() {
    loom::model(|| {
        let pool = BreakerPool::default();
        let circuits: Vec<_> = (0..2).map(|_| circuit(config(1).pool(pool.clone()))).collect();
        let born = circuits[1].born;
        let threads: Vec<_> = circuits
            .iter()
            .cloned()
            .map(|circuit| {
                thread::spawn(move || {
                    ask(&circuit, born).expect("it is closed").settle(Verdict::Failure, born);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let open = circuits.iter().filter(|circuit| circuit.refuses(born).is_some()).count();
        assert_eq!((open, pool.open()), (1, 1));
    });
}

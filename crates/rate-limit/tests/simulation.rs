//! The goals of S11.1, held at a simulated provider on fixed seeds. `examples/simulate.rs` prints the whole table.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod simulator;

use std::time::Duration;

use simulator::{Client, Refill, Scenario, run};

const REFILLS: [Refill; 2] = [Refill::Steady, Refill::Minute];

/// As large as it must be for each gateway to have some calls, and as long as shows the goals.
fn scenario(gateways: usize, refill: Refill) -> Scenario {
    let tokens_per_minute = if gateways == 16 { 2_400_000 } else { 600_000 };
    Scenario {
        gateways,
        refill,
        tokens_per_minute,
        requests_per_minute: tokens_per_minute / 600,
        measured: Duration::from_secs(8 * 60),
        ..Scenario::default()
    }
}

/// 95 % of the limit is asked for; headers tell what is left; tokens are guessed to within a fifth.
fn holds_the_goals(gateways: usize) {
    for refill in REFILLS {
        for seed in 1..=2 {
            let scenario = Scenario { seed, ..scenario(gateways, refill) };
            let outcome = run(scenario, Client::Limited);
            assert!(outcome.throttled_share() <= 0.005, "{scenario:?} {outcome:?}");
            assert!((outcome.offered - 0.95).abs() < 0.03, "{scenario:?} {outcome:?}");
            assert!(outcome.utilisation >= 0.9, "{scenario:?} {outcome:?}");
        }
    }
}

#[test]
fn one_gateway_meets_hardly_any_429_at_95_percent_load() {
    holds_the_goals(1);
}

#[test]
fn four_gateways_that_do_not_know_of_each_other_meet_hardly_any_429_at_95_percent_load() {
    holds_the_goals(4);
}

#[test]
fn sixteen_gateways_that_do_not_know_of_each_other_meet_hardly_any_429_at_95_percent_load() {
    holds_the_goals(16);
}

#[test]
fn an_overload_is_no_storm_of_429s() {
    for refill in REFILLS {
        let scenario = Scenario { offered: 1.2, ..scenario(4, refill) };
        let outcome = run(scenario, Client::Limited);
        assert!(outcome.throttled_share() <= 0.005, "{scenario:?} {outcome:?}");
        assert!(outcome.utilisation >= 0.95, "{scenario:?} {outcome:?}");
    }
}

// The simulation is worth something only if a client that just reacts fares worse in it.
#[test]
fn clients_that_only_react_meet_many() {
    for gateways in [1, 16] {
        let scenario = scenario(gateways, Refill::Minute);
        let outcome = run(scenario, Client::Reactive);
        assert!(outcome.throttled_share() > 0.05, "{scenario:?} {outcome:?}");
    }
}

/// The limit is halved, and nobody tells: no headers, and nothing is configured.
fn learns_a_hidden_limit(gateways: usize) {
    for refill in REFILLS {
        for hint in [true, false] {
            let halved = Duration::from_secs(180);
            let scenario = Scenario {
                hint,
                headers: false,
                halved_after: Some(halved),
                warm_up: halved + Duration::from_secs(120),
                measured: Duration::from_secs(6 * 60),
                ..scenario(gateways, refill)
            };
            let outcome = run(scenario, Client::Limited);
            assert!(outcome.throttled_share() < 0.01, "{scenario:?} {outcome:?}");
            assert!(outcome.utilisation >= 0.85, "{scenario:?} {outcome:?}");
        }
    }
}

#[test]
fn one_gateway_learns_a_halved_limit_within_two_windows() {
    learns_a_hidden_limit(1);
}

#[test]
fn four_gateways_learn_a_halved_limit_within_two_windows() {
    learns_a_hidden_limit(4);
}

#[test]
fn sixteen_gateways_learn_a_halved_limit_within_two_windows() {
    learns_a_hidden_limit(16);
}

#[test]
fn a_configured_limit_is_kept_without_a_single_429() {
    for refill in REFILLS {
        let scenario = Scenario { headers: false, configured: true, ..scenario(1, refill) };
        let outcome = run(scenario, Client::Limited);
        assert_eq!(outcome.throttled, 0, "{outcome:?}");
        assert!(outcome.utilisation >= 0.85, "{outcome:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_story() {
    let scenario = Scenario { measured: Duration::from_secs(120), ..scenario(4, Refill::Minute) };
    let told = |_| format!("{:?}", run(scenario, Client::Limited));
    assert_eq!(told(1), told(2));
}

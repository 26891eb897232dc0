//! Each strategy takes what it says it takes.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::BuildOf as _;
use common::{Told, answering, call, model, router, seeded, who};
use mainstay_router::{Candidate, Chance, Choice, Price, Strategy, strategy};

fn three() -> [Candidate<'static>; 3] {
    ["a", "b", "c"].map(Candidate::new)
}

/// How often each is chosen of so many times.
fn shares(strategy: &dyn Strategy, candidates: &[Candidate<'_>], times: u32) -> Vec<f64> {
    let mut chance = Chance::seeded(11);
    let mut counts = vec![0u32; candidates.len()];
    for _ in 0..times {
        counts[strategy.choose(&Choice::of(candidates), &mut chance)] += 1;
    }
    counts.into_iter().map(|count| f64::from(count) / f64::from(times)).collect()
}

// Section 5: weights within 2 % over 10^5 picks.
#[test]
fn weights_hold_within_two_percent_over_a_hundred_thousand_picks() {
    let mut candidates = three();
    (candidates[0].weight, candidates[1].weight, candidates[2].weight) = (5.0, 3.0, 2.0);
    let shares = shares(&strategy::Weighted, &candidates, 100_000);
    for (share, wanted) in shares.iter().zip([0.5, 0.3, 0.2]) {
        assert!((share / wanted - 1.0).abs() < 0.02, "{shares:?}");
    }
}

#[test]
fn least_busy_goes_by_calls_in_flight_and_weight() {
    let mut candidates = three();
    (candidates[0].in_flight, candidates[1].in_flight, candidates[2].in_flight) = (2, 1, 3);
    assert_eq!(shares(&strategy::LeastBusy, &candidates, 100), [0.0, 1.0, 0.0]);
    candidates[2].weight = 4.0;
    assert_eq!(shares(&strategy::LeastBusy, &candidates, 100), [0.0, 0.0, 1.0]);
}

#[test]
fn equals_share_by_chance() {
    for name in ["p2c", "least-busy", "lowest-cost", "headroom", "weighted"] {
        let shares = shares(&*strategy::named(name).unwrap(), &three(), 30_000);
        assert!(shares.iter().all(|share| (share - 1.0 / 3.0).abs() < 0.02), "{name}: {shares:?}");
    }
}

#[test]
fn the_cheapest_is_taken_and_one_without_a_price_last() {
    let mut candidates = three();
    candidates[0].price = Some(Price::new(2.5, 10.0));
    candidates[1].price = Some(Price::new(0.15, 0.6));
    assert_eq!(shares(&strategy::LowestCost, &candidates, 100), [0.0, 1.0, 0.0]);
}

#[test]
fn traffic_moves_by_what_is_left_of_the_limits() {
    let mut candidates = three();
    (candidates[0].headroom, candidates[1].headroom, candidates[2].headroom) = (0.8, 0.2, 0.0);
    let shares = shares(&strategy::Headroom, &candidates, 50_000);
    assert!((shares[0] - 0.8).abs() < 0.01 && shares[2] == 0.0, "{shares:?}");
}

#[test]
fn of_two_by_chance_the_quicker_and_less_busy_is_taken() {
    let mut candidates = three();
    candidates[0].first_token = 0.3;
    let quick = shares(&strategy::PeakEwma, &candidates, 10_000);
    assert_eq!(quick[0], 0.0);
    // So many calls that wait there outweigh ten times the time here.
    (candidates[1].waiting, candidates[2].waiting) = (110, 110);
    assert!(shares(&strategy::PeakEwma, &candidates, 10_000)[0] > 0.6);
}

// Section 5: a fast-failing deployment must not win by being fast.
#[test]
fn one_that_fails_at_once_does_not_win_by_being_quick_idle_or_cheap() {
    for name in ["p2c", "least-busy", "lowest-cost", "headroom"] {
        let mut candidates = three();
        candidates.iter_mut().for_each(|candidate| candidate.price = Some(Price::new(1.0, 4.0)));
        candidates[0].price = Some(Price::new(0.0, 0.0));
        candidates[0].first_token = 0.010;
        candidates[0].failing = 0.9;
        (candidates[1].in_flight, candidates[2].in_flight) = (50, 50);
        (candidates[1].waiting, candidates[2].waiting) = (50, 50);
        let share = shares(&*strategy::named(name).unwrap(), &candidates, 10_000)[0];
        assert!(share < 0.05, "{name}: {share}");
    }
}

#[test]
fn limits_that_run_out_repel_before_the_first_refusal() {
    let mut candidates = three();
    candidates[0].headroom = 0.05;
    let share = shares(&strategy::PeakEwma, &candidates, 10_000)[0];
    assert_eq!(share, 0.0);
}

#[test]
fn a_function_is_a_strategy() {
    let by_name = |candidate: &Candidate<'_>| f64::from(candidate.deployment.as_bytes()[0]);
    assert_eq!(shares(&by_name, &three(), 10), [1.0, 0.0, 0.0]);
}

#[test]
fn every_name_is_a_strategy_of_that_name() {
    for name in strategy::NAMES {
        assert_eq!(strategy::named(name).unwrap().name(), name);
    }
    assert!(strategy::named("fastest").is_none());
}

#[tokio::test]
async fn a_strategy_that_points_beyond_the_end_points_at_the_first() {
    struct Wild;
    impl Strategy for Wild {
        fn name(&self) -> &str {
            "wild"
        }
        fn score(&self, _: &Candidate<'_>, _: &Choice<'_>) -> f64 {
            f64::NAN
        }
        fn choose(&self, _: &Choice<'_>, _: &mut Chance) -> usize {
            usize::MAX
        }
    }
    let main = model("main", [answering("a").0, answering("b").0]).strategy(Wild);
    assert_eq!(who(&router([main]), call()).await, "a");
}

#[tokio::test]
async fn a_score_that_is_no_number_still_chooses_somebody() {
    let main = model("main", [answering("a").0, answering("b").0]).strategy(|_: &Candidate<'_>| f64::NAN);
    who(&router([main]), call()).await;
}

#[tokio::test]
async fn a_higher_tier_waits_until_the_lower_one_cannot() {
    let told = Told::ready();
    let (a, first) = answering("a");
    let (b, second) = answering("b");
    let router = router([model("main", [b.order(2), told.of(a)])]);
    for _ in 0..20 {
        assert_eq!(who(&router, call()).await, "a");
    }
    told.down_for(common::seconds(9));
    assert_eq!(who(&router, call()).await, "b");
    assert_eq!((first.counts().calls, second.counts().calls), (20, 1));
}

#[tokio::test]
async fn limits_that_are_used_up_count_as_no_place_while_there_is_another() {
    let told = Told::ready();
    told.left(0.0);
    let router = router([model("main", [told.of(answering("a").0), answering("b").0.order(2)])]);
    assert_eq!(who(&router, call()).await, "b");
    let alone = seeded().build_of([model("main", [told.of(answering("a").0)])]);
    assert_eq!(who(&alone, call()).await, "a");
}

#[tokio::test]
async fn the_same_seed_makes_the_same_choices() {
    let choices = async || {
        let main = model("main", ["a", "b", "c"].map(|name| answering(name).0));
        let router = seeded().strategy(strategy::Weighted).build_of([main]);
        let mut choices = Vec::new();
        for _ in 0..50 {
            choices.push(who(&router, call()).await);
        }
        choices
    };
    assert_eq!(choices().await, choices().await);
}

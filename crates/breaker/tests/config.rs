//! Settings are checked where they enter.

use std::time::Duration;

use mainstay_breaker::{BreakerLayer, FailureRate, InvalidConfig, Slow};

#[test]
fn a_breaker_that_nothing_opens_is_refused() {
    let error = BreakerLayer::builder().failures(None).build().unwrap_err();
    assert_eq!(error, InvalidConfig::NeverOpens);
    let rate = FailureRate::new(0.5);
    BreakerLayer::builder().failures(None).failure_rate(rate).build().unwrap();
}

#[test]
fn zeros_are_refused_with_their_names() {
    let zero = Duration::ZERO;
    let builder = BreakerLayer::builder;
    let wrong = [
        (builder().failures(0), "failures"),
        (builder().probes(0), "probes"),
        (builder().recovery(zero), "recovery"),
        (builder().lease(zero), "lease"),
        (builder().max_cooldown(zero), "max_cooldown"),
        (builder().park_recheck(zero), "park_recheck"),
        (builder().slow(Slow::gap(zero)), "slow gap"),
        (builder().slow_model("m", Slow::first_token(zero)), "slow first_token"),
        (builder().failure_rate(FailureRate::new(0.5).min_requests(0)), "min_requests"),
        (builder().failure_rate(FailureRate::new(0.5).buckets(0)), "buckets"),
        (builder().failure_rate(FailureRate::new(0.5).window(zero)), "window"),
    ];
    for (builder, name) in wrong {
        assert_eq!(builder.build().unwrap_err(), InvalidConfig::Zero(name));
    }
}

#[test]
fn times_and_numbers_beyond_reason_are_refused() {
    let long = Duration::from_secs(31 * 24 * 60 * 60);
    let builder = BreakerLayer::builder;
    assert_eq!(builder().recovery(long).build().unwrap_err(), InvalidConfig::TooLong("recovery"));
    assert_eq!(
        builder().max_recovery(Duration::MAX).build().unwrap_err(),
        InvalidConfig::TooLong("max_recovery")
    );
    let many = builder().probes(2_000).build().unwrap_err();
    assert_eq!(many, InvalidConfig::TooMany { what: "probes", given: 2_000, most: 1_000 });
    let many = builder().failure_rate(FailureRate::new(0.5).buckets(u32::MAX)).build().unwrap_err();
    assert!(matches!(many, InvalidConfig::TooMany { what: "buckets", .. }));
}

#[test]
fn a_ratio_must_be_one() {
    for ratio in [0.0, -0.5, 1.01, f64::NAN, f64::INFINITY] {
        let error = BreakerLayer::builder().failure_rate(FailureRate::new(ratio)).build().unwrap_err();
        assert!(matches!(error, InvalidConfig::Ratio(_)), "{ratio}");
    }
}

// B9: window >= longest allowed call
#[test]
fn a_window_shorter_than_the_longest_call_is_refused() {
    let short = FailureRate::new(0.5).window(Duration::from_secs(60));
    let error = BreakerLayer::builder().failure_rate(short).build().unwrap_err();
    assert!(matches!(error, InvalidConfig::WindowShorterThanCall { .. }));
    BreakerLayer::builder().failure_rate(short).lease(Duration::from_secs(55)).build().unwrap();
}

//! Settings are checked where they enter.

use std::time::Duration;

use mainstay_rate_limit::{BulkheadLayer, InvalidConfig, RateLimitLayer};

const LONG: Duration = Duration::from_secs(25 * 60 * 60);

#[test]
fn zeros_are_refused_with_their_names() {
    let builder = RateLimitLayer::builder;
    let wrong = [
        (builder().requests_per_minute(0), "requests"),
        (builder().tokens_per_minute(0), "tokens"),
        (builder().input_tokens_per_minute(0), "input_tokens"),
        (builder().output_tokens_per_minute(0), "output_tokens"),
        (builder().replicas(0), "replicas"),
        (builder().max_pause(Duration::ZERO), "max_pause"),
    ];
    for (builder, name) in wrong {
        assert_eq!(builder.build().unwrap_err(), InvalidConfig::Zero(name));
    }
    let no_place = BulkheadLayer::builder().max_parallel(0).build();
    assert_eq!(no_place.unwrap_err(), InvalidConfig::Zero("max_parallel"));
    builder().max_wait(Duration::ZERO).max_queue(0).build().unwrap();
    BulkheadLayer::builder().max_wait(Duration::ZERO).max_queue(0).build().unwrap();
}

#[test]
fn times_and_numbers_beyond_reason_are_refused() {
    let builder = RateLimitLayer::builder;
    assert_eq!(builder().max_wait(LONG).build().unwrap_err(), InvalidConfig::TooLong("max_wait"));
    assert_eq!(builder().max_pause(LONG).build().unwrap_err(), InvalidConfig::TooLong("max_pause"));
    let no_share = builder().requests_per_minute(5).replicas(6).build().unwrap_err();
    assert_eq!(no_share, InvalidConfig::NoShare { of: "requests", replicas: 6 });
    for builder in [
        builder().tokens_per_minute(u64::MAX - 1),
        builder().expected_output(u64::MAX),
        builder().max_queue(usize::MAX),
    ] {
        assert!(matches!(builder.build(), Err(InvalidConfig::TooMany { .. })));
    }
    let bulkhead = BulkheadLayer::builder;
    assert_eq!(bulkhead().max_wait(LONG).build().unwrap_err(), InvalidConfig::TooLong("max_wait"));
    for builder in [bulkhead().max_parallel(usize::MAX), bulkhead().max_queue(usize::MAX)] {
        assert!(matches!(builder.build(), Err(InvalidConfig::TooMany { .. })));
    }
}

#[test]
fn a_wrong_setting_says_what_to_do() {
    let error = RateLimitLayer::builder().requests_per_minute(5).replicas(6).build().unwrap_err();
    assert_eq!(error.to_string(), "the limit of requests divided among 6 replicas leaves each nothing");
}

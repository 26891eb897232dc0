//! Settings that cannot work are not taken.

use std::time::Duration;

use mainstay_provider_core::Provider;
use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_retry::{InvalidConfig, RetryBudget, RetryBuilder, RetryConfig, RetryLayer, Summariser};

fn refused(builder: RetryBuilder) -> InvalidConfig {
    builder.build_config().expect_err("it cannot work")
}

#[test]
fn a_setting_that_cannot_work_is_named() {
    let builder = RetryLayer::builder;
    assert_eq!(refused(builder().attempts(0)), InvalidConfig::Attempts(0));
    assert_eq!(refused(builder().attempts(101)), InvalidConfig::Attempts(101));
    assert_eq!(refused(builder().base(Duration::ZERO)), InvalidConfig::Zero("base"));
    assert_eq!(refused(builder().max_delay(Duration::ZERO)), InvalidConfig::Zero("max_delay"));
    let base = Duration::from_secs(31);
    let too_late = InvalidConfig::BaseAboveMaxDelay { base, max_delay: Duration::from_secs(30) };
    assert_eq!(refused(builder().base(base)), too_late);
    let too_long = Duration::from_millis(30 * 24 * 60 * 60 * 1_000 + 1);
    assert_eq!(refused(builder().max_delay(too_long)), InvalidConfig::TooLong("max_delay"));
    assert_eq!(refused(builder().max_retry_after(too_long)), InvalidConfig::TooLong("max_retry_after"));
    assert_eq!(refused(builder().min_attempt(too_long)), InvalidConfig::TooLong("min_attempt"));
    let longest = Duration::from_secs(30 * 24 * 60 * 60);
    assert!(
        builder()
            .base(longest)
            .max_delay(longest)
            .max_retry_after(longest)
            .min_attempt(longest)
            .build()
            .is_ok()
    );
    let summariser = Summariser::new(Scripted::repeating(Step::text("short")).boxed(), "cheap");
    assert_eq!(refused(builder().summariser(summariser)), InvalidConfig::SummariserWithoutShorten);
}

#[test]
fn a_budget_that_cannot_work_is_named() {
    for share in [0.0, -0.1, 1.01, f64::NAN, f64::INFINITY] {
        assert!(matches!(RetryBudget::new(share, 10), Err(InvalidConfig::BudgetShare(_))), "{share}");
    }
    for burst in [0, 1_000_001] {
        assert_eq!(RetryBudget::new(0.1, burst).unwrap_err(), InvalidConfig::BudgetBurst(burst));
    }
    assert!(RetryBudget::new(1.0, 1_000_000).is_ok() && RetryBudget::new(1e-9, 1).is_ok());
}

#[test]
fn what_is_refused_is_said_in_words() {
    assert_eq!(InvalidConfig::Attempts(0).to_string(), "attempts is 0; it must be 1 to 100");
    assert_eq!(InvalidConfig::Zero("base").to_string(), "base must be above zero");
}

#[test]
fn the_bare_layer_has_no_budget_and_the_standard_has_one_of_its_own() {
    assert!(RetryConfig::default().budget().is_none());
    assert_eq!(RetryConfig::standard().budget().unwrap().left(), 10);
    assert!(RetryLayer::standard().budget().is_some());
}

//! A limit that nobody told is learned from 429s.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{Setup, limiter, pass, seconds, throttled, tokens};
use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_rate_limit::{Dimension, RateLimitBuilder};

/// Sends `calls` calls within a minute, then one that is throttled.
async fn throttled_after(builder: RateLimitBuilder, calls: u32) -> Setup {
    let setup = Setup::new(builder);
    throttle(&setup, calls).await;
    setup
}

async fn throttle(setup: &Setup, calls: u32) {
    for _ in 0..calls {
        setup.pass().await;
        pass(60.0 / f64::from(calls)).await;
    }
    setup.upstream.push(Step::fail(throttled()));
    setup.call(tokens(100)).await.unwrap_err();
}

fn learned(setup: &Setup, of: Dimension) -> Option<u64> {
    setup.handle.dimension(of).learned
}

#[tokio::test(start_paused = true)]
async fn a_429_leaves_seven_tenths_of_what_was_spent() {
    let setup = throttled_after(limiter(), 200).await;
    assert_eq!(learned(&setup, Dimension::Requests), Some(140), "of those that were not refused");
    let tokens = learned(&setup, Dimension::Tokens).unwrap();
    assert!((21_000..21_200).contains(&tokens), "{tokens} of 201 times 150");
    let wait = setup.refused().await;
    assert!(wait > seconds(17.0) && wait < seconds(20.0), "until a third is a minute old: {wait:?}");
    assert_eq!(setup.headroom(), 0.0);
    assert_eq!(setup.events(), ["rate_limit.throttled"]);
}

#[tokio::test(start_paused = true)]
async fn it_comes_back_slowly_and_in_the_end_is_forgotten() {
    let setup = throttled_after(limiter(), 600).await;
    let mut before = learned(&setup, Dimension::Requests).unwrap();
    assert_eq!(before, 420);
    for _ in 0..12 {
        pass(10.0).await;
        let now = learned(&setup, Dimension::Requests).unwrap();
        assert!(now >= before);
        before = now;
    }
    assert_eq!(before, 600, "two minutes, or five hundred calls");
    pass(240.0).await;
    setup.pass().await;
    assert_eq!(learned(&setup, Dimension::Requests), None);
}

#[tokio::test(start_paused = true)]
async fn calls_that_were_already_under_way_do_not_lower_it_again() {
    let setup = Setup::new(limiter());
    for _ in 0..600 {
        setup.pass().await;
        pass(0.1).await;
    }
    let mut under_way = Vec::new();
    for after in [1.0, 1.1, 1.2] {
        setup.upstream.push(Step::fail(throttled()).after(seconds(after)));
        under_way.push(setup.begin(tokens(100)).await);
    }
    for call in under_way {
        call.await.unwrap_err();
    }
    let after = learned(&setup, Dimension::Requests).unwrap();
    assert!((412..424).contains(&after), "one decrease, and two calls less that went through: {after}");
    assert_eq!(setup.events().len(), 1);
    assert_eq!(setup.handle.stats().throttled, 3);
}

#[tokio::test(start_paused = true)]
async fn it_never_falls_below_half_a_request_a_second() {
    let setup = Setup::over(limiter().max_wait(seconds(0.0)), Scripted::repeating(Step::fail(throttled())));
    for _ in 0..50 {
        let _error = setup.call(tokens(100)).await.unwrap_err();
        pass(10.0).await;
    }
    assert_eq!(learned(&setup, Dimension::Requests), Some(30));
}

#[tokio::test(start_paused = true)]
async fn what_was_learned_lets_calls_through_evenly() {
    let setup = throttled_after(limiter().max_wait(seconds(0.0)), 599).await;
    pass(61.0).await;
    let mut answered = 0;
    for _ in 0..300 {
        answered += u32::from(setup.call(tokens(100)).await.is_ok());
    }
    assert!(answered < 100, "nothing is spent, yet not all goes at once: {answered}");
}

// A call that asked for much and wrote little holds up nobody.
#[tokio::test(start_paused = true)]
async fn what_a_call_did_not_use_is_not_held_against_the_pace() {
    let setup = throttled_after(limiter().max_wait(seconds(0.0)), 600).await;
    pass(61.0).await;
    let mut long = tokens(100);
    long.request_mut().max_tokens = Some(20_000);
    setup.call(long).await.unwrap();
    setup.pass().await;
}

#[tokio::test(start_paused = true)]
async fn a_learned_limit_above_the_configured_one_changes_nothing() {
    let setup = throttled_after(limiter().requests_per_minute(20), 10).await;
    assert_eq!(learned(&setup, Dimension::Requests), Some(30));
    pass(61.0).await;
    for _ in 0..20 {
        setup.pass().await;
        pass(2.0).await;
    }
    setup.refused().await;
}

// S2.4: a storm at the start says how fast calls may go, not how many a minute.
#[tokio::test(start_paused = true)]
async fn a_burst_after_quiet_is_taken_for_a_speed() {
    let setup = Setup::new(limiter().max_wait(seconds(30.0)));
    let mut calls = Vec::new();
    for call in 0..20 {
        let step = if call < 10 { Step::text("done") } else { Step::fail(throttled()) };
        setup.upstream.push(step.after(seconds(0.1)));
        calls.push(setup.begin(tokens(100)).await);
    }
    for call in calls {
        let _ = call.await;
    }
    let a_second = learned(&setup, Dimension::Requests).unwrap() as f64 / 60.0;
    assert!((6.0..9.0).contains(&a_second), "ten went through in a second: {a_second}");
    for _ in 0..20 {
        setup.call(tokens(100)).await.unwrap(); // it waits its turn
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_learned_if_so_configured() {
    let setup = throttled_after(limiter().learn(false), 199).await;
    assert_eq!(learned(&setup, Dimension::Requests), None);
    setup.pass().await;
    assert_eq!(setup.events(), [] as [&str; 0], "nothing changed");
}

// One event for each change, however many 429s.
#[tokio::test(start_paused = true)]
async fn a_storm_of_429s_is_no_storm_of_events() {
    let hint = || Step::fail(throttled().with_retry_after(seconds(5.0))).after(seconds(1.0));
    let setup = Setup::over(limiter(), Scripted::new((0..100).map(|_| hint())));
    let mut calls = Vec::new();
    for _ in 0..100 {
        calls.push(setup.begin(tokens(100)).await);
    }
    for call in calls {
        call.await.unwrap_err();
    }
    let events = setup.take_events();
    assert_eq!(events.len(), 1, "{events:?}");
    let names: Vec<_> = events[0].attributes.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["deployment", "for_ms", "learned_requests_per_minute"]);
}

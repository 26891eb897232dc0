//! A limit that will be reached is foreseen, told, and calls are spread before it is (S11.1).
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::sync::Mutex;

use common::{Setup, limiter, pass, requests, seconds, telling, tokens, told};
use mainstay_provider_core::test_kit::Scripted;
use mainstay_provider_core::{ErrorKind, Severity};
use mainstay_rate_limit::Dimension;
use tokio::time::Instant;

/// A provider with 600 requests a minute, all back at the end of each minute.
fn by_the_minute() -> Scripted {
    let start = Instant::now();
    let left = Mutex::new((0_u64, 600_u64));
    Scripted::by(move |_| {
        let passed = start.elapsed();
        let mut left = left.lock().unwrap();
        let minute = passed.as_secs() / 60;
        if minute > left.0 {
            *left = (minute, 600);
        }
        left.1 = left.1.checked_sub(1).expect("nobody asks for more than there is");
        telling(requests(told(left.1, 600, 60.0 - passed.as_secs_f64() % 60.0)))
    })
}

/// Sends so many calls a second for so many seconds. How many were answered.
async fn load(setup: &Setup, a_second: u32, time: f64) -> u32 {
    let (start, mut answered) = (Instant::now(), 0);
    for number in 0.. {
        let at = start + seconds(f64::from(number) / f64::from(a_second));
        if at >= start + seconds(time) {
            break;
        }
        tokio::time::sleep_until(at).await;
        match setup.call(tokens(10)).await {
            Ok(()) => answered += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::LimitReached),
        }
    }
    answered
}

#[tokio::test(start_paused = true)]
async fn exhaustion_is_foreseen_told_once_and_lowers_the_headroom_before_it_comes() {
    let setup = Setup::over(limiter().max_wait(seconds(0.0)), by_the_minute());
    load(&setup, 5, 10.0).await;
    assert_eq!(setup.handle.time_to_exhaustion().map(|time| time > seconds(60.0)), Some(true));
    assert!(setup.headroom() > 0.9, "half the rate: {}", setup.headroom());
    assert_eq!(setup.events(), [] as [&str; 0]);
    // Twice what the limit gives.
    load(&setup, 20, 10.0).await;
    let left = setup.handle.dimension(Dimension::Requests);
    let lasts = setup.handle.time_to_exhaustion().unwrap();
    assert!(lasts < left.reset.unwrap(), "{lasts:?} {left:?}");
    let share = left.remaining.unwrap() as f32 / 600.0;
    let lowered = share * lasts.as_secs_f32() / left.reset.unwrap().as_secs_f32();
    assert!((setup.headroom() - lowered).abs() < 0.02, "{} {lowered}", setup.headroom());
    load(&setup, 20, 20.0).await;
    let events = setup.take_events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((events[0].name, events[0].severity), ("rate_limit.exhaustion_foreseen", Severity::Warning));
    let names: Vec<_> = events[0].attributes.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["deployment", "dimension", "in_ms", "reset_ms"]);
}

#[tokio::test(start_paused = true)]
async fn calls_are_spread_so_that_the_limit_lasts_to_its_reset() {
    let setup = Setup::over(limiter().max_wait(seconds(0.0)), by_the_minute());
    let mut by_second = Vec::new();
    for _ in 0..60 {
        by_second.push(load(&setup, 30, 1.0).await);
    }
    let (early, late): (u32, u32) = (by_second[..30].iter().sum(), by_second[30..].iter().sum());
    assert!(early + late >= 580, "it is used: {early} {late}");
    assert!(late > 60, "it lasts: {by_second:?}");
    assert!(by_second[50..59].iter().all(|calls| *calls > 0), "{by_second:?}");
    assert_eq!(setup.handle.stats().throttled, 0);
}

// Nobody wants the morning's calls refused because the day's limit might not last till night.
#[tokio::test(start_paused = true)]
async fn a_limit_of_the_day_is_foreseen_and_not_spread() {
    let left = Mutex::new(400_u64);
    let upstream = Scripted::by(move |_| {
        let mut left = left.lock().unwrap();
        *left -= 1;
        telling(requests(told(*left, 1_000, 8.0 * 3_600.0)))
    });
    let setup = Setup::over(limiter().max_wait(seconds(0.0)), upstream);
    assert_eq!(load(&setup, 5, 60.0).await, 300);
    assert_eq!(setup.events(), ["rate_limit.exhaustion_foreseen"]);
    assert!(setup.headroom() < 0.01, "a router asks others by now: {}", setup.headroom());
}

#[tokio::test(start_paused = true)]
async fn a_configured_limit_is_foreseen_too() {
    let setup = Setup::new(limiter().requests_per_minute(600).max_wait(seconds(0.0)));
    load(&setup, 8, 60.0).await;
    assert_eq!(setup.events(), [] as [&str; 0]);
    assert!(setup.headroom() < 0.3, "most of the window is used: {}", setup.headroom());
    load(&setup, 40, 3.0).await;
    assert_eq!(setup.events(), ["rate_limit.exhaustion_foreseen"]);
    load(&setup, 40, 20.0).await;
    assert_eq!(setup.headroom(), 0.0);
    assert_eq!(setup.events(), [] as [&str; 0], "once");
}

// A router reads it for each deployment at each call; one that it avoids must be seen to recover.
#[tokio::test(start_paused = true)]
async fn the_headroom_comes_back_without_a_call() {
    let setup = Setup::over(limiter(), Scripted::repeating(telling(requests(told(0, 60, 60.0)))));
    setup.pass().await;
    assert_eq!(setup.headroom(), 0.0);
    pass(30.0).await;
    assert!((setup.headroom() - 0.5).abs() < 0.05, "{}", setup.headroom());
    pass(30.0).await;
    assert_eq!(setup.headroom(), 1.0);
}

#[tokio::test(start_paused = true)]
async fn nothing_known_is_all_free() {
    let setup = Setup::new(limiter());
    assert_eq!(setup.headroom(), 1.0);
    load(&setup, 100, 5.0).await;
    assert_eq!((setup.headroom(), setup.handle.time_to_exhaustion()), (1.0, None));
}

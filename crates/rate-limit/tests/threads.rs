//! Real threads that race for places.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use common::{limiter, tokens, used};
use mainstay_provider_core::test_kit::Scripted;
use mainstay_provider_core::{Error, ErrorKind, Provider, ReportHeadroom};
use mainstay_rate_limit::Dimension;
use tower::Layer;

/// Runs `work` on 16 threads at once.
fn race(work: impl Fn(usize) + Send + Sync + 'static) {
    let (work, start) = (Arc::new(work), Arc::new(Barrier::new(16)));
    let threads: Vec<_> = (0..16)
        .map(|number| {
            let (work, start) = (work.clone(), start.clone());
            std::thread::spawn(move || {
                start.wait();
                work(number);
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn alone<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

// All dimensions at once or none: 160 calls race for places for 40.
#[test]
fn sixteen_threads_get_exactly_the_places_that_there_are() {
    for _ in 0..20 {
        let builder = limiter().requests_per_minute(100).tokens_per_minute(40 * 150).max_wait(Duration::ZERO);
        let layer = builder.estimator(|_: &_| 100).build().unwrap();
        let limited = layer.layer(Scripted::repeating(used(100, 50)));
        let answered = Arc::new(AtomicU64::new(0));
        let (handle, counted) = (layer.handle(), answered.clone());
        race(move |_| {
            alone(async {
                for _ in 0..10 {
                    match limited.ask(tokens(100)).await {
                        Ok(_) => counted.fetch_add(1, Ordering::Relaxed),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::LimitReached);
                            0
                        }
                    };
                }
            });
        });
        assert_eq!(answered.load(Ordering::Relaxed), 40);
        let stats = handle.stats();
        assert_eq!((stats.admitted, stats.refused, stats.in_flight), (40, 120, 0));
        assert_eq!(handle.dimension(Dimension::Requests).spent, 40, "a refusal reserves in no dimension");
        assert_eq!(handle.dimension(Dimension::Tokens).spent, 6_000);
    }
}

// Everybody waits for what the others give back: who is not woken sleeps for a minute.
#[test]
fn no_wake_up_is_lost_when_reservations_come_back_at_once() {
    let builder = limiter().tokens_per_minute(400).max_wait(Duration::from_secs(3_600));
    let layer = builder.estimator(|_: &_| 100).build().unwrap();
    let limited = layer.layer(Scripted::repeating(used(0, 0).after(Duration::from_millis(1))));
    let start = tokio::time::Instant::now();
    race(move |number| {
        alone(async {
            for round in 0..60 {
                if (round + number) % 7 == 0 {
                    let impatient = limited.ask(tokens(100));
                    let _left = tokio::time::timeout(Duration::from_millis(3), impatient).await;
                } else {
                    limited.ask(tokens(100)).await.map(drop).map_err(|error: Error| error.kind()).unwrap();
                }
            }
        });
    });
    assert!(start.elapsed() < Duration::from_secs(50));
    let stats = layer.handle().stats();
    assert_eq!((stats.in_flight, stats.waiting, stats.refused), (0, 0, 0));
    assert!(stats.waited > 0 && stats.left > 0, "{stats:?}");
}

#[test]
fn a_look_never_waits_for_a_change() {
    let layer = limiter().requests_per_minute(1_000_000).build().unwrap();
    let limited = layer.layer(Scripted::repeating(used(1, 1)));
    let handle = layer.handle();
    race(move |number| {
        alone(async {
            for _ in 0..500 {
                if number % 2 == 0 {
                    limited.ask(tokens(1)).await.unwrap();
                } else {
                    let headroom = handle.headroom(tokio::time::Instant::now());
                    assert!((0.0..=1.0).contains(&headroom), "{headroom}");
                }
            }
        });
    });
}

//! The memory is bounded, whatever is asked.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{call, call_of, counting, lab_with, streaming};
use mainstay_cache_exact::ExactCacheLayer;
use mainstay_provider_core::Provider;
use mainstay_provider_core::test_kit::{Scripted, Step};

const MOST: u64 = 256 * 1024;

// S4.1
#[tokio::test]
async fn more_than_fits_pushes_out_what_was_asked_least() {
    let builder = ExactCacheLayer::builder().max_bytes(MOST).max_entry_bytes(64 * 1024);
    let lab = lab_with(builder, Scripted::repeating(Step::text("mast-".repeat(400))));
    for _ in 0..5 {
        lab.text(call("asked often")).await;
    }
    for number in 0..1_000 {
        lab.text(call(&format!("asked once {number}"))).await;
        if number % 10 == 0 {
            lab.text(call("asked often")).await;
        }
    }
    let stats = lab.cache.stats();
    assert!(stats.bytes <= MOST, "{stats:?}");
    assert!(stats.evictions > 800, "{stats:?}");
    assert!(stats.entries >= 40, "{stats:?}");
    assert_eq!(lab.status(call("asked often")).await, "hit");
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_kept() {
    let builder = ExactCacheLayer::builder().max_entry_bytes(2_000);
    let lab = lab_with(builder, Scripted::repeating(Step::text("mast-".repeat(400))));
    for call in [call("a"), call("a"), streaming(call("a")), streaming(call("a"))] {
        assert_eq!(lab.status(call).await, "miss");
    }
    let stats = lab.cache.stats();
    assert_eq!((stats.entries, stats.not_stored), (0, 4));
}

/// Many threads ask for more than fits, purge, and read: nobody is given what is not an answer to its own question.
#[test]
fn under_load_from_many_threads_every_answer_is_right_and_the_bound_holds() {
    let builder =
        ExactCacheLayer::builder().max_bytes(MOST).max_entry_bytes(64 * 1024).ttl(Duration::from_secs(1));
    let lab = lab_with(
        builder,
        Scripted::by(|call| {
            let question = call.request().messages[0].text().into_owned();
            Step::text(format!("{}:{question} {}", call.context().namespace.as_str(), "mast-".repeat(200)))
        }),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let hits = std::sync::Arc::new(AtomicU64::new(0));
    runtime.block_on(async {
        let tasks: Vec<_> = (0..8_u64)
            .map(|task| {
                let (service, cache, hits) = (lab.service.clone(), lab.cache.clone(), hits.clone());
                tokio::spawn(async move {
                    let mut state = task;
                    for round in 0..600 {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        let tenant = format!("tenant{}", (state >> 60) % 3);
                        let question = format!("question {}", ((state >> 33) % 400).min((state >> 45) % 400));
                        let call = call_of(&tenant, &question);
                        let call = if round % 3 == 0 { streaming(call) } else { call };
                        let reply = service.ask(call).await.unwrap();
                        hits.fetch_add(u64::from(common::is_hit(&reply)), Ordering::Relaxed);
                        let text = reply.collect().await.unwrap().text().into_owned();
                        assert!(text.starts_with(&format!("{tenant}:{question} mast-")), "{text}");
                        if round % 100 == 99 {
                            cache.purge(&mainstay_provider_core::Namespace::new(tenant)).await.unwrap();
                        }
                        if round % 20 == 19 {
                            // moka gives memory back a little later than it takes it.
                            let stats = cache.stats();
                            assert!(stats.bytes <= MOST * 2, "{stats:?}");
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let stats = lab.cache.stats();
    assert!(stats.bytes <= MOST && stats.evictions > 0, "{stats:?}");
    assert!(hits.load(Ordering::Relaxed) > 100);
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_is_given_to_the_degrade_ladder_and_then_to_nobody() {
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let lab = lab_with(ExactCacheLayer::builder().ttl(HOUR).stale_for(2 * HOUR), counting());
    assert!(lab.cache.stale(&call("a")).is_none());
    lab.text(call("a")).await;
    let fresh = lab.cache.stale(&call("a")).expect("it is there");
    assert_eq!(fresh.head.cache.as_str(), "hit");
    tokio::time::advance(2 * HOUR).await;
    let stale = lab.cache.stale(&streaming(call("a"))).expect("it is kept");
    assert_eq!((stale.head.cache.as_str(), stale.is_stream()), ("stale", true));
    assert_eq!(stale.collect().await.unwrap().text(), "answer 1");
    let mut anew = call("a");
    anew.context_mut().cache.no_cache = true;
    assert!(lab.cache.stale(&anew).is_none());
    assert_eq!(lab.cache.stats().stale_hits, 1);
    tokio::time::advance(HOUR).await;
    assert!(lab.cache.stale(&call("a")).is_none());
}

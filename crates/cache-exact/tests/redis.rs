//! The second level in a real Redis. Without `redis-server` on this machine these tests say so and pass.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![cfg(feature = "redis")]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{Lab, call, call_of, chunks, counting, lab_with, pieces, streaming};
use mainstay_cache_exact::{
    ExactCacheBuilder, ExactCacheLayer, Key, RedisConfig, RedisStore, Sharing, contract,
};
use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_provider_core::{CacheStatus, Namespace, Provider};
use mainstay_test_servers::{Server, free_port, redis, redis_at, redis_cli};
use tokio::time::Instant;

fn config(server: &Server) -> RedisConfig {
    RedisConfig::new(server.redis_url())
}

fn store(server: &Server) -> RedisStore {
    RedisStore::new(config(server)).unwrap()
}

/// What is promised here is what it does, not how fast it is on a busy machine.
fn patient(server: &Server) -> ExactCacheBuilder {
    ExactCacheLayer::builder().second_level(store(server)).store_timeout(Duration::from_secs(20))
}

fn lab_of(server: &Server, upstream: Scripted) -> Lab {
    lab_with(patient(server), upstream)
}

/// With the timeout that is usual.
fn usual(server: &Server) -> Lab {
    lab_with(ExactCacheLayer::builder().second_level(store(server)), counting())
}

/// Writes are not waited for: waits until they are there.
async fn written(server: &Server, keys: usize) {
    let begun = Instant::now();
    while redis_cli(server.port, &["DBSIZE"]) != keys.to_string() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{} keys, not {keys}",
            redis_cli(server.port, &["DBSIZE"])
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

// S4.2
#[tokio::test]
async fn it_is_a_store_like_the_memory() {
    let Some(server) = redis().await else { return };
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    for compress_over in [0, 4096] {
        let make = async || {
            let prefix = format!("test[{}]*", NUMBER.fetch_add(1, Ordering::Relaxed));
            RedisStore::new(config(&server).prefix(prefix).compress_over(compress_over)).unwrap()
        };
        contract::store().run(make).await.assert_kept();
    }
}

// S4.2
#[tokio::test]
async fn processes_share_their_answers_streams_too() {
    let Some(server) = redis().await else { return };
    let one = lab_of(&server, Scripted::repeating(Step::stream(pieces())));
    let first = chunks(one.ask(streaming(call("a"))).await).await;
    written(&server, 1).await;
    let other = lab_of(&server, Scripted::new([]));
    let replayed = other.ask(streaming(call("a"))).await;
    assert_eq!(replayed.head.cache.as_str(), "hit");
    assert_eq!(chunks(replayed).await, first);
    assert_eq!(other.text(call("a")).await, "A rope that holds \"the\" mast.");
    assert_eq!(other.calls(), 0);
    assert!(other.service.ask(call_of("other", "a")).await.is_err(), "nobody else's");
}

#[tokio::test]
async fn an_entry_is_forgotten_by_the_server_when_its_time_is_over() {
    let Some(server) = redis().await else { return };
    let builder = patient(&server).ttl(Duration::from_secs(100)).stale_for(Duration::from_secs(50));
    let lab = lab_with(builder, counting());
    lab.text(call("a")).await;
    written(&server, 1).await;
    let key = redis_cli(server.port, &["KEYS", "*"]);
    let left: u64 = redis_cli(server.port, &["PTTL", &key]).parse().unwrap();
    assert!((140_000..=150_000).contains(&left), "{left}");
    // Neither the tenant nor the question can be read from it.
    assert!(key.starts_with("mainstay:exact:1:") && !key.contains("acme"), "{key}");
}

// However long the server would keep it: its age is when it was made, by the server's clock.
#[tokio::test]
async fn an_entry_that_somebody_keeps_for_ever_has_its_age_and_its_end() {
    let Some(server) = redis().await else { return };
    let ttl = Duration::from_secs(3);
    let lab = || lab_with(patient(&server).ttl(ttl).stale_for(Duration::ZERO), counting());
    let begun = Instant::now();
    lab().text(call("a")).await;
    written(&server, 1).await;
    let key = redis_cli(server.port, &["KEYS", "*"]);
    assert_eq!(redis_cli(server.port, &["PERSIST", &key]), "1");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let reply = lab().ask(call("a")).await;
    // Two round trips more at most, and they lie within this time.
    let longest = 2 * begun.elapsed() + Duration::from_millis(20);
    match reply.head.cache {
        CacheStatus::Hit { age } => assert!(age >= Duration::from_millis(50) && age <= longest, "{age:?}"),
        // This machine was busy for that long.
        _ => assert!(longest > ttl),
    }
    tokio::time::sleep(ttl).await;
    assert_eq!(redis_cli(server.port, &["EXISTS", &key]), "1");
    assert_eq!(lab().status(call("a")).await, "miss");
}

#[tokio::test]
async fn a_purge_takes_a_tenants_keys_and_no_others() {
    let Some(server) = redis().await else { return };
    let lab = lab_of(&server, counting());
    for (name, question) in [("acme", "a"), ("acme", "b"), ("other", "a")] {
        lab.text(call_of(name, question)).await;
    }
    redis_cli(server.port, &["SET", "somebody:elses", "1"]);
    written(&server, 4).await;
    assert_eq!(lab.cache.purge(&Namespace::new("acme")).await.unwrap(), 2);
    // And how often that was done.
    assert_eq!(redis_cli(server.port, &["DBSIZE"]), "3");
}

// S2: corrupted values are misses
#[tokio::test]
async fn a_damaged_value_is_a_miss_and_is_replaced() {
    let Some(server) = redis().await else { return };
    lab_of(&server, counting()).text(call("a")).await;
    written(&server, 1).await;
    let key = redis_cli(server.port, &["KEYS", "*"]);
    let damages: [&[&str]; 5] = [
        &["SETRANGE", &key, "60", "x"],
        &["SETRANGE", &key, "400", "xxxx"],
        &["SET", &key, "", "KEEPTTL"],
        &["SET", &key, "mainstay exact 1\nand then nothing that fits", "KEEPTTL"],
        &["SET", &key, "null", "KEEPTTL"],
    ];
    for damage in damages {
        assert!(!redis_cli(server.port, damage).contains("ERR"));
        let lab = lab_of(&server, Scripted::repeating(Step::text("anew")));
        assert_eq!(lab.text(call("a")).await, "anew", "{damage:?}");
        assert_eq!(lab.cache.stats().second.unwrap().damaged, 1, "{damage:?}");
        // The removal and the write of the new one may come in either order; asking again puts it there.
        let begun = Instant::now();
        while lab_of(&server, counting()).text(call("a")).await != "anew" {
            let lab = lab_of(&server, Scripted::repeating(Step::text("anew")));
            let mut again = call("a");
            again.context_mut().cache.no_cache = true;
            lab.text(again).await;
            assert!(begun.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // Of another kind altogether: the server says so, and it is a miss.
    redis_cli(server.port, &["DEL", &key]);
    redis_cli(server.port, &["LPUSH", &key, "x"]);
    assert_eq!(lab_of(&server, Scripted::repeating(Step::text("anew"))).text(call("a")).await, "anew");
}

// Security test 14: whoever can write to the server still cannot give one tenant's value to another.
#[tokio::test]
async fn a_value_that_is_copied_to_another_tenants_key_is_a_miss() {
    let Some(server) = redis().await else { return };
    let lab = lab_of(&server, Scripted::by(|call| Step::text(call.context().namespace.as_str())));
    lab.text(call_of("acme", "a")).await;
    written(&server, 1).await;
    let from = redis_cli(server.port, &["KEYS", "*"]);
    let to = Key::of(&call_of("other", "a"), &Sharing::PerNamespace);
    let scope: String = to.scope().digest().to_string().chars().take(32).collect();
    assert_eq!(
        redis_cli(server.port, &["COPY", &from, &format!("mainstay:exact:1:{scope}:{}", to.digest())]),
        "1"
    );
    assert_eq!(lab.text(call_of("other", "a")).await, "other");
    assert_eq!(lab.cache.stats().second.unwrap().damaged, 1);
}

/// How long each of these questions takes.
async fn times(lab: &Lab, questions: std::ops::Range<u32>) -> Vec<Duration> {
    let mut times = Vec::new();
    for question in questions {
        let begun = Instant::now();
        lab.text(call(&format!("question {question}"))).await;
        times.push(begun.elapsed());
    }
    times
}

/// What a busy machine adds to a timer. How long it is to the millisecond is promised with a clock that stands still, in
/// `second_level.rs`.
const SLACK: Duration = Duration::from_secs(1);

/// The first calls wait for one timeout each at most, and those after them for none.
fn assert_bounded(lab: &Lab, times: &[Duration]) {
    let timeout = Duration::from_millis(50);
    assert!(times.iter().all(|time| *time <= timeout + SLACK), "{times:?}");
    let mut rest = times[3..].to_vec();
    rest.sort();
    assert!(rest[rest.len() / 2] < timeout, "{rest:?}");
    // Three looks, the three writes after them, and one from before.
    let second = lab.cache.stats().second.unwrap();
    assert!(second.timeouts + second.failures <= 7, "{second:?}");
    assert!(second.is_left_alone);
}

/// Waits until it is used again: asks one question after the other, since what is written may come too late on a busy machine.
async fn used_again(lab: &Lab, server: &Server) {
    let begun = Instant::now();
    let mut question = 1_000;
    redis_cli(server.port, &["FLUSHALL"]);
    while redis_cli(server.port, &["DBSIZE"]) == "0" {
        assert!(begun.elapsed() < Duration::from_secs(100), "{:?}", lab.cache.stats());
        assert!(times(lab, question..question + 1).await[0] < SLACK);
        question += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

// S1, S2
#[tokio::test]
async fn a_server_that_is_frozen_costs_50_ms_on_the_first_calls_and_nothing_after() {
    let Some(server) = redis().await else { return };
    for connected in [true, false] {
        let lab = usual(&server);
        if connected {
            lab.text(call("before")).await;
        }
        server.freeze();
        assert_bounded(&lab, &times(&lab, 0..100).await);
        server.thaw();
        // It is found again, in the background.
        used_again(&lab, &server).await;
    }
}

// S1, S2
#[tokio::test]
async fn a_server_that_refuses_costs_nothing_and_one_that_comes_back_is_used() {
    let Some(server) = redis().await else { return };
    let (lab, port) = (usual(&server), server.port);
    lab.text(call("before")).await;
    drop(server);
    assert_bounded(&lab, &times(&lab, 0..100).await);
    assert_eq!(lab.status(call("before")).await, "hit");
    let Some(server) = redis_at(port, &[]).await else { return };
    used_again(&lab, &server).await;
}

#[tokio::test]
async fn a_server_that_was_never_there_does_no_harm() {
    let port = free_port();
    let store = RedisStore::new(RedisConfig::new(format!("redis://127.0.0.1:{port}"))).unwrap();
    let lab = lab_with(ExactCacheLayer::builder().second_level(store), counting());
    assert_bounded(&lab, &times(&lab, 0..50).await);
    assert!(lab.cache.purge(&Namespace::new("acme")).await.is_err());
}

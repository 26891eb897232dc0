//! Several gateways kept in step by a stream in a real Redis, and what happens when it is frozen, gone, slow or wrong.
#![cfg(all(feature = "redis", feature = "postgres", feature = "test-kit"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a helper of tests is a test")]

use std::time::Duration;

use mainstay_cache_semantic::SemanticStore;
use mainstay_cache_semantic::store::contract::{entry, partition, vector};
use mainstay_cache_semantic::store::{EntryId, MemoryStore, RedisConfig, RedisStore, StoreError};
use mainstay_provider_core::{Digest, Namespace};
use mainstay_test_servers::Slow;
use tokio::time::Instant;

/// What is promised here is what it does, not how fast it is on a busy machine.
fn patient(url: &str) -> RedisConfig {
    RedisConfig::new(url, "e").timeout(Duration::from_secs(20))
}

fn gateway(url: &str) -> RedisStore {
    gateway_with(patient(url))
}

/// With the timeout that is usual.
fn usual(url: &str) -> RedisStore {
    gateway_with(RedisConfig::new(url, "e"))
}

/// Far less than an answer of a Redis that is away, far more than what a busy machine adds to 50 ms.
const AT_ONCE: Duration = Duration::from_secs(1);

fn gateway_with(config: RedisConfig) -> RedisStore {
    RedisStore::start(config, MemoryStore::default()).unwrap()
}

fn stream(embedder: &str) -> String {
    format!("mainstay:semantic:{}", Digest::sha256(embedder.as_bytes()))
}

/// Until it is so, for ten seconds at most.
async fn soon(mut is_so: impl FnMut() -> bool) {
    for _ in 0..500 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never came about");
}

fn knows(store: &RedisStore, text: &str) -> bool {
    store.memory().by_text_now(&partition("a", "x"), text).is_some()
}

async fn put(store: &RedisStore, id: u128) {
    store.insert(&partition("a", "x"), entry(id, &format!("q{id}"), vector(id as f32))).await.unwrap();
}

async fn command(url: &str, parts: &[&str]) -> redis::Value {
    let mut connection = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::cmd(parts[0]);
    parts[1..].iter().for_each(|part| _ = command.arg(part));
    command.query_async(&mut connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_learns_the_others_know() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let (one, two) = (gateway(&server.redis_url()), gateway(&server.redis_url()));
    put(&one, 1).await;
    put(&two, 2).await;
    soon(|| knows(&one, "q2") && knows(&two, "q1")).await;
    let answer = two.fetch(&partition("a", "x"), EntryId(1)).await.unwrap().unwrap();
    assert_eq!(answer.whole().text(), "the answer to q1");
    let near = two.nearest(&partition("a", "x"), &vector(1.0), 1).await.unwrap();
    assert_eq!(near[0].id, EntryId(1));

    one.tighten(&partition("a", "x"), EntryId(2), 0.99).await.unwrap();
    let tightened = || two.memory().by_text_now(&partition("a", "x"), "q2").unwrap().tightened;
    soon(|| tightened() == Some(0.99)).await;
    two.remove(&partition("a", "x"), EntryId(1)).await.unwrap();
    soon(|| !knows(&one, "q1")).await;
    assert_eq!(one.purge(&Namespace::new("a")).await.unwrap(), 1);
    soon(|| !knows(&two, "q2")).await;
    put(&two, 3).await;
    soon(|| knows(&one, "q3")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_new_reads_what_there_is() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let one = gateway(&server.redis_url());
    for id in 0..600 {
        put(&one, id).await;
    }
    one.remove(&partition("a", "x"), EntryId(5)).await.unwrap();
    one.purge(&Namespace::new("nobody")).await.unwrap();
    let two = gateway(&server.redis_url());
    two.caught_up().await;
    assert_eq!(two.stats().entries, 599);
    assert!(!knows(&two, "q5"));
    let other_embedder = gateway_with(RedisConfig::new(server.redis_url(), "f"));
    other_embedder.caught_up().await;
    assert_eq!(other_embedder.stats().entries, 0, "its vectors mean nothing beside ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_goes_on_with_what_it_knows() {
    let Some(mut server) = mainstay_test_servers::redis().await else { return };
    let port = server.port;
    let (one, two) = (usual(&server.redis_url()), usual(&server.redis_url()));
    put(&one, 1).await;
    soon(|| knows(&two, "q1")).await;
    server.kill();
    let before = Instant::now();
    put(&one, 2).await;
    assert!(knows(&one, "q1") && knows(&one, "q2") && knows(&two, "q1"));
    assert!(before.elapsed() < AT_ONCE);
    let error = one.purge(&Namespace::new("b")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable(_)));
    soon(|| !one.redis_stats().connected && !two.redis_stats().connected).await;

    let Some(_again) = mainstay_test_servers::redis_at(port, &[]).await else { return };
    soon(|| knows(&two, "q2")).await;
    assert!(knows(&two, "q1"), "an empty Redis is no order to forget");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_costs_no_question_anything() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let (one, two) = (usual(&server.redis_url()), usual(&server.redis_url()));
    put(&one, 1).await;
    soon(|| knows(&two, "q1")).await;
    server.freeze();
    let here = partition("a", "x");
    for id in 10..60 {
        let before = Instant::now();
        put(&one, id).await;
        assert!(one.by_text(&here, "q1").await.unwrap().is_some());
        assert_eq!(one.nearest(&here, &vector(1.0), 1).await.unwrap()[0].id, EntryId(1));
        assert!(before.elapsed() < AT_ONCE, "{:?}", before.elapsed());
    }
    let before = Instant::now();
    assert!(one.purge(&Namespace::new("a")).await.is_err());
    assert!(before.elapsed() < AT_ONCE, "{:?}", before.elapsed());
    assert!(!knows(&one, "q1"), "here it is done");
    assert!(knows(&two, "q1"), "the other has not heard of it");
    server.thaw();
    soon(|| !knows(&two, "q1")).await;
    put(&two, 99).await;
    soon(|| knows(&one, "q99")).await;
    assert!(!knows(&one, "q10") && !knows(&two, "q10"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_redis_is_only_late() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let slow = Slow::before(server.port).await;
    let one = usual(&format!("redis://127.0.0.1:{}/0", slow.port));
    one.caught_up().await;
    let two = gateway(&server.redis_url());
    slow.by(Duration::from_millis(300));
    let before = Instant::now();
    put(&one, 1).await;
    assert!(knows(&one, "q1"));
    assert!(one.purge(&Namespace::new("nobody")).await.is_err());
    assert!(before.elapsed() < AT_ONCE, "{:?}", before.elapsed());
    soon(|| knows(&two, "q1")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_not_there_at_first_is_found_later() {
    let port = mainstay_test_servers::free_port();
    let one = gateway(&format!("redis://127.0.0.1:{port}/0"));
    put(&one, 1).await;
    assert!(knows(&one, "q1"));
    let Some(server) = mainstay_test_servers::redis_at(port, &[]).await else { return };
    let two = gateway(&server.redis_url());
    soon(|| knows(&two, "q1")).await;
    soon(|| one.redis_stats().connected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_no_records_are_left_out() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let url = server.redis_url();
    let one = gateway(&url);
    put(&one, 1).await;
    one.purge(&Namespace::new("nobody")).await.unwrap();
    // What one wrote, with a bit turned; another field; no bytes at all.
    let first = command(&url, &["XRANGE", &stream("e"), "-", "+", "COUNT", "1"]).await;
    let redis::Value::Array(entries) = first else { panic!() };
    let redis::Value::Array(entry) = &entries[0] else { panic!() };
    let redis::Value::Array(fields) = &entry[1] else { panic!() };
    let redis::Value::BulkString(record) = &fields[1] else { panic!() };
    let mut connection =
        redis::Client::open(url.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap();
    for at in (0..record.len()).step_by(11) {
        let mut damaged = record.clone();
        damaged[at] ^= 0x10;
        let mut add = redis::cmd("XADD");
        add.arg(stream("e")).arg("*").arg("r").arg(damaged);
        add.query_async::<()>(&mut connection).await.unwrap();
    }
    command(&url, &["XADD", &stream("e"), "*", "other", "field"]).await;
    command(&url, &["XADD", &stream("e"), "*", "r", ""]).await;
    put(&one, 2).await;
    let two = gateway(&url);
    two.caught_up().await;
    soon(|| knows(&two, "q2")).await;
    let stats = two.redis_stats();
    assert_eq!((two.stats().entries, stats.damaged), (2, record.len().div_ceil(11) as u64 + 2));
    let answer = two.fetch(&partition("a", "x"), EntryId(1)).await.unwrap().unwrap();
    assert_eq!(answer.whole().text(), "the answer to q1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_kind_in_its_place_is_no_error_to_anybody() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    command(&server.redis_url(), &["SET", &stream("e"), "somebody else's"]).await;
    let one = gateway(&server.redis_url());
    put(&one, 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(knows(&one, "q1"));
    command(&server.redis_url(), &["DEL", &stream("e")]).await;
    let two = gateway(&server.redis_url());
    soon(|| knows(&two, "q1")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_too_long_forgets_and_reads_anew() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let slow = Slow::before(server.port).await;
    let away = gateway(&format!("redis://127.0.0.1:{}/0", slow.port));
    let config = patient(&server.redis_url()).max_entries(10);
    let other = gateway_with(config);
    put(&other, 1).await;
    soon(|| knows(&away, "q1")).await;
    // Beyond its patience: it is cut off.
    slow.by(Duration::from_secs(8));
    soon(|| !away.redis_stats().connected).await;
    other.purge(&Namespace::new("a")).await.unwrap();
    for id in 100..700 {
        put(&other, id).await;
    }
    other.purge(&Namespace::new("nobody")).await.unwrap();
    command(&server.redis_url(), &["XTRIM", &stream("e"), "MAXLEN", "10"]).await;
    slow.by(Duration::ZERO);
    soon(|| knows(&away, "q699")).await;
    assert!(!knows(&away, "q1"), "the order to forget it was in what the stream no longer has");
    assert_eq!(away.redis_stats().resets, 1);
}

// It stays connected, and what it has not read is gone all the same.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_so_slowly_that_the_stream_has_lost_something_forgets_too() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let slow = Slow::before(server.port).await;
    let config = |port| patient(&format!("redis://127.0.0.1:{port}/0")).max_entries(10);
    let (reads, other) = (gateway_with(config(slow.port)), gateway_with(config(server.port)));
    put(&other, 1).await;
    soon(|| knows(&reads, "q1")).await;
    slow.by(Duration::from_secs(1));
    put(&other, 2).await;
    other.purge(&Namespace::new("nobody")).await.unwrap();
    other.purge(&Namespace::new("a")).await.unwrap();
    for id in 100..700 {
        put(&other, id).await;
    }
    other.purge(&Namespace::new("nobody")).await.unwrap();
    command(&server.redis_url(), &["XTRIM", &stream("e"), "MAXLEN", "10"]).await;
    slow.by(Duration::ZERO);
    soon(|| knows(&reads, "q699")).await;
    assert!(
        !knows(&reads, "q1") && !knows(&reads, "q2"),
        "the order to forget them was in what it has not read"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_new_gives_nothing_that_was_forgotten_long_ago() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let one = gateway(&server.redis_url());
    for id in 0..600 {
        put(&one, id).await;
    }
    one.purge(&Namespace::new("a")).await.unwrap();
    let slow = Slow::before(server.port).await;
    slow.by(Duration::from_millis(100));
    let two = gateway(&format!("redis://127.0.0.1:{}/0", slow.port));
    let (here, caught_up) = (partition("a", "x"), two.caught_up());
    tokio::pin!(caught_up);
    while tokio::time::timeout(Duration::from_millis(1), &mut caught_up).await.is_err() {
        assert!(two.by_text(&here, "q5").await.unwrap().is_none(), "it has not read all of it yet");
        assert!(two.nearest(&here, &vector(5.0), 1).await.unwrap().is_empty());
    }
    assert!(two.by_text(&here, "q5").await.unwrap().is_none());
    put(&one, 700).await;
    soon(|| knows(&two, "q700")).await;
    assert!(two.by_text(&here, "q700").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_redis_while_it_reads_gives_nothing_of_a_part_and_goes_on() {
    let Some(mut server) = mainstay_test_servers::redis().await else { return };
    let one = gateway(&server.redis_url());
    for id in 0..600 {
        put(&one, id).await;
    }
    one.purge(&Namespace::new("a")).await.unwrap();
    let slow = Slow::before(server.port).await;
    slow.by(Duration::from_millis(300));
    let two = gateway(&format!("redis://127.0.0.1:{}/0", slow.port));
    soon(|| two.redis_stats().applied > 0).await;
    server.kill();
    soon(|| !two.redis_stats().connected).await;
    put(&two, 700).await;
    let here = partition("a", "x");
    let mut own = None;
    for _ in 0..500 {
        own = two.by_text(&here, "q700").await.unwrap();
        if own.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        put(&two, 700).await;
    }
    assert!(own.is_some(), "without Redis it goes on with what it knows itself");
    assert!(two.by_text(&here, "q5").await.unwrap().is_none());
}

// As a gateway does: it reads its configuration first.
#[test]
fn one_that_is_made_before_there_is_a_runtime_begins_when_it_is_used_in_one() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (servers, gateways) = (runtime(), runtime());
    let Some(server) = servers.block_on(mainstay_test_servers::redis()) else { return };
    let one = gateway(&server.redis_url());
    assert_eq!(one.stats().entries, 0);
    gateways.block_on(async {
        let two = gateway(&server.redis_url());
        put(&two, 2).await;
        put(&one, 1).await;
        soon(|| knows(&one, "q2") && knows(&two, "q1")).await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_dropped_follows_no_more() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let url = server.redis_url();
    let one = gateway(&url);
    one.caught_up().await;
    drop(one);
    for _ in 0..100 {
        let redis::Value::BulkString(list) = command(&url, &["CLIENT", "LIST"]).await else { panic!() };
        if String::from_utf8_lossy(&list).lines().count() == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    panic!("its connections are still there");
}

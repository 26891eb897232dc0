//! The store in this process: what it keeps when it is full, and what it does when many come at once.
#![cfg(feature = "test-kit")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a helper of tests is a test")]

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use mainstay_cache_semantic::Partition;
use mainstay_cache_semantic::SemanticStore;
use mainstay_cache_semantic::store::contract::{entry, partition, recording, vector};
use mainstay_cache_semantic::store::{EntryId, InvalidMemory, MemoryConfig, MemoryStore, NewEntry};
use mainstay_provider_core::Namespace;

fn store(config: MemoryConfig) -> MemoryStore {
    MemoryStore::new(config.seed(1)).unwrap()
}

fn of(entries: usize) -> MemoryStore {
    store(MemoryConfig::default().max_entries(entries))
}

/// Asks as the layer does: by text, and on a miss the answer is kept.
fn ask(store: &MemoryStore, here: &Partition, question: u64) -> bool {
    let text = format!("question {question}");
    if let Some(there) = store.by_text_now(here, &text) {
        return store.fetch_now(here, there.id).is_some();
    }
    store.insert_now(here, &entry(u128::from(question), &text, vector(question as f32))).unwrap();
    false
}

/// A question out of many, a few of them often: the k-th about 1/k times as often as the first.
fn zipf(rng: &mut fastrand::Rng, questions: u64) -> u64 {
    ((questions as f64).powf(rng.f64()) as u64).saturating_sub(1)
}

#[test]
fn settings_that_fit_nothing_are_refused() {
    let refused = |config: MemoryConfig| MemoryStore::new(config).unwrap_err();
    assert_eq!(refused(MemoryConfig::default().max_bytes(1000)), InvalidMemory::Bytes);
    assert_eq!(refused(MemoryConfig::default().max_entries(0)), InvalidMemory::Entries);
}

#[test]
fn the_bytes_stay_within_their_bound_whatever_the_partitions() {
    let max = 1 << 20;
    let store = store(MemoryConfig::default().max_bytes(max));
    let mut rng = fastrand::Rng::with_seed(2);
    for id in 0..5_000 {
        let here = partition(&format!("n{}", rng.u32(..40)), "x");
        let mut new = entry(id, &format!("q{id}"), vec![0.05; 384].into());
        new.recording = recording(&"word ".repeat(rng.usize(1..400)));
        store.insert_now(&here, &new).unwrap();
        assert!(store.stats().bytes <= max as u64, "{:?}", store.stats());
    }
    let stats = store.stats();
    assert!(stats.entries > 150 && stats.evictions > 3_000, "{stats:?}");
    assert!(stats.bytes > max as u64 * 3 / 4, "what is allowed is used: {stats:?}");
}

#[test]
fn what_is_too_big_for_the_store_is_not_kept_and_drives_nobody_out() {
    let store = store(MemoryConfig::default().max_bytes(64 << 10));
    let here = partition("a", "x");
    for id in 0..5 {
        store.insert_now(&here, &entry(id, &format!("q{id}"), vector(0.0))).unwrap();
    }
    let mut big = entry(99, "big", vector(0.0));
    big.recording = recording(&"word ".repeat(20_000));
    store.insert_now(&here, &big).unwrap();
    let stats = store.stats();
    assert_eq!((stats.entries, stats.refused, stats.evictions), (5, 1, 0));
}

#[test]
fn nothing_is_charged_for_when_all_has_gone() {
    let store = of(1_000);
    for id in 0..500 {
        let here = partition(&format!("n{}", id % 7), "x");
        store.insert_now(&here, &entry(id, &format!("q{id}"), vector(0.0))).unwrap();
    }
    for id in 0..250 {
        assert!(store.remove_now(&partition(&format!("n{}", id % 7), "x"), EntryId(id)));
    }
    for namespace in 0..7 {
        store.purge_now(&Namespace::new(format!("n{namespace}")));
    }
    let stats = store.stats();
    assert_eq!((stats.bytes, stats.entries, stats.partitions), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_place_of_what_has_expired_is_free_again() {
    let store = of(100);
    let here = partition("a", "x");
    for id in 0..100 {
        let mut new = entry(id, &format!("q{id}"), vector(0.0));
        new.ttl = Duration::from_secs(if id < 80 { 10 } else { 10_000 });
        store.insert_now(&here, &new).unwrap();
    }
    tokio::time::advance(Duration::from_secs(11)).await;
    for id in 100..180 {
        store.insert_now(&here, &entry(id, &format!("q{id}"), vector(0.0))).unwrap();
    }
    let kept = (80..100).filter(|id| store.by_text_now(&here, &format!("q{id}")).is_some()).count();
    assert_eq!((kept, store.stats().evictions), (20, 0), "what is still good did not have to go");
}

#[test]
fn what_is_used_often_survives_a_flood_of_what_is_asked_once() {
    let store = of(500);
    let here = partition("a", "x");
    for _ in 0..4 {
        for question in 0..100 {
            ask(&store, &here, question);
        }
    }
    let mut rng = fastrand::Rng::with_seed(3);
    for question in 1_000..6_000 {
        ask(&store, &here, question);
        // Now and then somebody asks what is asked often.
        ask(&store, &here, rng.u64(..100));
    }
    let kept = (0..100).filter(|q| store.by_text_now(&here, &format!("question {q}")).is_some()).count();
    assert!(kept >= 98, "{kept} of 100");
}

#[test]
fn what_was_popular_long_ago_makes_room() {
    let store = of(500);
    let here = partition("a", "x");
    for _ in 0..20 {
        (0..400).for_each(|question| _ = ask(&store, &here, question));
    }
    // Other times: other questions, again and again.
    for _ in 0..12 {
        (1_000..1_450).for_each(|question| _ = ask(&store, &here, question));
    }
    let kept = (1_000..1_450).filter(|q| store.by_text_now(&here, &format!("question {q}")).is_some());
    let kept = kept.count();
    assert!(kept > 400, "{kept} of 450");
}

#[test]
fn more_is_answered_than_by_keeping_the_latest() {
    const PLACES: usize = 400;
    let store = of(PLACES);
    let here = partition("a", "x");
    let mut rng = fastrand::Rng::with_seed(4);
    let (mut ours, mut fifo, mut lru) = (0, 0, 0);
    let (mut queue, mut latest) = (VecDeque::new(), HashMap::new());
    for now in 0..60_000_u64 {
        // Half of the questions never come again, as in real streams.
        let question = if rng.bool() { 1_000_000 + now } else { zipf(&mut rng, 5_000) };
        ours += u32::from(ask(&store, &here, question));
        if queue.contains(&question) {
            fifo += 1;
        } else {
            queue.push_back(question);
            queue.drain(..queue.len().saturating_sub(PLACES));
        }
        if latest.insert(question, now).is_some() {
            lru += 1;
        } else if latest.len() > PLACES {
            let oldest = *latest.iter().min_by_key(|(_, at)| **at).unwrap().0;
            latest.remove(&oldest);
        }
    }
    println!("hits of 60,000: ours {ours}, the latest used {lru}, the latest kept {fifo}");
    assert!(f64::from(ours) > 1.15 * f64::from(lru) && lru > fifo, "{ours} {lru} {fifo}");
}

#[test]
fn of_two_that_are_used_alike_the_one_that_saves_more_stays() {
    let store = of(200);
    let here = partition("a", "x");
    for id in 0..400_u128 {
        let mut new = entry(id, &format!("q{id}"), vector(0.0));
        new.saves = if id % 2 == 0 { 100_000 } else { 100 };
        store.insert_now(&here, &new).unwrap();
    }
    let dear = (0..400).step_by(2).filter(|id| store.by_text_now(&here, &format!("q{id}")).is_some());
    let dear = dear.count();
    assert!(dear > 170, "{dear} of 200");
}

#[test]
fn a_text_that_comes_again_finds_its_way_in_past_dearer_ones() {
    let store = of(200);
    let here = partition("a", "x");
    let new = |id: u128, saves: u64| NewEntry { saves, ..entry(id, &format!("q{id}"), vector(0.0)) };
    (0..200).for_each(|id| store.insert_now(&here, &new(id, 300)).unwrap());
    // Worth a third of the others: asked once it is not let in, asked again and again it is.
    let mut tries = 0;
    while store.by_text_now(&here, "q999").is_none() {
        tries += 1;
        assert!(tries < 20);
        store.insert_now(&here, &new(999, 100)).unwrap();
    }
    assert!(tries > 1 && store.stats().refused > 0, "{tries} {:?}", store.stats());
}

#[test]
fn many_at_once_keep_every_promise_of_the_bound() {
    const MAX: usize = 512 << 10;
    let store = store(MemoryConfig::default().max_bytes(MAX).exact_up_to(16));
    let done = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        for task in 0..6_u64 {
            let (store, done) = (store.clone(), done.clone());
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(task);
                for step in 0..3_000_u128 {
                    let here = partition(&format!("n{}", rng.u32(..5)), "x");
                    let id = rng.u128(..400);
                    match rng.u32(..20) {
                        0 => _ = store.remove_now(&here, EntryId(id)),
                        1 => _ = store.tighten_now(&here, EntryId(id), 0.97),
                        2 if step % 50 == 0 => _ = store.purge_now(&here.namespace),
                        3..8 => {
                            for near in store.nearest_now(&here, &vector(id as f32), 3).unwrap() {
                                if let Some(answer) = store.fetch_now(&here, near.id) {
                                    let told = answer.whole().text().into_owned();
                                    // Never the answer to something else, and never another namespace's.
                                    assert!(
                                        told.ends_with(&format!("{} {}", near.text, here.namespace.as_str())),
                                        "{told}"
                                    );
                                }
                            }
                        }
                        _ => {
                            let text = format!("q{id}");
                            let mut new = entry(rng.u128(..), &text, vector(id as f32));
                            new.recording = recording(&format!("{text} {}", here.namespace.as_str()));
                            store.insert_now(&here, &new).unwrap();
                        }
                    }
                }
                done.store(true, Ordering::Relaxed);
            });
        }
        let (store, done) = (store.clone(), done.clone());
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                // Each of six may be about to make room for what it has just put in.
                assert!(store.stats().bytes < (MAX + 6 * 4096) as u64, "{:?}", store.stats());
            }
        });
    });
    let stats = store.stats();
    assert!(stats.bytes <= MAX as u64, "{stats:?}");
    for namespace in 0..5 {
        store.purge_now(&Namespace::new(format!("n{namespace}")));
    }
    let stats = store.stats();
    assert_eq!((stats.entries, stats.bytes, stats.partitions), (0, 0, 0), "every book balances");
}

#[tokio::test]
async fn its_futures_are_ready_at_once() {
    let store = of(10);
    let here = partition("a", "x");
    let insert = store.insert(&here, entry(1, "q", vector(0.0)));
    assert!(insert.now_or_never().is_some_and(|inserted| inserted.is_ok()));
    assert_eq!(store.nearest(&here, &vector(0.0), 1).now_or_never().unwrap().unwrap().len(), 1);
}

//! A second level that does not do what it should is a miss, and costs 50 ms at most (S1, S2).
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Lab, call, counting, lab_with, streaming};
use futures_util::future::join_all;
use mainstay_cache_exact::{
    Entry, ExactCacheBuilder, ExactCacheLayer, ExactStore, Key, MemoryStore, Scope, StoreError, StoreFuture,
};
use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_provider_core::{Event, Events, Provider};
use tokio::time::Instant;

/// How a store fails.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Frozen,
    Refuses,
    Slow(Duration),
    Damaged,
}

/// A store with moods.
#[derive(Clone)]
struct Moody {
    mood: Arc<Mutex<Mood>>,
    asked: Arc<AtomicUsize>,
    store: MemoryStore,
}

impl Moody {
    fn new(mood: Mood) -> Self {
        Self { mood: Arc::new(Mutex::new(mood)), asked: Arc::default(), store: MemoryStore::new(1 << 20) }
    }

    fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn mood(&self) -> Result<(), StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Well => Ok(()),
            Mood::Frozen => std::future::pending().await,
            Mood::Refuses => Err(StoreError::Failed("refused".into())),
            Mood::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Mood::Damaged => Err(StoreError::Damaged),
        }
    }
}

impl ExactStore for Moody {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Entry>> {
        Box::pin(async move {
            self.mood().await?;
            self.store.get(key).await
        })
    }

    fn put<'a>(&'a self, key: &'a Key, entry: &'a Entry) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.mood().await?;
            self.store.put(key, entry).await
        })
    }

    fn remove<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.mood().await?;
            self.store.remove(key).await
        })
    }

    fn clear<'a>(&'a self, scope: &'a Scope) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            self.mood().await?;
            self.store.clear(scope).await
        })
    }

    fn ping(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.mood())
    }
}

fn with(store: &Moody) -> ExactCacheBuilder {
    ExactCacheLayer::builder().second_level(store.clone())
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// How long each of these questions takes.
async fn times(lab: &Lab, questions: std::ops::Range<u32>) -> Vec<u128> {
    let mut times = Vec::new();
    for question in questions {
        let begun = Instant::now();
        lab.text(call(&format!("question {question}"))).await;
        times.push(begun.elapsed().as_millis());
    }
    times
}

#[tokio::test(start_paused = true)]
async fn what_one_process_has_asked_another_need_not_ask() {
    let store = Moody::new(Mood::Well);
    let (one, other) = (lab_with(with(&store), counting()), lab_with(with(&store), counting()));
    assert_eq!(one.text(call("a")).await, "answer 1");
    let begun = Instant::now();
    settle().await;
    tokio::time::advance(Duration::from_secs(60)).await;
    let reply = other.ask(streaming(call("a"))).await;
    let mainstay_provider_core::CacheStatus::Hit { age } = reply.head.cache else {
        panic!("{:?}", reply.head)
    };
    assert_eq!(age, begun.elapsed(), "as old as it is, not as long as it has been here");
    assert_eq!(reply.collect().await.unwrap().text(), "answer 1");
    assert_eq!(other.calls(), 0);
    // From now on it is in its memory.
    let asked = store.asked();
    assert_eq!(other.status(call("a")).await, "hit");
    assert_eq!(store.asked(), asked);
    let second = other.cache.stats().second.unwrap();
    assert_eq!((second.hits, second.misses), (1, 0));
    assert_eq!(other.cache.stats().hits, 2);
}

#[tokio::test(start_paused = true)]
async fn many_who_miss_at_once_look_once() {
    let store = Moody::new(Mood::Slow(Duration::from_millis(20)));
    let lab = lab_with(with(&store), counting());
    join_all((0..50).map(|_| lab.service.ask(call("a")))).await;
    settle().await;
    assert_eq!((store.asked(), lab.calls()), (2, 1), "one look and one write");
}

#[tokio::test(start_paused = true)]
async fn many_who_hit_at_once_look_once_and_ask_nobody() {
    let store = Moody::new(Mood::Well);
    lab_with(with(&store), counting()).text(call("a")).await;
    settle().await;
    store.be(Mood::Slow(Duration::from_millis(20)));
    let (lab, asked) = (lab_with(with(&store), counting()), store.asked());
    let begun = Instant::now();
    let statuses = join_all((0..50).map(|_| lab.status(call("a")))).await;
    assert_eq!(begun.elapsed().as_millis(), 20);
    assert!(statuses.iter().all(|status| *status == "hit"), "{statuses:?}");
    assert_eq!((store.asked() - asked, lab.calls(), lab.cache.stats().hits), (1, 0, 50));
}

// S1: whoever looks may go, or may not be polled any more.
#[tokio::test(start_paused = true)]
async fn one_who_looks_and_goes_or_stops_holds_nobody_up() {
    for goes in [true, false] {
        let store = Moody::new(Mood::Slow(Duration::from_millis(40)));
        let lab = lab_with(with(&store), counting());
        let mut first = Box::pin(lab.service.ask(call("a")));
        assert!(tokio::time::timeout(Duration::ZERO, &mut first).await.is_err(), "it looks");
        let begun = Instant::now();
        let others = join_all((0..10).map(|_| lab.status(call("a"))));
        let kept = if goes {
            drop(first);
            None
        } else {
            Some(first)
        };
        others.await;
        // The look of the one who went is made again, once for all.
        let longest = if goes { 40 } else { 50 };
        assert_eq!((begun.elapsed().as_millis(), lab.calls()), (longest, 1), "goes: {goes}");
        drop(kept);
    }
}

// S1, S2
#[tokio::test(start_paused = true)]
async fn a_frozen_store_costs_50_ms_on_the_first_calls_and_nothing_after() {
    let store = Moody::new(Mood::Frozen);
    let lab = lab_with(with(&store), counting());
    let times = times(&lab, 0..200).await;
    assert!(times[..3].iter().all(|time| *time <= 50), "{times:?}");
    assert!(times[3..].iter().all(|time| *time == 0), "{times:?}");
    let second = lab.cache.stats().second.unwrap();
    assert!(second.is_left_alone && second.timeouts >= 3);
    assert_eq!(lab.calls(), 200, "all were answered");
}

// S1, S2: all at once
#[tokio::test(start_paused = true)]
async fn a_crowd_at_a_frozen_store_waits_50_ms_once() {
    let store = Moody::new(Mood::Frozen);
    let lab = lab_with(with(&store), counting());
    let begun = Instant::now();
    join_all((0..500).map(|number| lab.service.ask(call(&number.to_string())))).await;
    assert_eq!(begun.elapsed().as_millis(), 50);
    assert_eq!(times(&lab, 0..20).await, [0; 20]);
}

// S1, S2
#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_or_is_damaged_costs_nothing() {
    for mood in [Mood::Refuses, Mood::Damaged, Mood::Slow(Duration::from_millis(49))] {
        let store = Moody::new(mood);
        let lab = lab_with(with(&store), counting());
        let times = times(&lab, 0..50).await;
        let most = if mood == Mood::Slow(Duration::from_millis(49)) { 49 } else { 0 };
        assert!(times.iter().all(|time| *time <= most), "{mood:?} {times:?}");
        let second = lab.cache.stats().second.unwrap();
        assert_eq!(second.is_left_alone, mood == Mood::Refuses);
        assert_eq!(second.damaged > 0, mood == Mood::Damaged);
        assert_eq!(lab.calls(), 50);
    }
}

// S2: nobody pays for the look whether it is back.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_back_is_used_again_and_both_are_told() {
    let told = Arc::new(Mutex::new(Vec::<Event>::new()));
    let hear = told.clone();
    let events = Events::to(move |event| hear.lock().unwrap().push(event));
    let store = Moody::new(Mood::Frozen);
    let lab = lab_with(with(&store).events(events), counting());
    times(&lab, 0..5).await;
    let asked = store.asked();
    assert_eq!(times(&lab, 5..100).await, [0; 95]);
    settle().await;
    assert_eq!(store.asked(), asked, "it is left alone");
    // One look a second at first, then less often; each caller is answered at once.
    for second in 0..40 {
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(times(&lab, 1_000 + second..1_001 + second).await, [0]);
        settle().await;
    }
    let looks = store.asked() - asked;
    assert!((4..=6).contains(&looks), "{looks}");
    store.be(Mood::Well);
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(times(&lab, 5_000..5_001).await, [0]);
    settle().await;
    assert!(!lab.cache.stats().second.unwrap().is_left_alone);
    lab.text(call("again")).await;
    settle().await;
    let other = lab_with(with(&store), counting());
    assert_eq!(other.status(call("again")).await, "hit");
    let told = told.lock().unwrap();
    assert_eq!(
        told.iter().map(|event| event.name).collect::<Vec<_>>(),
        ["cache.store_lost", "cache.store_back"]
    );
    assert_eq!(told[0].attributes, [("cache", "exact".into()), ("reason", "timeout".into())]);
}

#[tokio::test(start_paused = true)]
async fn what_memory_has_needs_no_store() {
    let store = Moody::new(Mood::Well);
    let lab = lab_with(with(&store), counting());
    lab.text(call("a")).await;
    settle().await;
    store.be(Mood::Frozen);
    let begun = Instant::now();
    for _ in 0..10 {
        assert_eq!(lab.status(call("a")).await, "hit");
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_write() {
    let store = Moody::new(Mood::Slow(Duration::from_millis(5)));
    let lab = lab_with(with(&store), counting());
    let begun = Instant::now();
    lab.text(call("a")).await;
    assert_eq!(begun.elapsed().as_millis(), 5, "for the look only");
}

#[tokio::test(start_paused = true)]
async fn only_if_cached_looks_into_the_second_level() {
    let store = Moody::new(Mood::Well);
    lab_with(with(&store), counting()).text(call("a")).await;
    settle().await;
    let lab = lab_with(with(&store), counting());
    let only = |question: &str| {
        let mut call = call(question);
        call.context_mut().cache.only_if_cached = true;
        call
    };
    assert_eq!(lab.status(only("a")).await, "hit");
    assert_eq!(lab.service.ask(only("b")).await.unwrap_err().code(), Some("not_in_cache"));
    store.be(Mood::Frozen);
    let begun = Instant::now();
    assert!(lab.service.ask(only("c")).await.is_err());
    assert_eq!(begun.elapsed().as_millis(), 50);
    assert_eq!(lab.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_purge_reaches_the_second_level_and_says_when_it_does_not() {
    let store = Moody::new(Mood::Well);
    let lab = lab_with(with(&store), counting());
    lab.text(call("a")).await;
    settle().await;
    let acme = mainstay_provider_core::Namespace::new("acme");
    assert_eq!(lab.cache.purge(&acme).await.unwrap(), 1);
    assert_eq!(lab.status(call("a")).await, "miss");
    store.be(Mood::Refuses);
    assert!(lab.cache.purge(&acme).await.is_err());
    assert_eq!(lab.cache.stats().entries, 0, "memory is empty all the same");
}

// A hit in the second level is in memory when its caller has it: what is said of it next is obeyed there too.
#[tokio::test(start_paused = true)]
async fn what_a_hit_has_put_into_memory_is_found_purged_and_forgotten_at_once() {
    let store = Moody::new(Mood::Well);
    let filler = lab_with(with(&store), counting());
    let acme = mainstay_provider_core::Namespace::new("acme");
    for forget in [true, false] {
        filler.cache.purge(&acme).await.unwrap();
        filler.text(call("a")).await;
        settle().await;
        let lab = lab_with(with(&store), counting());
        let reply = lab.ask(call("a")).await;
        assert_eq!(reply.head.cache.as_str(), "hit");
        assert_eq!(lab.cache.stats().entries, 1);
        assert!(lab.cache.stale(&call("a")).is_some(), "in memory, while the reply is not even read");
        if forget {
            lab.cache.forget(&call("a")).await.unwrap();
        } else {
            assert_eq!(lab.cache.purge(&acme).await.unwrap(), 1);
        }
        drop(reply);
        settle().await;
        assert_eq!(lab.cache.stats().entries, 0);
        assert_eq!(lab.status(call("a")).await, "miss");
    }
}

// A purge while the store is being looked into: what comes back then is not kept, and nobody is given it.
#[tokio::test(start_paused = true)]
async fn a_purge_during_a_look_is_obeyed() {
    let store = Moody::new(Mood::Well);
    lab_with(with(&store), counting()).text(call("a")).await;
    settle().await;
    let lab = lab_with(with(&store), counting());
    store.be(Mood::Slow(Duration::from_millis(20)));
    let mut looking = Box::pin(lab.service.ask(call("a")));
    assert!(tokio::time::timeout(Duration::from_millis(10), &mut looking).await.is_err());
    store.be(Mood::Well);
    lab.cache.purge(&mainstay_provider_core::Namespace::new("acme")).await.unwrap();
    assert_eq!(looking.await.unwrap().head.cache.as_str(), "miss");
}

// A purge while an answer is being written there: it does not come there afterwards.
#[tokio::test(start_paused = true)]
async fn a_purge_during_a_write_is_obeyed() {
    for forget in [true, false] {
        let store = Moody::new(Mood::Slow(Duration::from_millis(20)));
        let lab = lab_with(with(&store), counting());
        lab.text(call("a")).await;
        settle().await;
        store.be(Mood::Well);
        if forget {
            lab.cache.forget(&call("a")).await.unwrap();
        } else {
            lab.cache.purge(&mainstay_provider_core::Namespace::new("acme")).await.unwrap();
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        settle().await;
        assert_eq!(lab_with(with(&store), counting()).status(call("a")).await, "miss", "forget: {forget}");
    }
}

// What was asked anew while the store was being looked into is younger than what the store had.
#[tokio::test(start_paused = true)]
async fn what_comes_late_from_the_store_takes_the_place_of_no_younger_answer() {
    let store = Moody::new(Mood::Well);
    lab_with(with(&store), counting()).text(call("a")).await;
    settle().await;
    tokio::time::advance(Duration::from_secs(60)).await;
    let lab = lab_with(with(&store), Scripted::repeating(Step::text("anew")));
    store.be(Mood::Slow(Duration::from_millis(20)));
    let mut looking = Box::pin(lab.text(call("a")));
    assert!(tokio::time::timeout(Duration::from_millis(10), &mut looking).await.is_err());
    let mut anew = call("a");
    anew.context_mut().cache.no_cache = true;
    assert_eq!(lab.text(anew).await, "anew");
    assert_eq!(looking.await, "answer 1");
    assert_eq!(lab.cache.stats().entries, 1);
    assert_eq!(lab.text(call("a")).await, "anew");
}

// S2: a runtime may end before the look has begun.
#[test]
fn a_look_that_never_begins_is_over() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let store = Moody::new(Mood::Refuses);
    let lab = lab_with(with(&store), counting());
    let asked = runtime().block_on(async {
        times(&lab, 0..5).await;
        tokio::time::advance(Duration::from_secs(2)).await;
        let asked = store.asked();
        lab.text(call("it is to be looked at")).await;
        asked
    });
    assert_eq!(store.asked(), asked, "its task was not polled");
    store.be(Mood::Well);
    runtime().block_on(async {
        tokio::time::advance(Duration::from_secs(60)).await;
        lab.text(call("and again")).await;
        settle().await;
    });
    assert!(!lab.cache.stats().second.unwrap().is_left_alone);
}

#[tokio::test(start_paused = true)]
async fn a_stale_entry_of_the_second_level_is_a_last_resort() {
    let store = Moody::new(Mood::Well);
    lab_with(with(&store).ttl(Duration::from_secs(10)), counting()).text(call("a")).await;
    settle().await;
    tokio::time::advance(Duration::from_secs(60)).await;
    let lab = lab_with(with(&store), counting());
    assert!(lab.cache.stale(&call("a")).is_none(), "it is not in this process");
    let reply = lab.cache.stale_anywhere(&call("a")).await.unwrap();
    assert_eq!(reply.head.cache.as_str(), "stale");
    assert_eq!(lab.status(call("a")).await, "miss", "a call that did not ask for stale answers gets none");
}

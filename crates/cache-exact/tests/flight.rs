//! Identical calls at the same time share one upstream call, and nobody depends on another.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Lab, call, call_of, chunks, lab, lab_with, pieces, streaming};
use futures_util::future::join_all;
use mainstay_cache_exact::ExactCacheLayer;
use mainstay_provider_core::test_kit::{Gate, Piece, Scripted, Step};
use mainstay_provider_core::{
    CacheStatus, Call, ChunkResult, Error, ErrorKind, FinishReason, Provider, Reply, Timer, Usage,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// Asks in a task of its own.
fn spawn(lab: &Lab, call: Call) -> JoinHandle<Result<Reply, Error>> {
    tokio::spawn(lab.service.ask(call))
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn answered(task: JoinHandle<Result<Reply, Error>>) -> Reply {
    task.await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_who_ask_the_same_at_once_ask_once() {
    let lab = lab(Scripted::repeating(Step::text("yes").usage(Usage::new(10, 1)).after(SECOND)));
    let replies = join_all((0..100).map(|_| lab.service.ask(call("a")))).await;
    let mut statuses = Vec::new();
    for reply in replies {
        let reply = reply.unwrap();
        statuses.push(reply.head.cache);
        assert_eq!(reply.head.attempts, u32::from(reply.head.cache == CacheStatus::Miss));
        assert_eq!(reply.collect().await.unwrap().text(), "yes");
    }
    assert_eq!(lab.calls(), 1);
    assert_eq!(statuses.iter().filter(|status| **status == CacheStatus::Miss).count(), 1);
    assert_eq!(statuses.iter().filter(|status| **status == CacheStatus::Coalesced).count(), 99);
    let stats = lab.cache.stats();
    assert_eq!((stats.misses, stats.coalesced, stats.stored), (1, 99, 1));
    assert_eq!(stats.saved, Usage::new(990, 99));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_joined_in_the_middle() {
    let gate = Gate::new();
    let mut steps = pieces();
    steps.insert(2, Piece::Gate(gate.clone()));
    let lab = lab(Scripted::new([Step::stream(steps)]));
    let mut first = lab.ask(streaming(call("a"))).await.into_stream();
    let text = async |next: Option<ChunkResult>| next.unwrap().unwrap().text().to_owned();
    assert_eq!(text(first.next().await).await, "");
    assert_eq!(text(first.next().await).await, "A ");
    // What has passed comes at once, though nothing new has come.
    let late = lab.ask(streaming(call("a"))).await;
    assert_eq!(late.head.cache, CacheStatus::Coalesced);
    let mut late = late.into_stream();
    assert_eq!(text(late.next().await).await, "");
    assert_eq!(text(late.next().await).await, "A ");
    let whole = spawn(&lab, call("a"));
    settle().await;
    assert!(!whole.is_finished());
    gate.open();
    assert_eq!(text(late.next().await).await, "rope that ");
    assert_eq!(text(first.next().await).await, "rope that ");
    let whole = answered(whole).await;
    assert_eq!((whole.head.cache, whole.is_stream()), (CacheStatus::Coalesced, false));
    assert_eq!(whole.collect().await.unwrap().text(), "A rope that holds \"the\" mast.");
    for stream in [&mut first, &mut late] {
        let mut rest = 0;
        while let Some(chunk) = stream.next().await {
            chunk.unwrap();
            rest += 1;
        }
        assert_eq!(rest, 3);
    }
    assert_eq!(lab.calls(), 1);
    assert_eq!(lab.status(call("a")).await, "hit");
}

#[tokio::test(start_paused = true)]
async fn whoever_joins_has_every_chunk_once_and_in_order() {
    let paced = (0..40).flat_map(|number| [Piece::Wait(SECOND / 10), Piece::text(format!("{number} "))]);
    let lab = lab(Scripted::new([Step::stream(paced.chain([Piece::stop()]))]));
    let readers = (0..30_u32).map(|number| {
        let lab = &lab;
        async move {
            tokio::time::sleep(SECOND / 7 * number).await;
            let reply = lab.ask(streaming(call("a"))).await;
            let mut chunks = reply.into_stream();
            let mut text = String::new();
            while let Some(chunk) = chunks.next().await {
                text.push_str(chunk.unwrap().text());
                // Some read slowly.
                tokio::time::sleep(SECOND / 50 * (number % 4)).await;
            }
            text
        }
    });
    let wanted: String = (0..40).map(|number| format!("{number} ")).collect();
    for text in join_all(readers).await {
        assert_eq!(text, wanted);
    }
    assert_eq!(lab.calls(), 1);
}

// I3
#[tokio::test(start_paused = true)]
async fn calls_of_different_namespaces_share_nothing() {
    let lab = lab(Scripted::by(|call| {
        Step::text(format!("for {}", call.context().namespace.as_str())).after(SECOND)
    }));
    let names = ["", "acme", "other", "acme"];
    let asked =
        names.map(|name| [spawn(&lab, call_of(name, "a")), spawn(&lab, streaming(call_of(name, "a")))]);
    for (name, asked) in names.into_iter().zip(asked) {
        for task in asked {
            let answer = answered(task).await.collect().await.unwrap();
            assert_eq!(answer.text().trim_end(), format!("for {name}").trim_end());
        }
    }
    // Once whole and once as a stream for each of the three.
    assert_eq!(lab.calls(), 6);
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_not_the_same_or_not_cached_share_nothing() {
    let lab = lab(Scripted::repeating(Step::text("yes").after(SECOND)));
    let mut random = call("a");
    random.request_mut().temperature = Some(1.0);
    let mut anew = call("a");
    anew.context_mut().cache.no_cache = true;
    let calls = [call("a"), call("b"), random.clone(), random, anew.clone(), anew];
    join_all(calls.map(|call| lab.service.ask(call))).await;
    assert_eq!(lab.calls(), 6);
}

#[tokio::test(start_paused = true)]
async fn single_flight_can_be_switched_off() {
    let lab = lab_with(
        ExactCacheLayer::builder().single_flight(false),
        Scripted::repeating(Step::text("yes").after(SECOND)),
    );
    join_all([call("a"), call("a")].map(|call| lab.service.ask(call))).await;
    assert_eq!(lab.calls(), 2);
    assert_eq!(lab.status(call("a")).await, "hit");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_to_be_kept_is_not_shared_and_joins_others() {
    let lab = lab(Scripted::repeating(Step::text("yes").after(SECOND)));
    let mut secret = call("a");
    secret.context_mut().cache.no_store = true;
    let first = spawn(&lab, secret.clone());
    settle().await;
    let second = spawn(&lab, call("a"));
    settle().await;
    let third = spawn(&lab, secret);
    assert_eq!(answered(first).await.head.cache, CacheStatus::Miss);
    assert_eq!(answered(second).await.head.cache, CacheStatus::Miss);
    assert_eq!(answered(third).await.head.cache, CacheStatus::Coalesced);
    assert_eq!(lab.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_one_who_began_leaves_and_the_others_have_their_answer() {
    for as_stream in [false, true] {
        let lab = lab(Scripted::repeating(Step::text("yes it is").after(SECOND)));
        let wanted = || if as_stream { streaming(call("a")) } else { call("a") };
        let first = spawn(&lab, wanted());
        settle().await;
        let others: Vec<_> = (0..5).map(|_| spawn(&lab, wanted())).collect();
        settle().await;
        first.abort();
        for other in others {
            assert_eq!(answered(other).await.collect().await.unwrap().text(), "yes it is");
        }
        assert_eq!((lab.calls(), lab.upstream.counts().cancelled), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn the_one_who_began_leaves_a_stream_in_the_middle_and_the_others_read_on() {
    let gate = Gate::new();
    let steps = [Piece::text("a "), Piece::Gate(gate.clone()), Piece::text("b"), Piece::stop()];
    let lab = lab(Scripted::new([Step::stream(steps)]));
    let first = lab.ask(streaming(call("a"))).await;
    let other = lab.ask(streaming(call("a"))).await;
    let reading = tokio::spawn(other.collect());
    settle().await;
    drop(first);
    gate.open();
    assert_eq!(reading.await.unwrap().unwrap().text(), "a b");
    assert_eq!(lab.status(call("a")).await, "hit");
}

// D3
#[tokio::test(start_paused = true)]
async fn when_all_have_left_the_upstream_call_is_dropped_at_once() {
    let lab = lab(Scripted::new([Step::hang(), Step::stream([Piece::text("a"), Piece::Stall])]));
    let waiting = [spawn(&lab, call("a")), spawn(&lab, call("a"))];
    settle().await;
    waiting[0].abort();
    settle().await;
    assert_eq!(lab.upstream.counts().in_flight, 1);
    waiting[1].abort();
    settle().await;
    assert_eq!((lab.upstream.counts().in_flight, lab.upstream.counts().cancelled), (0, 1));
    let streams = [lab.ask(streaming(call("a"))).await, lab.ask(streaming(call("a"))).await];
    let [one, other] = streams;
    drop(one);
    assert_eq!(lab.upstream.counts().open_streams, 1);
    drop(other);
    assert_eq!(lab.upstream.counts().open_streams, 0);
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_the_one_who_began_is_not_the_others() {
    for kind in [
        ErrorKind::LimitReached,
        ErrorKind::Timeout(Timer::Total),
        ErrorKind::Overloaded,
        ErrorKind::Network,
        ErrorKind::Authentication,
    ] {
        let lab = lab(Scripted::new([Step::fail_with(kind).after(SECOND), Step::text("yes").after(SECOND)]));
        let first = spawn(&lab, call("a"));
        settle().await;
        let others: Vec<_> = (0..10).map(|_| spawn(&lab, call("a"))).collect();
        assert_eq!(first.await.unwrap().unwrap_err().kind(), kind);
        for other in others {
            assert_eq!(answered(other).await.collect().await.unwrap().text(), "yes");
        }
        assert_eq!(lab.calls(), 2, "{kind}: those who were left asked once, together");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_the_request_is_wrong_for_all() {
    let lab = lab(Scripted::new([Step::fail_with(ErrorKind::ContextLengthExceeded).after(SECOND)]));
    let asked: Vec<_> = (0..10).map(|_| spawn(&lab, call("a"))).collect();
    for task in asked {
        assert_eq!(task.await.unwrap().unwrap_err().kind(), ErrorKind::ContextLengthExceeded);
    }
    assert_eq!(lab.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_provider_in_trouble_is_not_asked_once_for_each() {
    let lab = lab(Scripted::repeating(Step::fail_with(ErrorKind::Overloaded).after(SECOND)));
    let asked: Vec<_> = (0..50).map(|_| spawn(&lab, call("a"))).collect();
    for task in asked {
        assert_eq!(task.await.unwrap().unwrap_err().kind(), ErrorKind::Overloaded);
    }
    assert_eq!(lab.calls(), 2);
    // A limit of one caller says nothing of another: each finds out for itself.
    let lab = common::lab(Scripted::repeating(Step::fail_with(ErrorKind::LimitReached).after(SECOND)));
    let asked: Vec<_> = (0..10).map(|_| spawn(&lab, call("a"))).collect();
    for task in asked {
        assert_eq!(task.await.unwrap().unwrap_err().kind(), ErrorKind::LimitReached);
    }
    assert_eq!(lab.calls(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_is_broken_for_all_who_read_it_and_not_for_who_comes_after() {
    let gate = Gate::new();
    let broken = [Piece::text("a "), Piece::Gate(gate.clone()), Piece::fail_with(ErrorKind::Network)];
    let lab = lab(Scripted::new([Step::stream(broken), Step::text("yes")]));
    let streams = [lab.ask(streaming(call("a"))).await, lab.ask(streaming(call("a"))).await];
    gate.open();
    for stream in streams {
        let error = stream.collect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Network);
        assert_eq!(error.partial().unwrap().text(), "a ");
    }
    assert_eq!(lab.text(streaming(call("a"))).await, "yes");
    assert_eq!(lab.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_does_not_fail_who_joined_for_the_whole() {
    let gate = Gate::new();
    let broken = [Piece::text("a "), Piece::Gate(gate.clone()), Piece::fail_with(ErrorKind::Network)];
    let lab = lab(Scripted::new([Step::stream(broken), Step::text("yes")]));
    let stream = lab.ask(streaming(call("a"))).await;
    let whole: Vec<_> = (0..5).map(|_| spawn(&lab, call("a"))).collect();
    settle().await;
    gate.open();
    assert_eq!(stream.collect().await.unwrap_err().kind(), ErrorKind::Network);
    for whole in whole {
        assert_eq!(answered(whole).await.collect().await.unwrap().text(), "yes");
    }
    assert_eq!(lab.calls(), 2, "those who were left asked once, together");
    let stats = lab.cache.stats();
    assert_eq!((stats.misses, stats.coalesced + stats.hits), (2, 4));
}

// D1
#[tokio::test(start_paused = true)]
async fn one_who_joined_has_its_own_deadline() {
    let paced = [Piece::text("a "), Piece::Wait(10 * SECOND), Piece::text("b"), Piece::stop()];
    let lab = lab(Scripted::new([Step::text("yes").after(10 * SECOND), Step::stream(paced)]));
    let within = |call: Call, seconds: u32| {
        let mut call = call;
        call.context_mut().deadline = Some(Instant::now() + SECOND * seconds);
        call
    };
    let begun = Instant::now();
    let first = spawn(&lab, within(call("a"), 30));
    settle().await;
    let error = lab.service.ask(within(call("a"), 3)).await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::Timeout(Timer::Total), 3 * SECOND));
    assert_eq!(answered(first).await.collect().await.unwrap().text(), "yes");
    // In a stream: what came is the answer, and it is marked.
    let begun = Instant::now();
    let first = lab.ask(streaming(within(call("b"), 30))).await;
    let joined = lab.ask(streaming(within(call("b"), 3))).await;
    let (first, joined) = tokio::join!(first.collect(), joined.collect());
    let joined = joined.unwrap();
    assert_eq!((&*joined.text(), joined.finish_reason()), ("a ", Some(&FinishReason::Timeout)));
    assert_eq!(first.unwrap().text(), "a b");
    assert_eq!(begun.elapsed(), 10 * SECOND);
    assert_eq!(lab.text(call("b")).await, "a b", "what was cut off for one is whole in the cache");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_long_is_not_kept_and_takes_nobody_in_anew() {
    let long = || (0..200).map(|_| Piece::text("mast ".repeat(20))).chain([Piece::stop()]);
    let builder = ExactCacheLayer::builder().max_entry_bytes(10_000);
    let lab = lab_with(builder, Scripted::by(move |_| Step::stream(long())));
    let mut first = lab.ask(streaming(call("a"))).await.into_stream();
    let early = lab.ask(streaming(call("a"))).await;
    for _ in 0..100 {
        first.next().await.unwrap().unwrap();
    }
    let late = lab.ask(streaming(call("a"))).await;
    assert_eq!(late.head.cache, CacheStatus::Miss, "its beginning is no longer there");
    for reply in [early, late] {
        assert_eq!(reply.collect().await.unwrap().text().len(), 200 * 100);
    }
    let mut count = 100;
    while let Some(chunk) = first.next().await {
        chunk.unwrap();
        count += 1;
    }
    assert_eq!(count, 201);
    assert_eq!((lab.calls(), lab.cache.stats().entries), (2, 0));
}

#[test]
fn threads_that_ask_the_same_ask_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        for round in 0..200 {
            let words = (0..50).map(|number| Piece::text(format!("{number} ")));
            let lab = lab(Scripted::repeating(Step::stream(words.chain([Piece::stop()]))));
            let question = format!("{round}");
            let asked: Vec<_> = (0..16)
                .map(|number| {
                    let (service, question) = (lab.service.clone(), question.clone());
                    tokio::spawn(async move {
                        let reply = service.ask(streaming(call(&question))).await.unwrap();
                        if number % 5 == 4 {
                            return None;
                        }
                        Some(reply.collect().await.unwrap().text().into_owned())
                    })
                })
                .collect();
            let wanted: String = (0..50).map(|number| format!("{number} ")).collect();
            for task in asked {
                let text =
                    tokio::time::timeout(Duration::from_secs(20), task).await.expect("nobody waits in vain");
                assert!(text.unwrap().is_none_or(|text| text == wanted));
            }
            assert!(lab.calls() >= 1);
        }
    });
}

#[tokio::test]
async fn a_stream_and_its_replay_are_read_alike_by_many() {
    let lab = lab(Scripted::new([Step::stream(pieces())]));
    let first = chunks(lab.ask(streaming(call("a"))).await).await;
    let replies = join_all((0..20).map(|_| lab.service.ask(streaming(call("a"))))).await;
    for reply in replies {
        assert_eq!(chunks(reply.unwrap()).await, first);
    }
    assert_eq!(lab.calls(), 1);
}

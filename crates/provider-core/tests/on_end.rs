//! The end of an answer is seen exactly once, whatever becomes of it.
#![allow(clippy::unwrap_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_util::stream::FusedStream;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use mainstay_provider_core::chat::{Assembler, ChunkChoice, Delta, Message};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{
    Call, ChatChunk, ChatResponse, ChunkResult, Chunks, End, Error, ErrorKind, Extra, FinishReason, Keep,
    Outcome, Provider, Reply, ReplyHead, Timer, Usage,
};

/// What a hook saw.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<End>>>);

impl Ends {
    fn hook(&self) -> impl FnOnce(&End) + Send + 'static {
        let ends = self.0.clone();
        move |end| ends.lock().unwrap().push(end.clone())
    }

    fn seen(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    #[track_caller]
    fn the_one(&self) -> End {
        let ends = self.0.lock().unwrap();
        assert_eq!(ends.len(), 1, "the hook is called exactly once");
        ends[0].clone()
    }
}

#[track_caller]
fn assert_outcome(end: &End, wanted: &str) {
    let outcome = match &end.outcome {
        Outcome::Complete => "complete",
        Outcome::Failed(_) => "failed",
        Outcome::Dropped => "dropped",
        _ => "other",
    };
    assert_eq!(outcome, wanted, "{end:?}");
}

/// A streamed reply that is there at once.
fn streamed(pieces: impl IntoIterator<Item = Piece>) -> Reply {
    Scripted::new([Step::stream(pieces)])
        .ask(Call::ask("m", "hi"))
        .now_or_never()
        .expect("no wait")
        .expect("content")
}

fn whole_script() -> Vec<Piece> {
    vec![
        Piece::Role,
        Piece::text("a "),
        Piece::text("b "),
        Piece::text("c"),
        Piece::stop(),
        Piece::Usage(Usage::new(3, 4)),
    ]
}

fn chunk_of(choices: &[(u32, &str, Option<FinishReason>)]) -> ChatChunk {
    let mut chunk = ChatChunk::empty("1", "m");
    chunk.choices = choices
        .iter()
        .map(|(index, text, finish_reason)| ChunkChoice {
            index: *index,
            delta: if text.is_empty() { Delta::default() } else { Delta::text(*text) },
            finish_reason: finish_reason.clone(),
            logprobs: None,
            extra: Extra::default(),
        })
        .collect();
    chunk
}

async fn read(mut chunks: Chunks) -> (usize, Option<Error>) {
    let mut count = 0;
    while let Some(next) = chunks.next().await {
        match next {
            Ok(_) => count += 1,
            Err(error) => {
                assert!(chunks.next().await.is_none(), "nothing comes after an error");
                return (count, Some(error));
            }
        }
    }
    assert!(chunks.next().await.is_none(), "nothing comes after the end");
    (count, None)
}

// Once, in every way.

#[tokio::test]
async fn a_stream_read_to_its_end_is_complete() {
    let ends = Ends::default();
    let chunks = streamed(whole_script()).on_end(ends.hook()).into_stream();
    assert_eq!(ends.seen(), 0, "not before the end");
    assert_eq!(read(chunks).await.0, 6);
    let end = ends.the_one();
    assert_outcome(&end, "complete");
    assert_eq!(
        (end.usage, end.finish_reason, end.content_chunks),
        (Some(Usage::new(3, 4)), Some(FinishReason::Stop), 4)
    );
    assert!(end.answer.is_none() && end.chunks.is_none(), "nothing is kept that nobody asked for");
}

#[tokio::test]
async fn a_whole_answer_has_ended_already() {
    let ends = Ends::default();
    let mut answer = ChatResponse::new("m", Message::assistant("hi"), FinishReason::Stop);
    answer.usage = Some(Usage::new(1, 2).into());
    let reply =
        Reply::whole(ReplyHead::new("p", "m"), answer.clone()).on_end_keeping(Keep::Answer, ends.hook());
    let end = ends.the_one();
    assert_outcome(&end, "complete");
    assert_eq!((end.usage, end.answer), (Some(Usage::new(1, 2)), Some(answer)));
    drop(reply);
    let _still = ends.the_one();
}

#[tokio::test]
async fn a_stream_dropped_at_any_chunk_ends_once() {
    let finish = whole_script().iter().position(|piece| matches!(piece, Piece::Finish(_))).unwrap() + 1;
    for read in 0..=whole_script().len() {
        let ends = Ends::default();
        let mut chunks = streamed(whole_script()).on_end(ends.hook()).into_stream();
        for _ in 0..read {
            chunks.next().await.unwrap().unwrap();
        }
        assert_eq!(ends.seen(), 0);
        drop(chunks);
        // Who leaves after the last finish reason has the answer: it is no cancellation.
        assert_outcome(&ends.the_one(), if read >= finish { "complete" } else { "dropped" });
        assert_eq!(ends.the_one().usage.is_some(), read == whole_script().len());
    }
}

#[tokio::test]
async fn a_stream_that_fails_at_any_chunk_ends_once() {
    let finish = 4;
    for good in 1..=finish {
        let mut script: Vec<Piece> = whole_script().into_iter().take(good + 1).collect();
        script.push(Piece::fail_with(ErrorKind::ContentFiltered));
        let ends = Ends::default();
        let (count, error) = read(streamed(script).on_end(ends.hook()).into_stream()).await;
        assert_eq!((count, error.map(|error| error.kind())), (good + 1, Some(ErrorKind::ContentFiltered)));
        assert_outcome(&ends.the_one(), "failed");
    }
}

#[tokio::test]
async fn a_reply_dropped_unread_ends_once() {
    let ends = Ends::default();
    drop(streamed(whole_script()).on_end(ends.hook()));
    assert_outcome(&ends.the_one(), "dropped");
}

#[tokio::test]
async fn a_collected_reply_ends_once() {
    let ends = Ends::default();
    let answer = streamed(whole_script()).on_end(ends.hook()).collect().await.unwrap();
    assert_eq!((&*answer.text(), answer.usage()), ("a b c", Some(Usage::new(3, 4))));
    assert_outcome(&ends.the_one(), "complete");
}

#[tokio::test(start_paused = true)]
async fn a_collect_that_is_dropped_ends_once() {
    let ends = Ends::default();
    let reply = streamed([Piece::text("a"), Piece::Stall]).on_end(ends.hook());
    let waited = tokio::time::timeout(std::time::Duration::from_secs(1), reply.collect()).await;
    assert!(waited.is_err());
    assert_outcome(&ends.the_one(), "dropped");
}

#[tokio::test]
async fn a_stream_without_a_finish_reason_fails_in_the_end() {
    let ends = Ends::default();
    let (count, error) =
        read(streamed([Piece::text("a"), Piece::text("b"), Piece::Cut]).on_end(ends.hook()).into_stream())
            .await;
    let error = error.expect("never a quiet end");
    assert_eq!((count, error.kind(), error.provider()), (2, ErrorKind::MalformedResponse, Some("scripted")));
    assert_outcome(&ends.the_one(), "failed");
}

#[tokio::test]
async fn a_stream_polled_after_its_end_stays_at_its_end() {
    // A provider's stream need not be fused.
    let mut polls = 0;
    let restless = stream::poll_fn(move |_| {
        polls += 1;
        Poll::Ready(match polls {
            1 => Some(Ok(chunk_of(&[(0, "a", Some(FinishReason::Stop))]).into())),
            2 => None,
            _ => panic!("polled after its end"),
        })
    });
    let ends = Ends::default();
    let mut chunks =
        Reply::stream(ReplyHead::new("p", "m"), restless).await.unwrap().on_end(ends.hook()).into_stream();
    chunks.next().await.unwrap().unwrap();
    for _ in 0..3 {
        assert!(!chunks.is_terminated() || ends.seen() == 1);
        assert!(chunks.next().await.is_none());
    }
    assert!(chunks.is_terminated());
    drop(chunks);
    assert_outcome(&ends.the_one(), "complete");
}

// What counts as complete.

#[tokio::test]
async fn a_connection_that_breaks_after_the_finish_reason_breaks_nothing() {
    for kind in [
        ErrorKind::Network,
        ErrorKind::Timeout(Timer::Idle),
        ErrorKind::ServerError,
        ErrorKind::Overloaded,
        ErrorKind::MalformedResponse,
    ] {
        let ends = Ends::default();
        let script = [Piece::text("a"), Piece::stop(), Piece::fail_with(kind)];
        let (count, error) = read(streamed(script).on_end(ends.hook()).into_stream()).await;
        assert!(count == 2 && error.is_none(), "{kind}");
        let end = ends.the_one();
        assert_outcome(&end, "complete");
        assert_eq!(end.late_error.map(|error| error.kind()), Some(kind), "it is told to who watches");
    }
}

#[tokio::test]
async fn a_verdict_on_the_answer_counts_even_after_the_finish_reason() {
    for kind in [
        ErrorKind::ContentFiltered,
        ErrorKind::MalformedToolCall,
        ErrorKind::LimitReached,
        ErrorKind::Internal,
    ] {
        let ends = Ends::default();
        let script = [Piece::text("a"), Piece::stop(), Piece::fail_with(kind)];
        let (_, error) = read(streamed(script).on_end(ends.hook()).into_stream()).await;
        assert_eq!(error.map(|error| error.kind()), Some(kind));
        assert_outcome(&ends.the_one(), "failed");
    }
}

#[tokio::test]
async fn an_answer_is_complete_when_each_choice_that_began_is() {
    let stop = || Some(FinishReason::Stop);
    let chunks = |choices: &[&[(u32, &str, Option<FinishReason>)]]| {
        choices.iter().map(|choices| Piece::chunk(chunk_of(choices))).collect::<Vec<_>>()
    };
    let complete = [
        chunks(&[&[(0, "a", None), (1, "b", None)], &[(1, "", stop())], &[(0, "", stop())]]),
        // One after the other.
        chunks(&[&[(0, "a", None)], &[(0, "", stop())], &[(1, "b", None)], &[(1, "", stop())]]),
        // Azure's annotations come after the finish reason.
        chunks(&[&[(0, "a", None)], &[(0, "", stop())], &[(0, "", None)]]),
        // A stream that begins with its end.
        chunks(&[&[(0, "", stop())]]),
        chunks(&[&[(7, "a", stop())], &[]]),
    ];
    for script in complete {
        let ends = Ends::default();
        let (_, error) = read(streamed(script.clone()).on_end(ends.hook()).into_stream()).await;
        assert!(error.is_none(), "{script:?}");
        assert_outcome(&ends.the_one(), "complete");
    }
    let broken = [
        chunks(&[&[(0, "a", None), (1, "b", None)], &[(0, "", stop())]]),
        chunks(&[&[(0, "a", None)], &[(0, "", stop())], &[(1, "b", None)]]),
        // An empty reason is none.
        chunks(&[&[(0, "a", Some(FinishReason::from("")))]]),
    ];
    for script in broken {
        let ends = Ends::default();
        let (_, error) = read(streamed(script.clone()).on_end(ends.hook()).into_stream()).await;
        assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::MalformedResponse), "{script:?}");
        assert_outcome(&ends.the_one(), "failed");
    }
}

#[tokio::test]
async fn usage_counts_wherever_it_stands_and_the_last_figure_wins() {
    let growing = [
        Piece::Usage(Usage::new(3, 0)),
        Piece::text("a"),
        Piece::Usage(Usage::new(3, 1)),
        Piece::stop(),
        Piece::Usage(Usage::new(3, 2)),
    ];
    let ends = Ends::default();
    read(streamed(growing).on_end(ends.hook()).into_stream()).await;
    assert_eq!(ends.the_one().usage, Some(Usage::new(3, 2)));
}

#[tokio::test]
async fn the_finish_reason_is_that_of_the_first_choice() {
    let ends = Ends::default();
    let script = [
        Piece::chunk(chunk_of(&[(1, "b", Some(FinishReason::Length)), (0, "a", None)])),
        Piece::chunk(chunk_of(&[(0, "", Some(FinishReason::Stop))])),
    ];
    read(streamed(script).on_end(ends.hook()).into_stream()).await;
    assert_eq!(ends.the_one().finish_reason, Some(FinishReason::Stop));
}

// What is kept.

#[tokio::test]
async fn what_a_hook_asks_for_is_kept_up_to_the_end() {
    for read in 0..=whole_script().len() {
        let (answers, chunks) = (Ends::default(), Ends::default());
        let reply = streamed(whole_script())
            .on_end_keeping(Keep::Answer, answers.hook())
            .on_end_keeping(Keep::Chunks, chunks.hook())
            .on_end(|end| assert!(end.answer.is_some(), "what one asked for all may read"));
        let mut stream = reply.into_stream();
        let mut seen = Assembler::default();
        for _ in 0..read {
            seen.push(&stream.next().await.unwrap().unwrap());
        }
        drop(stream);
        assert_eq!(answers.the_one().answer, Some(seen.finish()));
        assert_eq!(chunks.the_one().chunks.map(|chunks| chunks.len()), Some(read));
    }
}

// Layers on layers.

/// A layer's map: writes all text in capitals.
fn shout(chunks: Chunks) -> impl Stream<Item = ChunkResult> + Send + 'static {
    chunks.map(|next| {
        next.map(|mut chunk| {
            for choice in &mut chunk.choices {
                choice.delta.content = choice.delta.content.take().map(|text| text.to_uppercase());
            }
            chunk
        })
    })
}

#[tokio::test]
async fn hooks_see_the_stream_as_it_was_when_they_were_registered() {
    let (inner, outer) = (Ends::default(), Ends::default());
    let reply = streamed(whole_script())
        .on_end_keeping(Keep::Answer, inner.hook())
        .map_stream(shout)
        .map_stream(shout)
        .on_end_keeping(Keep::Answer, outer.hook());
    assert_eq!(reply.collect().await.unwrap().text(), "A B C");
    assert_eq!(inner.the_one().answer.unwrap().text(), "a b c");
    assert_eq!(outer.the_one().answer.unwrap().text(), "A B C");
}

#[tokio::test]
async fn the_innermost_hook_is_called_first() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let note = |name: &'static str| {
        let order = order.clone();
        move |_: &End| order.lock().unwrap().push(name)
    };
    for take in [1, 100] {
        order.lock().unwrap().clear();
        let reply =
            streamed(whole_script()).on_end(note("1")).on_end(note("2")).map_stream(shout).on_end(note("3"));
        let mut chunks = reply.into_stream();
        for _ in 0..take {
            chunks.next().await;
        }
        drop(chunks);
        assert_eq!(*order.lock().unwrap(), ["1", "2", "3"]);
    }
}

#[tokio::test]
async fn every_nested_hook_sees_a_drop_and_an_error_once() {
    for fails in [false, true] {
        let ends: Vec<Ends> = (0..4).map(|_| Ends::default()).collect();
        let script =
            [Piece::text("a"), if fails { Piece::fail_with(ErrorKind::Network) } else { Piece::Stall }];
        let mut reply = streamed(script);
        for end in &ends {
            reply = reply.on_end(end.hook()).map_stream(shout);
        }
        let mut chunks = reply.into_stream();
        chunks.next().await.unwrap().unwrap();
        if fails {
            chunks.next().await.unwrap().unwrap_err();
        }
        drop(chunks);
        ends.iter().for_each(|end| assert_outcome(&end.the_one(), if fails { "failed" } else { "dropped" }));
    }
}

#[tokio::test]
async fn a_layer_that_ends_the_answer_early_drops_the_rest() {
    let upstream = Scripted::new([Step::stream([Piece::text("a"), Piece::text("b"), Piece::Stall])]);
    let (inner, outer) = (Ends::default(), Ends::default());
    let early = |chunks: Chunks| {
        let last = chunk_of(&[(0, "", Some(FinishReason::Timeout))]);
        chunks.take(2).chain(stream::iter([Ok(last.into())]))
    };
    let reply = upstream.ask(Call::ask("m", "hi")).await.unwrap();
    let answer = reply.on_end(inner.hook()).map_stream(early).on_end(outer.hook()).collect().await.unwrap();
    assert_eq!((&*answer.text(), answer.finish_reason()), ("ab", Some(&FinishReason::Timeout)));
    assert_outcome(&inner.the_one(), "dropped");
    assert_outcome(&outer.the_one(), "complete");
    assert_eq!(upstream.counts().open_streams, 0);
}

#[tokio::test]
async fn the_upstream_is_closed_before_the_hooks_are_called() {
    let upstream = Scripted::new([Step::stream([Piece::text("a"), Piece::Stall])]);
    let (ends, watched) = (Ends::default(), upstream.clone());
    let reply = upstream.ask(Call::ask("m", "hi")).await.unwrap();
    let reply = reply.on_end(move |_| assert_eq!(watched.counts().open_streams, 0)).on_end(ends.hook());
    drop(reply);
    let _end = ends.the_one();
}

// Panics.

fn panics(_: &End) {
    panic!("a hook panics");
}

#[tokio::test]
async fn a_hook_that_panics_keeps_no_other_from_being_called() {
    let count = Arc::new(AtomicUsize::new(0));
    let counts = || {
        let count = count.clone();
        move |_: &End| {
            count.fetch_add(1, Ordering::SeqCst);
        }
    };
    let build = || {
        let upstream = Scripted::new([Step::stream([Piece::text("a"), Piece::stop()])]);
        let reply = upstream.ask(Call::ask("m", "hi")).now_or_never().unwrap().unwrap();
        let reply = reply.on_end(panics).on_end(counts()).map_stream(shout).on_end(panics).on_end(counts());
        (upstream, reply)
    };
    // Dropped.
    let (upstream, reply) = build();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(reply))).is_err(), "the panic is not hidden");
    assert_eq!((count.swap(0, Ordering::SeqCst), upstream.counts().open_streams), (2, 0));
    // Read to the end.
    let (upstream, reply) = build();
    let read = async {
        let mut chunks = reply.into_stream();
        while chunks.next().await.is_some() {}
    };
    assert!(AssertUnwindSafe(read).catch_unwind().await.is_err());
    assert_eq!((count.swap(0, Ordering::SeqCst), upstream.counts().open_streams), (2, 0));
}

#[tokio::test]
async fn a_panic_of_the_caller_settles_everything_and_does_not_abort() {
    let ends = Ends::default();
    let reply = streamed([Piece::text("a"), Piece::Stall]).on_end(panics).on_end(ends.hook());
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _held = reply;
        panic!("the caller panics");
    }));
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"the caller panics"));
    assert_outcome(&ends.the_one(), "dropped");
}

#[tokio::test]
async fn a_stream_that_panics_while_polled_ends_once() {
    let ends = Ends::default();
    let broken =
        stream::iter([Ok(chunk_of(&[(0, "a", None)]).into())]).chain(stream::poll_fn(|_| panic!("a defect")));
    let reply = Reply::stream(ReplyHead::new("p", "m"), broken).await.unwrap().on_end(ends.hook());
    let caught = AssertUnwindSafe(reply.collect()).catch_unwind().await;
    assert!(caught.is_err());
    assert_outcome(&ends.the_one(), "dropped");
}

// What was written.

#[tokio::test]
async fn a_hook_that_counts_gets_all_that_was_written_and_nothing_is_assembled() {
    let ends = Ends::default();
    let pieces = [
        Piece::Role,
        Piece::Reasoning("hm ".into()),
        Piece::text("a "),
        Piece::tool_call(0, "call_1", "get"),
        Piece::arguments(0, "{}"),
        Piece::chunk(chunk_of(&[(1, " other", None)])),
        Piece::Stall,
    ];
    let reply = streamed(pieces).on_end_keeping(Keep::Text, ends.hook());
    let mut chunks = reply.into_stream();
    for _ in 0..6 {
        chunks.next().await.unwrap().unwrap();
    }
    drop(chunks);
    let end = ends.the_one();
    assert_eq!(end.written.unwrap().text, "hm a get{} other");
    assert!(end.answer.is_none());
}

#[tokio::test]
async fn what_was_written_comes_with_the_providers_own_usage() {
    let ends = Ends::default();
    let both = ends.clone();
    let reply = streamed(whole_script()).on_end_keeping(Keep::Text, ends.hook());
    reply.on_end_keeping(Keep::Answer, both.hook()).collect().await.unwrap();
    for end in ends.0.lock().unwrap().iter() {
        let written = end.written.as_ref().unwrap();
        assert_eq!(
            (written.text.as_str(), written.usage.as_ref().unwrap().to_usage()),
            ("a b c", Usage::new(3, 4))
        );
        assert_eq!(end.answer.as_ref().unwrap().text(), "a b c");
    }
    let whole = Ends::default();
    let answer = ChatResponse::new("m", Message::assistant("a b c"), FinishReason::Stop);
    let _reply = Reply::whole(ReplyHead::new("p", "m"), answer).on_end_keeping(Keep::Text, whole.hook());
    assert_eq!(whole.the_one().written.unwrap().text, "a b c");
}

// Wakers.

#[tokio::test]
async fn the_stream_polls_with_the_waker_of_its_latest_poll() {
    struct Notes(Arc<Mutex<Vec<Waker>>>, u8);
    impl Stream for Notes {
        type Item = ChunkResult;
        fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<ChunkResult>> {
            self.1 += 1;
            if self.1 == 1 {
                return Poll::Ready(Some(Ok(chunk_of(&[(0, "a", None)]).into())));
            }
            self.0.lock().unwrap().push(task.waker().clone());
            Poll::Pending
        }
    }
    let wakers = Arc::new(Mutex::new(Vec::new()));
    let reply =
        Reply::stream(ReplyHead::new("p", "m"), Notes(wakers.clone(), 0)).await.unwrap().map_stream(shout);
    let mut chunks = reply.into_stream();
    chunks.next().await.unwrap().unwrap();
    for _ in 0..2 {
        let (waker, count) = futures_test_waker();
        assert!(Pin::new(&mut chunks).poll_next(&mut Context::from_waker(&waker)).is_pending());
        wakers.lock().unwrap().last().unwrap().wake_by_ref();
        assert_eq!(count.load(Ordering::SeqCst), 1, "the task that polled last is woken");
    }
}

/// A waker that counts.
fn futures_test_waker() -> (Waker, Arc<AtomicUsize>) {
    struct Counts(Arc<AtomicUsize>);
    impl std::task::Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    (Arc::new(Counts(count.clone())).into(), count)
}

//! A stream that stops is told as an error with what had come.

mod common;

use std::time::Duration;

use common::{Step, Work, seconds, streaming, streams, with, with_defaults};
use mainstay_provider_core::{ErrorKind, Outcome, Provider, Timer};
use mainstay_timeout::TimeoutLayer;
use tokio::sync::oneshot;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_stalled_stream_ends_in_an_error() {
    let work = Work::default();
    let steps = vec![Step::Text("half"), Step::Text(" an"), Step::Hang];
    let reply = with_defaults(streams(steps, &work)).ask(streaming()).await.unwrap();
    let (tell, told) = oneshot::channel();
    let mut chunks = reply.on_end(move |end| drop(tell.send(end.clone()))).into_stream();
    let begin = Instant::now();
    assert_eq!(chunks.next().await.unwrap().unwrap().text(), "half");
    assert_eq!(chunks.next().await.unwrap().unwrap().text(), " an");
    let error = chunks.next().await.unwrap().unwrap_err();
    assert_eq!(begin.elapsed(), Duration::from_secs(20));
    assert_eq!(work.open(), 0, "the provider's work ended before the caller was told"); // D3
    assert_eq!(error.kind(), ErrorKind::Timeout(Timer::Idle));
    assert_eq!(error.provider(), Some("sim"));
    assert!(chunks.next().await.is_none());
    let end = told.await.unwrap();
    assert!(matches!(end.outcome, Outcome::Failed(error) if error.kind() == ErrorKind::Timeout(Timer::Idle)));
}

#[tokio::test(start_paused = true)]
async fn whoever_collects_a_stalled_stream_gets_the_partial_answer_with_the_error() {
    let steps = vec![Step::Text("half"), Step::Text(" an"), Step::Hang];
    let reply = with_defaults(streams(steps, &Work::default())).ask(streaming()).await.unwrap();
    assert_eq!(reply.collect().await.unwrap_err().partial().unwrap().text(), "half an");
}

#[tokio::test(start_paused = true)]
async fn each_chunk_begins_the_gap_anew() {
    let mut steps = [Step::Text("x"), seconds(19)].repeat(3);
    steps.push(Step::Finish);
    let reply = with_defaults(streams(steps, &Work::default())).ask(streaming()).await.unwrap();
    assert_eq!(reply.collect().await.unwrap().text(), "xxx");
}

#[tokio::test(start_paused = true)]
async fn a_gap_shorter_than_the_timer_that_waited_for_the_first_token_is_seen_in_time() {
    let layer = TimeoutLayer::builder().idle(Duration::from_secs(2));
    let reply = with(layer, streams(vec![seconds(1), Step::Text("x"), Step::Hang], &Work::default()))
        .ask(streaming());
    let begin = Instant::now();
    let error = reply.await.unwrap().collect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Timer::Idle));
    assert_eq!(begin.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_takes_its_time_is_no_idle_provider() {
    let steps = vec![Step::Text("a"), Step::Text("b"), seconds(1), Step::Text("c"), Step::Finish];
    let reply = with_defaults(streams(steps, &Work::default())).ask(streaming()).await.unwrap();
    let mut chunks = reply.into_stream();
    for expected in ["a", "b", "c"] {
        assert_eq!(chunks.next().await.unwrap().unwrap().text(), expected);
        if expected == "b" {
            tokio::time::sleep(Duration::from_secs(25)).await;
        }
    }
}

// Issue 3, fault bench: no [DONE]
#[tokio::test(start_paused = true)]
async fn a_server_that_forgets_to_close_does_not_hold_a_complete_answer_back() {
    let work = Work::default();
    let reply = with_defaults(streams(vec![Step::Text("all"), Step::Finish, Step::Ping, Step::Hang], &work));
    let reply = reply.ask(streaming()).await.unwrap();
    let (tell, told) = oneshot::channel();
    let begin = Instant::now();
    let mut chunks = reply.on_end(move |end| tell.send(end.is_complete()).unwrap()).into_stream();
    let mut seen = Vec::new();
    while let Some(chunk) = chunks.next().await {
        seen.push(chunk.unwrap().text().to_owned());
    }
    assert_eq!(seen, ["all", "", ""], "nothing is added");
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert!(told.await.unwrap());
    assert_eq!(work.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_piece_after_the_finish_reason_does_not_begin_the_answer_anew() {
    let steps = vec![Step::Text("all"), Step::Finish, Step::Text(" of it"), Step::Hang];
    let reply = with_defaults(streams(steps, &Work::default())).ask(streaming()).await.unwrap();
    let begin = Instant::now();
    assert_eq!(reply.collect().await.unwrap().text(), "all of it");
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

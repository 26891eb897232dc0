//! The total ends a call whatever happens, and what came is kept.

mod common;

use std::time::Duration;

use common::{Flood, Step, Work, answers_after, seconds, streaming, streams, whole, with, with_defaults};
use futures_util::{StreamExt as _, stream};
use mainstay_provider_core::chat::Delta;
use mainstay_provider_core::{
    Call, ChatChunk, Error, ErrorKind, FinishReason, Keep, Provider, Reply, ReplyHead, Timer,
};
use mainstay_timeout::TimeoutLayer;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tower::service_fn;

// S8.2
#[tokio::test(start_paused = true)]
async fn a_long_stream_ends_with_its_partial_answer_marked() {
    let work = Work::default();
    let steps = [Step::Text("word "), seconds(7)].repeat(100);
    let begin = Instant::now();
    let reply = with_defaults(streams(steps, &work)).ask(streaming()).await.unwrap();
    let (tell, told) = oneshot::channel();
    let reply = reply.on_end_keeping(Keep::Answer, move |end| drop(tell.send(end.clone())));
    let answer = reply.collect().await.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_secs(60));
    assert_eq!(answer.text(), "word ".repeat(9));
    assert_eq!(answer.finish_reason(), Some(&FinishReason::Timeout));
    assert_eq!(answer.id, "answer-1");
    let end = told.await.unwrap();
    assert!(end.is_complete(), "it settles as an answer");
    assert_eq!(end.finish_reason, Some(FinishReason::Timeout));
    assert_eq!(work.open(), 0); // D3
}

// S8.2
#[tokio::test(start_paused = true)]
async fn a_caller_that_begins_to_read_when_the_time_is_up_gets_the_beginning_marked() {
    let work = Work::default();
    let steps = vec![Step::Ping, Step::Text("word "), seconds(1), Step::Text("word "), Step::Finish];
    let reply = with_defaults(streams(steps, &work)).ask(streaming()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    let answer = reply.collect().await.unwrap();
    assert_eq!(answer.text(), "word ");
    assert_eq!(answer.finish_reason(), Some(&FinishReason::Timeout));
    assert_eq!(work.open(), 0);
}

// S8.2
#[tokio::test(start_paused = true)]
async fn every_choice_that_was_open_is_marked_and_no_other() {
    let steps = vec![
        Step::TextOf(0, "a"),
        Step::TextOf(1, "b"),
        Step::TextOf(2, "c"),
        Step::FinishOf(1),
        seconds(15),
        Step::Ping,
    ];
    let steps = [steps, [seconds(15), Step::Ping].repeat(9)].concat();
    let reply = with_defaults(streams(steps, &Work::default())).ask(streaming()).await.unwrap();
    let answer = reply.collect().await.unwrap();
    let reasons: Vec<_> = answer.choices.iter().map(|choice| choice.finish_reason.clone().unwrap()).collect();
    assert_eq!(reasons, [FinishReason::Timeout, FinishReason::Stop, FinishReason::Timeout]);
}

// S2.5
#[tokio::test(start_paused = true)]
async fn a_whole_answer_that_takes_too_long_is_an_error() {
    let (begin, work) = (Instant::now(), Work::default());
    let provider = with_defaults(answers_after(Duration::from_secs(61), &work));
    let error = provider.ask(whole()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Timer::Total));
    assert_eq!(begin.elapsed(), Duration::from_secs(60));
    assert_eq!(work.open(), 0);
}

// S2.5, on the real clock
#[tokio::test]
async fn a_timeout_of_a_millisecond_gives_the_timeout_error_and_never_a_hang() {
    let layer = || TimeoutLayer::builder().total(Duration::from_millis(1));
    for call in [whole(), streaming()] {
        let begin = Instant::now();
        let error = with(layer(), streams(vec![Step::Hang], &Work::default())).ask(call).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout(Timer::Total));
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
}

// S2.5: such a provider never lets go of the task, so no timer of the runtime rings
#[tokio::test]
async fn a_provider_that_is_always_busy_is_cut_off_too() {
    let layer =
        || TimeoutLayer::builder().first_token(Duration::from_millis(20)).total(Duration::from_millis(40));
    let never_answers = service_fn(|_: Call| async { Err(busy(Flood::new(Step::Ping)).await) }).boxed();
    let error = with(layer(), never_answers).ask(streaming()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Timer::FirstToken));

    let head = ReplyHead::new("sim", "sim-1");
    let never_ends =
        service_fn(move |_: Call| Reply::stream(head.clone(), Flood::new(Step::Text("x")))).boxed();
    let answer = with(layer(), never_ends).ask(streaming()).await.unwrap().collect().await.unwrap();
    assert_eq!(answer.finish_reason(), Some(&FinishReason::Timeout));
}

// S2.5: nor does this one, and the runtime has no say in it at all
#[tokio::test]
async fn a_stream_that_is_always_ready_is_cut_off_too() {
    let layer = TimeoutLayer::builder().total(Duration::from_millis(20));
    let chunk = ChatChunk::empty("answer-1", "sim-1").with_delta(Delta::text("x"), None);
    let endless = service_fn(move |_: Call| {
        Reply::stream(
            ReplyHead::new("sim", "sim-1"),
            stream::repeat(chunk.clone()).map(|chunk| Ok(chunk.into())),
        )
    });
    let answer = with(layer, endless.boxed()).ask(streaming()).await.unwrap().collect().await.unwrap();
    assert_eq!(answer.finish_reason(), Some(&FinishReason::Timeout));
}

async fn busy(flood: Flood) -> Error {
    flood.for_each(|_| std::future::ready(())).await;
    unreachable!("a flood has no end")
}

// D1
#[tokio::test(start_paused = true)]
async fn the_callers_deadline_shortens_the_total() {
    let (begin, work) = (Instant::now(), Work::default());
    let mut call = whole();
    call.context_mut().deadline = Some(begin + Duration::from_secs(3));
    let error = with_defaults(answers_after(Duration::from_secs(5), &work)).ask(call).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Timer::Total));
    assert_eq!(begin.elapsed(), Duration::from_secs(3));

    let mut call = streaming();
    call.context_mut().deadline = Some(begin + Duration::from_secs(8));
    let steps = [Step::Text("x"), seconds(2)].repeat(50);
    let answer = with_defaults(streams(steps, &work)).ask(call).await.unwrap().collect().await.unwrap();
    assert_eq!(answer.finish_reason(), Some(&FinishReason::Timeout));
    assert_eq!(begin.elapsed(), Duration::from_secs(8));
    assert_eq!(work.open(), 0); // D3
}

// D1
#[tokio::test(start_paused = true)]
async fn the_callers_deadline_never_lengthens_the_total() {
    let begin = Instant::now();
    let mut call = whole();
    call.context_mut().deadline = Some(begin + Duration::from_secs(600));
    with_defaults(answers_after(Duration::from_secs(90), &Work::default())).ask(call).await.unwrap_err();
    assert_eq!(begin.elapsed(), Duration::from_secs(60));
}

// D1
#[tokio::test(start_paused = true)]
async fn a_call_whose_deadline_has_passed_is_not_sent() {
    let mut call = whole();
    call.context_mut().deadline = Some(Instant::now());
    let never = service_fn(|_: Call| async { panic!("it was sent") });
    let error = with_defaults(never.boxed()).ask(call).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Timer::Total));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_answer_that_came_in_time_is_not_cut() {
    let layer = TimeoutLayer::builder().total(Duration::from_secs(10));
    let steps = vec![Step::Text("all"), seconds(9), Step::Finish, seconds(2), Step::Ping];
    let reply = with(layer, streams(steps, &Work::default())).ask(streaming()).await.unwrap();
    assert_eq!(reply.collect().await.unwrap().finish_reason(), Some(&FinishReason::Stop));
}

#[tokio::test(start_paused = true)]
async fn an_answer_at_the_last_moment_counts() {
    let provider = with_defaults(answers_after(Duration::from_secs(60), &Work::default()));
    assert!(provider.ask(whole()).await.is_ok());
}

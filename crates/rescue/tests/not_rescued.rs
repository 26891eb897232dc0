//! What nobody else can go on with fails clearly, and at once.

#![allow(clippy::unwrap_used)]

mod common;

use common::{TEXT, model, over, read, says, streaming};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{Call, ChatChunk, ErrorKind, FinishReason, Timer};
use mainstay_rescue::RescueLayer;
use serde_json::{Value, json};

#[tokio::test(start_paused = true)]
async fn a_verdict_the_callers_fault_and_the_end_of_the_time_are_handed_on_as_they_are() {
    for kind in [
        ErrorKind::ContentFiltered,
        ErrorKind::InvalidRequest,
        ErrorKind::ContextLengthExceeded,
        ErrorKind::Authentication,
        ErrorKind::PermissionDenied,
        ErrorKind::QuotaExhausted,
        ErrorKind::LimitReached,
        ErrorKind::Configuration,
        ErrorKind::Internal,
        ErrorKind::Timeout(Timer::Total),
    ] {
        let upstream = model([says(TEXT).cut(3).with(kind)]);
        let got = read(&over(&RescueLayer::standard(), &upstream), streaming()).await;
        got.assert_sound();
        let error = got.error.unwrap();
        assert_eq!((error.kind(), error.message()), (kind, &*format!("the script says: {kind}")));
        assert_eq!(upstream.counts().calls, 1);
    }
}

// S8.2: the timeout layer's way to end an answer is an end.
#[tokio::test(start_paused = true)]
async fn a_partial_answer_by_the_total_timer_is_an_answer() {
    let pieces = [Piece::Role, Piece::text("The mainstay"), Piece::Finish(FinishReason::Timeout)];
    let upstream = Scripted::new([Step::stream(pieces)]);
    let got = read(&over(&RescueLayer::standard(), &upstream), streaming()).await;
    got.assert_sound();
    assert_eq!(got.finish_reasons(), [FinishReason::Timeout]);
}

// The answer is whole; what is said after it is said to the caller.
#[tokio::test(start_paused = true)]
async fn an_answer_that_has_its_end_is_not_gone_on_with() {
    let pieces = [Piece::Role, Piece::text(TEXT), Piece::stop(), Piece::fail_with(ErrorKind::RateLimited)];
    let upstream = Scripted::new([Step::stream(pieces)]);
    let got = read(&over(&RescueLayer::standard(), &upstream), streaming()).await;
    assert_eq!((got.text().as_str(), got.finish_reasons()), (TEXT, vec![FinishReason::Stop]));
    assert_eq!(got.error.unwrap().message(), "the script says: rate_limited");
    assert_eq!(upstream.counts().calls, 1);
}

fn chunk(choices: Value) -> Piece {
    let chunk = json!({"id": "scripted-1", "created": 1_700_000_000, "model": "gpt-9", "choices": choices});
    Piece::chunk(serde_json::from_value::<ChatChunk>(chunk).unwrap())
}

async fn fails_at_once(pieces: impl IntoIterator<Item = Piece>, call: Call, why: &str) {
    let pieces = [Piece::Role].into_iter().chain(pieces).chain([Piece::fail_with(ErrorKind::Network)]);
    let upstream = Scripted::new([Step::stream(pieces)]);
    let got = read(&over(&RescueLayer::standard(), &upstream), call).await;
    got.assert_sound();
    let error = got.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(error.message().contains(why), "{}", error.message());
    assert_eq!(upstream.counts().calls, 1, "{why}");
}

#[tokio::test(start_paused = true)]
async fn several_answers() {
    let mut call = streaming();
    call.request_mut().n = Some(2);
    fails_at_once([Piece::text("a")], call, "several answers").await;
    let second = chunk(json!([{"index": 1, "delta": {"content": "b"}}]));
    fails_at_once([Piece::text("a"), second], streaming(), "several answers").await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_held_against_another_answer() {
    let delta = |members: Value| chunk(json!([{"index": 0, "delta": members}]));
    for (piece, why) in [
        (
            chunk(json!([{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": []}}])),
            "token probabilities",
        ),
        (delta(json!({"refusal": "I will not"})), "a refusal"),
        (delta(json!({"annotations": [{"type": "url_citation"}]})), "citations"),
        (delta(json!({"audio": {"data": "AAAA"}})), "something else"),
        (delta(json!({"function_call": {"name": "f"}})), "something else"),
    ] {
        fails_at_once([piece.clone()], streaming(), why).await;
        fails_at_once([Piece::text("a"), piece, Piece::text("b")], streaming(), why).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_empty_bars_nothing() {
    let nothing = chunk(json!([{
        "index": 0, "logprobs": null,
        "delta": {"content": "The ", "refusal": "", "annotations": [], "audio": null, "odd": 1},
    }]));
    let ping = chunk(json!([{"index": 0, "delta": {}}]));
    let mut first = vec![Piece::Role, nothing, ping];
    first.push(Piece::Cut);
    let upstream = Scripted::by(move |call| {
        if call.request().messages.len() == 1 { Step::stream(first.clone()) } else { says(TEXT).step(call) }
    });
    read(&over(&RescueLayer::standard(), &upstream), streaming()).await.assert_whole();
}

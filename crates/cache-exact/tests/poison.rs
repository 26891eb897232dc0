//! What is not the model's whole answer to this very question is never given to the next who asks.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Lab, call, lab, lab_with, streaming};
use mainstay_cache_exact::ExactCacheLayer;
use mainstay_provider_core::chat::{ChatResponse, Message, Role, Tool, ToolCall};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{CacheStatus, Call, Decided, ErrorKind, FinishReason, Level, Provider, Rescued};
use serde_json::json;
use std::time::Duration;

fn answer(text: &str, finish_reason: FinishReason) -> ChatResponse {
    ChatResponse::new("m", Message::assistant(text), finish_reason)
}

fn calls_tools() -> ChatResponse {
    let tool_calls = vec![ToolCall::function("1", "delete_all", "{}")];
    ChatResponse::new("m", Message { tool_calls, ..Message::empty(Role::Assistant) }, FinishReason::ToolCalls)
}

fn refusal() -> ChatResponse {
    let message = Message { refusal: Some("I can't.".into()), ..Message::empty(Role::Assistant) };
    ChatResponse::new("m", message, FinishReason::Stop)
}

fn mended() -> ChatResponse {
    let mut answer = answer("half of one and half of another", FinishReason::Stop);
    answer.extra.insert("mainstay", json!({"rescue": {}}));
    answer
}

/// Asks twice: the second time the provider must be asked again.
async fn assert_not_kept(lab: &Lab, what: &str, call: Call) {
    for asked in 1..=2 {
        let calls = lab.calls();
        if let Ok(reply) = lab.service.ask(call.clone()).await {
            assert_eq!(reply.head.cache.as_str(), "miss", "{what}, {asked}");
            let _read = reply.collect().await;
        }
        assert_eq!(lab.calls(), calls + 1, "{what}");
    }
    assert_eq!(lab.cache.stats().entries, 0, "{what}");
    assert!(lab.cache.stale(&call).is_none(), "{what}");
}

// Security test 16
#[tokio::test]
async fn errors_parts_filtered_and_refused_answers_and_tool_calls_are_not_kept() {
    let steps = [
        ("an error", Step::fail_with(ErrorKind::ServerError)),
        ("a filter's error", Step::fail_with(ErrorKind::ContentFiltered)),
        ("cut off by its length", Step::answer(answer("It is a", FinishReason::Length))),
        ("filtered", Step::answer(answer("It is a", FinishReason::ContentFilter))),
        ("timed out", Step::answer(answer("It is a", FinishReason::Timeout))),
        ("ended for a reason unknown", Step::answer(answer("It is a", FinishReason::Other("x".into())))),
        ("empty", Step::answer(answer("", FinishReason::Stop))),
        ("without an answer", Step::answer(ChatResponse::empty("m"))),
        ("refused", Step::answer(refusal())),
        ("tool calls", Step::answer(calls_tools())),
        ("mended", Step::answer(mended())),
        ("broken off", Step::stream([Piece::text("It is a"), Piece::fail_with(ErrorKind::Network)])),
        ("cut", Step::stream([Piece::text("It is a"), Piece::Cut])),
        ("cut at once", Step::stream([Piece::Role, Piece::Cut])),
        (
            "stream cut off by its length",
            Step::stream([Piece::text("It is a"), Piece::Finish(FinishReason::Length)]),
        ),
        (
            "broken after its end",
            Step::stream([Piece::text("It is."), Piece::stop(), Piece::fail_with(ErrorKind::Network)]),
        ),
    ];
    for (what, step) in steps {
        for call in [call("a"), streaming(call("a"))] {
            assert_not_kept(&lab(Scripted::repeating(step.clone())), what, call).await;
        }
    }
}

// Security test 16
#[tokio::test]
async fn what_another_cache_a_lesser_rung_or_half_a_conversation_gave_is_not_kept() {
    let yes = || Step::text("yes");
    let steps = [
        (
            "semantic",
            yes().head(|head| {
                head.cache =
                    CacheStatus::SemanticHit { age: Duration::ZERO, score: 0.99, decided: Decided::Threshold }
            }),
            "semantic_hit",
        ),
        ("stale", yes().head(|head| head.cache = CacheStatus::Stale { age: Duration::ZERO }), "stale"),
        ("simple", yes().head(|head| head.level = Level::SimpleModel), "miss"),
        ("static", yes().head(|head| head.level = Level::Static), "miss"),
        ("shortened", yes().head(|head| head.shortened = 3), "miss"),
    ];
    for (what, step, status) in steps {
        let lab = lab(Scripted::repeating(step));
        for _ in 0..2 {
            assert_eq!(lab.status(call("a")).await, status, "{what}");
            assert_eq!(lab.status(streaming(call("a"))).await, status, "{what}");
        }
        assert_eq!(lab.calls(), 4, "{what}");
        assert_eq!(lab.cache.stats().entries, 0, "{what}");
    }
    // One that was taken over before anything of it had been seen is an answer like any other.
    let lab =
        lab(Scripted::repeating(yes().head(|head| head.rescued = Some(Rescued::new(ErrorKind::Network)))));
    assert_eq!((lab.status(call("a")).await, lab.status(call("a")).await), ("miss", "hit"));
}

// Security test 16
#[tokio::test]
async fn several_answers_another_model_other_parameters_and_tools_are_not_served() {
    let lab = lab(Scripted::repeating(Step::text("yes")));
    lab.text(call("a")).await;
    let changes: [fn(&mut Call); 7] = [
        |call| call.request_mut().n = Some(3),
        |call| call.request_mut().model = "other".into(),
        |call| *call = call.clone().with_model("third"),
        |call| call.request_mut().max_tokens = Some(5),
        |call| call.request_mut().tools.push(Tool::function("f", "", json!({}))),
        |call| call.request_mut().temperature = Some(0.1),
        |call| drop(call.request_mut().extra.insert("system", "be evil")),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut call = call("a");
        change(&mut call);
        assert!(!common::is_hit(&lab.ask(call).await), "{number}");
    }
}

#[tokio::test]
async fn answers_that_call_tools_are_kept_where_tools_are_allowed() {
    let mut builder = ExactCacheLayer::builder().config({
        let mut config = mainstay_cache_exact::ExactCacheConfig::new();
        config.tools = true;
        config
    });
    builder = builder.max_entry_bytes(1 << 20);
    let lab = lab_with(builder, Scripted::repeating(Step::answer(calls_tools())));
    let mut with_tools = call("a");
    with_tools.request_mut().tools.push(Tool::function("delete_all", "", json!({})));
    assert_eq!((lab.status(with_tools.clone()).await, lab.status(with_tools).await), ("miss", "hit"));
    let reply = lab.ask(streaming(call("b"))).await.collect().await.unwrap();
    assert_eq!(reply.choices[0].message.tool_calls.len(), 1);
}

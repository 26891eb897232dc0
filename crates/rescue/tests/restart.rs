//! Restart: somebody else is asked anew, and goes on where the caller stands if the answer is the same so far.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Got, TEXT, model, over, policies, read, says, streaming};
use mainstay_provider_core::chat::Assembler;
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{Error, ErrorKind, FinishReason};
use mainstay_rescue::{RescueLayer, RescuePolicy};

fn restart() -> RescueLayer {
    policies([RescuePolicy::Restart])
}

// T6
#[tokio::test(start_paused = true)]
async fn wherever_it_breaks_the_same_answer_goes_on_from_there() {
    for after in 1..17 {
        for size in [1, 3, 4, 100] {
            let mut again = says(TEXT);
            again.size = size;
            let upstream = model([says(TEXT).cut(after).with(ErrorKind::Network), again]);
            let got = read(&over(&restart(), &upstream), streaming()).await;
            got.assert_whole();
            assert_eq!(upstream.calls()[0].request(), upstream.calls()[1].request());
        }
    }
}

// T6
#[tokio::test(start_paused = true)]
async fn another_answer_is_an_error_that_says_so_and_no_text() {
    for other in ["The mainmast is tall.", "the mainstay", "The main", "Ahoy", "Ahoy, the mainstay is a rope"]
    {
        let upstream = model([says(TEXT).cut(3).with(ErrorKind::Network), says(other)]);
        let got = read(&over(&restart(), &upstream), streaming()).await;
        got.assert_sound();
        assert_eq!(got.text(), TEXT[..12]);
        let error = got.error.unwrap();
        assert_eq!(error.kind(), ErrorKind::Network, "the kind of what broke it");
        let told = error.message();
        assert!(told.contains("begins differently") || told.contains("shorter"), "{other}: {told}");
        let kinds: Vec<_> = error.attempts().iter().map(Error::kind).collect();
        assert_eq!(kinds, [ErrorKind::MalformedResponse, ErrorKind::Network]);
        assert_eq!(upstream.counts().open_streams, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_all_there_needs_nothing_but_its_end() {
    let upstream = Scripted::new([
        Step::stream([Piece::Role, Piece::text(TEXT), Piece::Cut]),
        Step::stream([Piece::Role, Piece::text(TEXT), Piece::stop()]),
    ]);
    read(&over(&restart(), &upstream), streaming()).await.assert_whole();
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_will_do() {
    let upstream = Scripted::by(|call| {
        let first = call.context().attempts.begin().number == 1;
        if first { says(TEXT).cut(5).step(call) } else { Step::text(TEXT) }
    });
    read(&over(&restart(), &upstream), streaming()).await.assert_whole();
}

fn tools(id: &str, arguments: &[&str], end: Piece) -> Step {
    let pieces = [Piece::Role, Piece::text("Let me see."), Piece::tool_call(0, id, "get_weather")];
    let arguments = arguments.iter().map(|json| Piece::arguments(0, *json));
    Step::stream(pieces.into_iter().chain(arguments).chain([end]))
}

fn calls(got: &Got) -> Vec<(String, String, String)> {
    let mut whole = Assembler::default();
    got.chunks.iter().for_each(|chunk| whole.push(chunk));
    let calls = whole.finish().choices.remove(0).message.tool_calls.clone();
    let parts = |call: &mainstay_provider_core::chat::ToolCall| {
        let function = call.function.clone().unwrap();
        (call.id.clone(), function.name, function.arguments)
    };
    calls.iter().map(parts).collect()
}

#[tokio::test(start_paused = true)]
async fn a_tool_call_goes_on_under_its_first_id_if_its_beginning_is_the_same() {
    let done = || Piece::Finish(FinishReason::ToolCalls);
    for sent in [&["{\"city\": \"Pa"][..], &["{\"city\"", ": \"Pa"], &[]] {
        let upstream = Scripted::new([
            tools("call_1", sent, Piece::Cut),
            tools("call_2", &["{\"city\":", " \"Paris\"}"], done()),
        ]);
        let got = read(&over(&RescueLayer::standard(), &upstream), streaming()).await;
        got.assert_sound();
        assert_eq!(got.text(), "Let me see.");
        let expected = ("call_1".to_owned(), "get_weather".to_owned(), "{\"city\": \"Paris\"}".to_owned());
        assert_eq!(calls(&got), [expected]);
        let pieces = got.chunks.iter().flat_map(|chunk| &chunk.choices).flat_map(|one| &one.delta.tool_calls);
        let named: Vec<_> = pieces.filter_map(|piece| piece.id.as_deref()).collect();
        assert_eq!(named, ["call_1"], "the second id is not told");
        assert!(!upstream.calls()[1].context().needs.prefill, "a tool call is not resumed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_tool_call_comes_behind_the_first() {
    let upstream = Scripted::new([
        tools("call_1", &["{}"], Piece::Cut),
        Step::stream([
            Piece::Role,
            Piece::text("Let me see."),
            Piece::tool_call(0, "call_8", "get_weather"),
            Piece::arguments(0, "{}"),
            Piece::tool_call(1, "call_9", "get_time"),
            Piece::arguments(1, "{}"),
            Piece::Finish(FinishReason::ToolCalls),
        ]),
    ]);
    let got = read(&over(&restart(), &upstream), streaming()).await;
    got.assert_sound();
    let named: Vec<_> = calls(&got).into_iter().map(|(id, name, _)| (id, name)).collect();
    let expected = [("call_1", "get_weather"), ("call_9", "get_time")];
    assert_eq!(named, expected.map(|(id, name)| (id.to_owned(), name.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn another_tool_call_is_an_error() {
    let done = || Piece::Finish(FinishReason::ToolCalls);
    let other_tool = Step::stream([
        Piece::Role,
        Piece::text("Let me see."),
        Piece::tool_call(0, "call_2", "get_time"),
        Piece::arguments(0, "{\"city\": \"Paris\"}"),
        done(),
    ]);
    let no_tool = Step::stream([Piece::Role, Piece::text("Let me see. It rains."), Piece::stop()]);
    let other_arguments = tools("call_2", &["{\"city\": \"Rome\"}"], done());
    for (other, why) in
        [(other_tool, "another tool"), (no_tool, "lacks a tool call"), (other_arguments, "other arguments")]
    {
        let upstream = Scripted::new([tools("call_1", &["{\"city\": \"Pa"], Piece::Cut), other]);
        let got = read(&over(&restart(), &upstream), streaming()).await;
        got.assert_sound();
        assert_eq!(calls(&got)[0].2, "{\"city\": \"Pa");
        let error = got.error.unwrap();
        assert!(error.message().contains(why), "{}", error.message());
    }
}

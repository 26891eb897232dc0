//! A reply is whole or a stream, and a stream begins with content.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use futures_util::{StreamExt, stream};
use mainstay_provider_core::chat::{Delta, Message, Role};
use mainstay_provider_core::test_kit::{Gate, Piece, Scripted, Step};
use mainstay_provider_core::{
    Call, ChatChunk, ChatResponse, ChunkResult, Error, ErrorKind, FinishReason, Provider, Reply, ReplyHead,
    Usage,
};
use serde_json::json;

async fn ask(pieces: impl IntoIterator<Item = Piece>) -> Result<Reply, Error> {
    Scripted::new([Step::stream(pieces)]).ask(Call::ask("m", "hi")).await
}

#[tokio::test]
async fn every_failure_before_the_first_content_is_an_err() {
    let before =
        [vec![], vec![Piece::Role], vec![Piece::Role, Piece::Usage(Usage::new(1, 0)), Piece::text("")]];
    for script in before {
        let failing =
            script.iter().cloned().chain([Piece::fail_with(ErrorKind::Overloaded), Piece::text("no")]);
        assert_eq!(ask(failing).await.unwrap_err().kind(), ErrorKind::Overloaded);
        let error = ask(script).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.provider(), error.model()),
            (ErrorKind::MalformedResponse, Some("scripted"), Some("m"))
        );
    }
}

#[tokio::test]
async fn what_came_before_the_content_is_handed_out_with_it() {
    let reply =
        ask([Piece::Role, Piece::Usage(Usage::new(1, 0)), Piece::text("a"), Piece::stop()]).await.unwrap();
    let chunks: Vec<ChatChunk> = reply.into_stream().map(|chunk| chunk.unwrap().into_inner()).collect().await;
    assert_eq!(chunks.len(), 4);
    assert_eq!(chunks[0].choices[0].delta.role, Some(Role::Assistant));
    assert!(chunks[1].usage.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_head_waits_for_content_and_not_for_the_role() {
    let gate = Gate::new();
    let upstream = Scripted::new([Step::stream([
        Piece::Role,
        Piece::Gate(gate.clone()),
        Piece::text("a"),
        Piece::stop(),
    ])]);
    let mut asked = Box::pin(upstream.ask(Call::ask("m", "hi")));
    assert!(tokio::time::timeout(Duration::from_secs(9), &mut asked).await.is_err());
    gate.open();
    let reply = asked.await.unwrap();
    assert_eq!(reply.head.first_token, Some(Duration::from_secs(9)));
}

#[tokio::test]
async fn whatever_a_provider_sends_of_the_answer_is_content() {
    let extra = |name: &str, value: serde_json::Value| {
        let mut delta = Delta::default();
        delta.extra.insert(name, value);
        Piece::chunk(ChatChunk::empty("1", "m").with_delta(delta, None))
    };
    for piece in [
        Piece::text("a"),
        Piece::Reasoning("hm".into()),
        Piece::tool_call(0, "c", "f"),
        Piece::stop(),
        extra("reasoning", json!("hm")),
        extra("reasoning_details", json!([{"type": "reasoning.text", "text": "hm"}])),
        extra("audio", json!({"id": "a", "data": ""})),
        extra("function_call", json!({"name": "f"})),
    ] {
        assert!(ask([Piece::Role, piece.clone(), Piece::stop()]).await.is_ok(), "{piece:?}");
        let error = ask([Piece::Role, piece.clone()]).await.map(|reply| reply.collect());
        assert!(error.is_ok(), "{piece:?}");
    }
    for piece in [
        Piece::Role,
        extra("reasoning", json!("")),
        extra("audio", json!(null)),
        extra("obfuscation", json!("xyz")),
    ] {
        let failing = [piece.clone(), Piece::fail_with(ErrorKind::Overloaded)];
        assert!(ask(failing).await.is_err(), "{piece:?}");
    }
}

#[tokio::test]
async fn a_stream_that_never_says_anything_is_an_error_and_no_leak() {
    let silent = stream::repeat_with(|| -> ChunkResult { Ok(ChatChunk::empty("1", "m").into()) });
    let error = Reply::stream(ReplyHead::new("p", "m"), silent).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MalformedResponse);
}

#[tokio::test]
async fn a_failure_while_collecting_carries_the_partial_answer() {
    let script = [Piece::text("a "), Piece::tool_call(0, "c", "f"), Piece::fail_with(ErrorKind::Network)];
    let error = ask(script).await.unwrap().collect().await.unwrap_err();
    let partial = error.partial().unwrap();
    assert_eq!((&*partial.text(), partial.choices[0].message.tool_calls.len()), ("a ", 1));
}

#[tokio::test]
async fn an_error_that_carries_its_own_partial_answer_keeps_it() {
    let own = ChatResponse::new("m", Message::assistant("own"), FinishReason::Timeout);
    let error = Error::new(ErrorKind::Network, "").with_partial(own);
    let error = ask([Piece::text("a"), Piece::Fail(error)]).await.unwrap().collect().await.unwrap_err();
    assert_eq!(error.partial().unwrap().text(), "own");
}

#[tokio::test]
async fn a_whole_answer_is_a_stream_for_who_wants_one() {
    let mut answer = ChatResponse::new("m", Message::assistant("hi"), FinishReason::Stop);
    answer.usage = Some(Usage::new(1, 1).into());
    let chunks: Vec<_> = Reply::whole(ReplyHead::new("p", "m"), answer).into_stream().collect().await;
    assert_eq!(chunks.len(), 3);
    assert!(chunks.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_whole_answer_cannot_break_off_whatever_it_lacks() {
    let mut unfinished = ChatResponse::new("m", Message::assistant("hi"), FinishReason::Stop);
    unfinished.choices[0].finish_reason = None;
    for answer in [unfinished, ChatResponse::empty("m")] {
        let chunks: Vec<_> = Reply::whole(ReplyHead::new("p", "m"), answer).into_stream().collect().await;
        assert!(!chunks.is_empty() && chunks.iter().all(Result::is_ok), "{chunks:?}");
    }
}

#[tokio::test]
async fn the_head_of_a_whole_answer_knows_how_long_it_took() {
    let reply = Scripted::new([Step::text("hi")]).ask(Call::ask("m", "hi")).await.unwrap();
    assert!(reply.head.first_token.is_some() && !reply.is_stream());
    assert_eq!(reply.answer().unwrap().text(), "hi");
    assert_eq!(reply.usage(), Some(Usage::new(1, 1)));
}

#[tokio::test]
async fn mapping_leaves_a_whole_answer_alone() {
    let reply = Scripted::new([Step::text("hi")]).ask(Call::ask("m", "hi")).await.unwrap();
    let reply = reply.map_stream(|_| -> stream::Empty<ChunkResult> { unreachable!("it is whole") });
    assert_eq!(reply.collect().await.unwrap().text(), "hi");
}

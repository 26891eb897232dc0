//! The scripted providers do what their scripts say, and count what is done to them.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use futures_util::FutureExt;
use mainstay_provider_core::chat::{ChatRequest, Message};
use mainstay_provider_core::test_kit::{EmbedStep, Gate, Piece, Scripted, ScriptedEmbedder, Step};
use mainstay_provider_core::{
    Call, ChatResponse, EmbedCall, EmbedInput, EmbedRequest, Embedder, Error, ErrorKind, FinishReason,
    Provider, Usage,
};
use tokio::time::Instant;
use tower::Service;

fn call() -> Call {
    Call::ask("m", "one two three")
}

fn streaming() -> Call {
    let mut call = call();
    call.request_mut().stream = Some(true);
    call
}

#[tokio::test]
async fn a_text_is_whole_or_streamed_as_it_is_asked() {
    let upstream = Scripted::repeating(Step::text("hello to you"));
    let whole = upstream.ask(call()).await.unwrap();
    assert!(!whole.is_stream());
    let streamed = upstream.ask(streaming()).await.unwrap();
    assert!(streamed.is_stream());
    for answer in [whole.collect().await.unwrap(), streamed.collect().await.unwrap()] {
        assert_eq!((&*answer.text(), answer.usage()), ("hello to you", Some(Usage::new(3, 3))));
    }
}

#[tokio::test]
async fn an_answer_is_whole_or_replayed_as_it_is_asked() {
    let answer = ChatResponse {
        id: "x".into(),
        ..ChatResponse::new("m", Message::assistant("hi"), FinishReason::Length)
    };
    let upstream = Scripted::repeating(Step::answer(answer.clone()));
    assert_eq!(*upstream.ask(call()).await.unwrap().collect().await.unwrap(), answer);
    assert_eq!(*upstream.ask(streaming()).await.unwrap().collect().await.unwrap(), answer);
}

#[tokio::test]
async fn steps_are_taken_in_order_and_then_the_script_is_over() {
    let upstream = Scripted::new([Step::text("a"), Step::fail_with(ErrorKind::RateLimited)]);
    upstream.push(Step::text("c"));
    assert_eq!(upstream.ask(call()).await.unwrap().collect().await.unwrap().text(), "a");
    assert_eq!(upstream.clone().ask(call()).await.unwrap_err().kind(), ErrorKind::RateLimited);
    assert_eq!(upstream.ask(call()).await.unwrap().collect().await.unwrap().text(), "c");
    let over = upstream.ask(call()).await.unwrap_err();
    assert_eq!(over.kind(), ErrorKind::Internal);
    assert!(over.message().contains("the script is over"));
    assert_eq!(upstream.calls().len(), 4);
}

#[tokio::test]
async fn errors_and_heads_name_the_scripted_provider() {
    let upstream = Scripted::new([
        Step::fail_with(ErrorKind::Overloaded),
        Step::fail(Error::new(ErrorKind::Overloaded, "").at("other", "x")),
        Step::text("hi").head(|head| head.request_id = Some("req_1".into())),
    ])
    .named("anthropic", "claude");
    let error = upstream.ask(call()).await.unwrap_err();
    assert_eq!((error.provider(), error.model()), (Some("anthropic"), Some("claude")));
    assert_eq!(upstream.ask(call()).await.unwrap_err().provider(), Some("other"));
    let head = upstream.ask(call()).await.unwrap().head;
    assert_eq!(
        (&*head.provider, &*head.model, head.request_id.as_deref()),
        ("anthropic", "claude", Some("req_1"))
    );
}

#[tokio::test]
async fn a_script_may_look_at_the_call() {
    let upstream = Scripted::by(|call| Step::text(call.request().messages[0].text().to_uppercase()));
    assert_eq!(upstream.ask(call()).await.unwrap().collect().await.unwrap().text(), "ONE TWO THREE");
}

#[tokio::test(start_paused = true)]
async fn delays_stand_before_the_head_and_between_the_pieces() {
    let second = Duration::from_secs(1);
    let pieces =
        [Piece::Wait(second), Piece::text("a"), Piece::Wait(2 * second), Piece::text("b"), Piece::stop()];
    let upstream = Scripted::new([Step::stream(pieces).after(4 * second)]);
    let begun = Instant::now();
    let mut chunks = upstream.ask(call()).await.unwrap().into_stream();
    assert_eq!(begun.elapsed(), 5 * second);
    chunks.next().await;
    assert_eq!(begun.elapsed(), 5 * second);
    chunks.next().await;
    assert_eq!(begun.elapsed(), 7 * second);
}

#[tokio::test]
async fn a_gate_holds_calls_back_until_it_is_opened() {
    let gate = Gate::new();
    let upstream = Scripted::repeating(Step::text("hi").behind(&gate));
    let asked: Vec<_> = (0..3).map(|_| tokio::spawn(upstream.ask(call()))).collect();
    assert_eq!(upstream.when(|counts| counts.in_flight == 3).await.calls, 3);
    gate.open();
    for asked in asked {
        asked.await.unwrap().unwrap();
    }
    let counts = upstream.counts();
    assert_eq!((counts.in_flight, counts.most_in_flight, counts.cancelled), (0, 3, 0));
}

#[tokio::test]
async fn dropped_futures_and_streams_are_counted_apart_from_ended_ones() {
    let upstream = Scripted::new([
        Step::hang(),
        Step::stream([Piece::text("a"), Piece::Stall]),
        Step::stream([Piece::text("a"), Piece::stop()]),
        Step::stream([Piece::text("a"), Piece::fail_with(ErrorKind::Network)]),
    ]);
    assert!(upstream.ask(call()).now_or_never().is_none());
    assert_eq!((upstream.counts().cancelled, upstream.counts().in_flight), (1, 0));
    let reply = upstream.ask(call()).await.unwrap();
    assert_eq!(upstream.counts().open_streams, 1);
    drop(reply);
    upstream.ask(call()).await.unwrap().collect().await.unwrap();
    upstream.ask(call()).await.unwrap().collect().await.unwrap_err();
    let counts = upstream.counts();
    assert_eq!((counts.open_streams, counts.dropped_streams, counts.cancelled), (0, 1, 1));
}

#[tokio::test]
async fn a_call_that_was_never_polled_is_a_cancelled_one() {
    let mut upstream = Scripted::new([Step::text("hi")]);
    std::future::poll_fn(|task| upstream.poll_ready(task)).await.unwrap();
    drop(upstream.call(call()));
    assert_eq!((upstream.counts().calls, upstream.counts().cancelled), (1, 1));
}

#[tokio::test]
#[should_panic(expected = "not polled ready")]
async fn a_call_on_an_unready_handle_panics() {
    let mut ready = Scripted::new([Step::text("hi")]);
    std::future::poll_fn(|task| ready.poll_ready(task)).await.unwrap();
    let _ = ready.clone().call(call()).await;
}

#[tokio::test]
async fn readiness_is_a_place_that_a_call_gives_back() {
    let upstream = Scripted::repeating(Step::hang());
    upstream.set_places(1);
    let mut handle = upstream.clone();
    std::future::poll_fn(|task| handle.poll_ready(task)).await.unwrap();
    assert!(
        upstream.ask(call()).now_or_never().is_none() && upstream.counts().calls == 0,
        "no place is left"
    );
    let running = handle.call(call());
    assert_eq!(upstream.places_taken(), 1);
    drop(running);
    assert_eq!(upstream.places_taken(), 0);
    upstream.set_places(0);
    assert!(
        std::future::poll_fn(|task| handle.poll_ready(task)).now_or_never().is_none(),
        "readiness is withheld"
    );
}

#[tokio::test]
async fn an_embedder_gives_each_text_a_vector_of_its_own() {
    let embedder = ScriptedEmbedder::new([]);
    let texts = EmbedRequest::new("e", vec!["a mast".into(), "a sail".into(), "a mast".into()]);
    let reply = embedder.embed(EmbedCall::new(texts)).await.unwrap();
    let [mast, sail, again] = &reply.vectors[..] else { panic!("one vector per text") };
    assert_eq!(mast, again);
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    assert!((product(mast, mast) - 1.0).abs() < 1e-5, "a unit vector");
    assert!(product(mast, sail) < 0.95);
    assert_eq!(reply.usage, Some(Usage::new(6, 0)));
}

#[tokio::test(start_paused = true)]
async fn an_embedder_takes_its_steps_first() {
    let embedder = ScriptedEmbedder::by(|text| vec![text.len() as f32]);
    embedder.push(EmbedStep::fail_with(ErrorKind::RateLimited));
    embedder.push(EmbedStep::vectors(vec![vec![7.0]]));
    embedder.push(EmbedStep::hang());
    embedder.push(EmbedStep::by_text().after(Duration::from_secs(3)));
    let ask = || {
        let mut request = EmbedRequest::new("e", vec![]);
        request.input = EmbedInput::Text("four".into());
        embedder.embed(EmbedCall::new(request))
    };
    let error = ask().await.unwrap_err();
    assert_eq!((error.kind(), error.provider()), (ErrorKind::RateLimited, Some("scripted")));
    assert_eq!(ask().await.unwrap().vectors, [[7.0]]);
    assert!(ask().now_or_never().is_none());
    let begun = Instant::now();
    assert_eq!(ask().await.unwrap().vectors, [[4.0]]);
    assert_eq!(
        (begun.elapsed(), embedder.counts().calls, embedder.counts().cancelled),
        (Duration::from_secs(3), 4, 1)
    );
    assert_eq!(embedder.calls()[0].request.model, "e");
    let _boxed = embedder.clone().boxed_embedder();
    let _request: ChatRequest = ChatRequest::new("m", vec![]);
}

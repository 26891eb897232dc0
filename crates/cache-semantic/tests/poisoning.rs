//! What must never be kept (security test 16).

mod common;

use common::{ask, ask_in, builder, echo, is_hit, settle, with};
use mainstay_provider_core::chat::{ChatResponse, FinishReason, Message, ToolCall};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{CacheStatus, Call, ChatRequest, ErrorKind, Level, Namespace, Provider};
use tower::Layer;

const QUESTION: &str = "How do I reset my password?";

fn streamed() -> Call {
    let mut request = ChatRequest::new("m", vec![Message::user(QUESTION)]);
    request.stream = Some(true);
    Call::new(request)
}

/// After `first` was asked, the question is asked upstream again.
async fn is_not_kept(step: Step, first: Call) {
    let upstream = Scripted::new([step, Step::text("fresh"), Step::text("fresh")]);
    let layer = builder().build().expect("the settings are right");
    let provider = layer.layer(upstream);
    if let Ok(reply) = provider.ask(first).await {
        let _whole = reply.collect().await;
    }
    settle().await;
    assert_eq!(layer.cache().stats().kept, 0);
    let again = provider.ask(ask(QUESTION)).await.expect("the provider answers");
    assert!(!is_hit(&again));
    assert_eq!(again.answer().expect("it is whole").text(), "fresh");
}

fn finished(message: Message, reason: FinishReason) -> Step {
    Step::answer(ChatResponse::new("m", message, reason))
}

#[tokio::test(start_paused = true)]
async fn errors_and_parts_are_not_kept() {
    is_not_kept(Step::fail_with(ErrorKind::Overloaded), ask(QUESTION)).await;
    is_not_kept(finished(Message::assistant("half an ans"), FinishReason::Length), ask(QUESTION)).await;
    is_not_kept(
        Step::stream([Piece::Role, Piece::text("half "), Piece::fail_with(ErrorKind::Network)]),
        streamed(),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn refusals_filtered_answers_and_tool_calls_are_not_kept() {
    is_not_kept(finished(Message::assistant("I"), FinishReason::ContentFilter), ask(QUESTION)).await;
    let mut refusal = Message::empty(mainstay_provider_core::chat::Role::Assistant);
    refusal.refusal = Some("I cannot help with that.".into());
    is_not_kept(finished(refusal, FinishReason::Stop), ask(QUESTION)).await;
    let mut call = Message::empty(mainstay_provider_core::chat::Role::Assistant);
    call.tool_calls = vec![ToolCall::function("1", "drop_table", "{}")];
    is_not_kept(finished(call, FinishReason::ToolCalls), ask(QUESTION)).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_the_caller_left_is_not_kept() {
    let upstream = Scripted::new([
        Step::stream([Piece::Role, Piece::text("half "), Piece::text("an answer"), Piece::stop()]),
        Step::text("fresh"),
    ]);
    let provider = builder().build().unwrap().layer(upstream);
    let mut chunks = provider.ask(streamed()).await.unwrap().into_stream();
    chunks.next().await;
    chunks.next().await;
    drop(chunks);
    settle().await;
    assert!(!is_hit(&provider.ask(ask(QUESTION)).await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_spare_answer_is_not_kept() {
    is_not_kept(Step::text("sorry").head(|head| head.level = Level::Static), ask(QUESTION)).await;
    is_not_kept(Step::text("sorry").head(|head| head.shortened = 2), ask(QUESTION)).await;
    let stale = CacheStatus::Stale { age: std::time::Duration::from_secs(9) };
    is_not_kept(Step::text("sorry").head(move |head| head.cache = stale), ask(QUESTION)).await;
}

/// `n > 1`, tools, other parameters: neither kept nor served.
#[tokio::test(start_paused = true)]
async fn calls_of_another_sort_neither_read_nor_write() {
    let layer = builder().build().unwrap();
    let provider = layer.layer(echo());
    provider.ask(ask(QUESTION)).await.unwrap();
    settle().await;
    let changed = |change: fn(&mut ChatRequest)| {
        let mut call = ask(QUESTION);
        change(call.request_mut());
        call
    };
    let others: [fn(&mut ChatRequest); 7] = [
        |request| request.n = Some(2),
        |request| request.logprobs = Some(true),
        |request| request.temperature = Some(1.5),
        |request| request.model = "m2".into(),
        |request| request.max_tokens = Some(3),
        |request| {
            let tool = mainstay_provider_core::chat::Tool::function("f", "", serde_json::json!({}));
            request.tools = vec![tool];
        },
        |request| request.messages.insert(0, Message::system("Answer in rhyme.")),
    ];
    for change in others {
        assert!(!is_hit(&provider.ask(changed(change)).await.unwrap()));
        settle().await;
    }
    // And none of them has put its answer into the place of the first.
    let reply = provider.ask(ask("How can I reset my password?")).await.unwrap();
    assert!(is_hit(&reply));
    assert_eq!(reply.answer().unwrap().text(), format!("about: {QUESTION}"));
}

/// An empty question embeds to one place: it would be near to every other empty one (headroom #3226).
#[tokio::test(start_paused = true)]
async fn empty_questions_are_never_the_same() {
    let layer = builder().build().unwrap();
    let provider = layer.layer(echo());
    for _ in 0..2 {
        for text in ["", "   ", "\n\t"] {
            assert!(!is_hit(&provider.ask(ask(text)).await.unwrap()));
            settle().await;
        }
    }
    assert_eq!(layer.cache().stats().kept, 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_wants_nothing_kept_is_obeyed() {
    let layer = builder().build().unwrap();
    let provider = layer.layer(echo());
    provider.ask(with(ask(QUESTION), |context| context.cache.no_store = true)).await.unwrap();
    settle().await;
    assert_eq!(layer.cache().stats().kept, 0);
}

// What is forgotten is not there again because somebody had asked for it before.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_under_way_during_a_purge_is_not_kept() {
    let late = Scripted::by(|_| Step::text("late").after(std::time::Duration::from_secs(1)));
    let layer = builder().build().unwrap();
    let provider = layer.layer(late);
    let under_way = tokio::spawn(provider.ask(ask_in("a", QUESTION)));
    settle().await;
    layer.cache().purge(&Namespace::new("a")).await.unwrap();
    under_way.await.unwrap().unwrap();
    settle().await;
    assert!(!is_hit(&provider.ask(ask_in("a", QUESTION)).await.unwrap()));
    settle().await;
    assert!(is_hit(&provider.ask(ask_in("a", QUESTION)).await.unwrap()), "a purge is for once");
}

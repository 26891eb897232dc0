//! A conversation that is longer than the model's window loses its oldest turns.

mod common;

use std::sync::Arc;

use common::{Setup, answers, attribute, error, seconds};
use mainstay_provider_core::chat::{Role, Tool, ToolCall};
use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_provider_core::{Call, ChatRequest, ErrorKind, Message, Next, Provider, Subject};
use mainstay_retry::{RetryBuilder, Shorten, Summariser};

/// `turns` turns of 200 bytes each, after instructions and before a last question.
fn conversation(turns: usize) -> Call {
    let mut messages = vec![Message::system("You are a rigger.")];
    for turn in 0..turns {
        messages.push(Message::user(format!("{turn:03} {}", "q".repeat(80))));
        messages.push(Message::assistant(format!("{turn:03} {}", "a".repeat(80))));
    }
    messages.push(Message::user("And the last question?"));
    Call::new(ChatRequest::new("sim-1", messages))
}

fn too_long(message: &str) -> Step {
    Step::fail(mainstay_provider_core::Error::new(ErrorKind::ContextLengthExceeded, message).with_status(400))
}

fn lengths(setup: &Setup) -> Vec<usize> {
    setup.upstream.calls().iter().map(|call| call.request().messages.len()).collect()
}

// S2.1
#[tokio::test(start_paused = true)]
async fn the_oldest_turns_go_and_the_head_says_how_many() {
    let message = "This model's maximum context length is 5000 tokens. However, your messages resulted in 10000 tokens.";
    let setup = Setup::standard([too_long(message), answers()]);
    let reply = setup.retry.ask(conversation(100)).await.unwrap();
    let sent = setup.upstream.calls();
    let (before, after) = (&sent[0].request().messages, &sent[1].request().messages);
    // Half of it fits, and a twentieth less is kept.
    let share = after.len() as f64 / before.len() as f64;
    assert!((0.45..0.5).contains(&share), "{share}");
    assert_eq!(reply.head.shortened as usize, before.len() - after.len());
    assert_eq!(after[0], before[0], "the instructions");
    assert_eq!(after[1..], before[before.len() + 1 - after.len()..], "the newest, in order");
    assert_eq!(after[1].role, Role::User);
    let events = setup.take_events();
    assert_eq!((events.len(), events[0].name), (1, "retry.shortened"));
    assert_eq!(attribute(&events[0], "messages"), reply.head.shortened.to_string());
    assert_eq!(attribute(&events[0], "summarised"), "no");
}

// 20,000 bytes of turns and 8,000 of tools: half of both fits, and the tools stay
#[tokio::test(start_paused = true)]
async fn what_must_stay_takes_its_part_of_what_fits() {
    let setup = Setup::standard([too_long("10000 tokens > 5000 maximum"), answers()]);
    let mut call = conversation(100);
    call.request_mut().tools = vec![Tool::function("look_up", "d".repeat(7_970), serde_json::json!({}))];
    setup.retry.ask(call).await.unwrap();
    let share = lengths(&setup)[1] as f64 / lengths(&setup)[0] as f64;
    assert!((0.23..0.28).contains(&share), "{share}");
}

// 20,000 bytes are about 5,000 tokens
#[tokio::test(start_paused = true)]
async fn an_excess_alone_is_enough() {
    let message = "prompt too long; exceeded max context length by 2500 tokens";
    let setup = Setup::standard([too_long(message), answers()]);
    setup.retry.ask(conversation(100)).await.unwrap();
    let share = lengths(&setup)[1] as f64 / lengths(&setup)[0] as f64;
    assert!((0.45..0.5).contains(&share), "{share}");
}

#[tokio::test(start_paused = true)]
async fn without_figures_about_seven_tenths_stay() {
    let setup = Setup::standard([too_long("Input is too long."), answers()]);
    setup.retry.ask(conversation(100)).await.unwrap();
    let share = lengths(&setup)[1] as f64 / lengths(&setup)[0] as f64;
    assert!((0.67..0.71).contains(&share), "{share}");
}

#[tokio::test(start_paused = true)]
async fn the_callers_own_request_is_not_changed_and_nothing_waits() {
    let setup = Setup::standard([too_long("Input is too long."), answers()]);
    let call = conversation(10);
    let before = call.shared_request().clone();
    let (result, took) = setup.call(call.clone()).await;
    assert_eq!((result.unwrap().as_str(), took), ("done", seconds(0)));
    assert!(Arc::ptr_eq(&before, call.shared_request()));
    assert_eq!(lengths(&setup)[0], 22);
}

// Fault bench: it is never sent again unchanged
#[tokio::test(start_paused = true)]
async fn it_is_shortened_at_most_twice_and_each_time_more() {
    let setup = Setup::standard(vec![too_long("Input is too long."); 5]);
    let error = setup.retry.ask(conversation(100)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContextLengthExceeded);
    let lengths = lengths(&setup);
    assert_eq!(lengths.len(), 3);
    assert!(lengths.is_sorted_by(|longer, shorter| longer > shorter), "{lengths:?}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_shortened_is_sent_once() {
    let setup = Setup::standard([too_long("Input is too long."), answers()]);
    let error = setup.retry.ask(Call::ask("sim-1", "one long question")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContextLengthExceeded);
    assert_eq!(setup.calls(), 1);
    assert!(setup.events().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_bare_layer_leaves_a_conversation_as_it_is() {
    let setup = Setup::bare([too_long("Input is too long."), answers()]);
    assert!(setup.retry.ask(conversation(10)).await.is_err());
    let setup = Setup::new(RetryBuilder::standard().shorten(Shorten::Off), [too_long("Input is too long.")]);
    assert!(setup.retry.ask(conversation(10)).await.is_err());
}

// A larger window first
#[tokio::test(start_paused = true)]
async fn a_router_that_knows_a_larger_window_is_followed_first() {
    for next in [Next::Peer, Next::Fallback] {
        let larger = Step::fail(error(ErrorKind::ContextLengthExceeded).with_next(next));
        let setup = Setup::standard([larger, too_long("Input is too long."), answers()]);
        let reply = setup.retry.ask(conversation(10)).await.unwrap();
        let lengths = lengths(&setup);
        assert_eq!((lengths[0], lengths[1]), (22, 22));
        assert!(lengths[2] < 22 && reply.head.shortened > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn tool_calls_stay_with_their_results() {
    let mut messages =
        vec![Message::user("old"), Message::assistant("done"), Message::user("count the ropes")];
    for step in 0..20 {
        let id = format!("call_{step}");
        let calls = vec![ToolCall::function(&id, "count", "{}")];
        messages.push(Message { tool_calls: calls, ..Message::empty(Role::Assistant) });
        messages.push(Message::tool(&id, "x".repeat(200)));
    }
    let setup = Setup::standard([too_long("Input is too long."), answers()]);
    setup.retry.ask(Call::new(ChatRequest::new("sim-1", messages))).await.unwrap();
    let sent = setup.upstream.calls();
    let kept = &sent[1].request().messages;
    assert!(kept.len() < 32, "{}", kept.len());
    assert_eq!(kept[0].text(), "count the ropes");
    for pair in kept[1..].chunks(2) {
        assert_eq!(Some(&pair[0].tool_calls[0].id), pair[1].tool_call_id.as_ref());
    }
    assert_eq!(kept.last().unwrap().tool_call_id.as_deref(), Some("call_19"));
}

// After that the call is retried like any other
#[tokio::test(start_paused = true)]
async fn a_shortened_call_still_has_its_attempts() {
    let overloaded = || Step::fail_with(ErrorKind::Overloaded);
    let setup = Setup::standard([too_long("Input is too long."), overloaded(), overloaded(), answers()]);
    let reply = setup.retry.ask(conversation(10)).await.unwrap();
    assert_eq!(reply.head.attempts, 4);
    let lengths = lengths(&setup);
    assert!(lengths[1..].iter().all(|length| *length == lengths[1]), "{lengths:?}");
}

fn with_summariser(cheap: &Scripted) -> RetryBuilder {
    RetryBuilder::standard().summariser(Summariser::new(cheap.clone(), "cheap-1").timeout(seconds(5)))
}

// S2.1: summarise
#[tokio::test(start_paused = true)]
async fn what_goes_is_summed_up_by_a_cheap_model() {
    let cheap = Scripted::repeating(Step::text(" They spoke of ropes. "));
    let setup = Setup::new(with_summariser(&cheap), [too_long("Input is too long."), answers()]);
    let mut call = conversation(100);
    call.context_mut().subjects = vec![Subject::new("user", "alice")];
    let reply = setup.retry.ask(call).await.unwrap();

    let asked = &cheap.calls()[0];
    assert_eq!((asked.model(), asked.request().max_tokens), ("cheap-1", Some(400)));
    assert_eq!(asked.context().subjects, [Subject::new("user", "alice")], "the same pays");
    let transcript = asked.request().messages[1].text().into_owned();
    assert!(transcript.starts_with("user: 000 ") && transcript.contains("assistant: 000 "));
    assert!(!transcript.contains("rigger") && !transcript.contains("099"));

    let sent = setup.upstream.calls();
    let messages = &sent[1].request().messages;
    assert_eq!(messages[0].role, Role::System);
    assert_eq!(messages[1].role, Role::User, "a summary is no instruction");
    assert!(messages[1].text().ends_with("\nThey spoke of ropes."));
    assert_eq!(messages[2].role, Role::User);
    // 20,000 bytes: seven tenths fit, and the summary takes up 1,600.
    assert!((122..128).contains(&messages.len()), "{}", messages.len());
    assert_eq!(reply.head.shortened as usize, 202 - (messages.len() - 1));
    assert_eq!(attribute(&setup.take_events()[0], "summarised"), "yes");
}

#[tokio::test(start_paused = true)]
async fn a_summariser_that_fails_hangs_or_says_nothing_is_done_without() {
    for (step, took) in [(Step::fail_with(ErrorKind::Network), 0), (Step::hang(), 5), (Step::text(" "), 0)] {
        let cheap = Scripted::repeating(step);
        let setup = Setup::new(with_summariser(&cheap), [too_long("Input is too long."), answers()]);
        let (result, time) = setup.call(conversation(100)).await;
        assert_eq!((result.unwrap().as_str(), time), ("done", seconds(took)));
        assert_eq!(setup.upstream.calls()[1].request().messages[1].text().get(..1), Some("0"));
    }
}

// D1
#[tokio::test(start_paused = true)]
async fn a_summariser_takes_at_most_half_of_the_time_that_is_left() {
    let cheap = Scripted::repeating(Step::hang());
    let setup = Setup::new(with_summariser(&cheap), [too_long("Input is too long."), answers()]);
    let mut call = conversation(100);
    call.context_mut().deadline = Some(tokio::time::Instant::now() + seconds(4));
    let (result, time) = setup.call(call).await;
    assert_eq!((result.unwrap().as_str(), time), ("done", seconds(2)));
}

// Its summary is then among the oldest
#[tokio::test(start_paused = true)]
async fn a_second_round_sums_up_the_first_summary_too() {
    let cheap = Scripted::new([Step::text("First summary."), Step::text("Second summary.")]);
    let long = || too_long("Input is too long.");
    let setup = Setup::new(with_summariser(&cheap), [long(), long(), answers()]);
    setup.retry.ask(conversation(100)).await.unwrap();
    assert!(cheap.calls()[1].request().messages[1].text().contains("First summary."));
    let last = &setup.upstream.calls()[2];
    let texts: Vec<_> = last.request().messages.iter().map(|message| message.text().into_owned()).collect();
    assert!(texts[1].contains("Second summary."));
    assert!(!texts.iter().any(|text| text.contains("First summary.")));
}

#[tokio::test(start_paused = true)]
async fn streams_are_shortened_alike() {
    let setup = Setup::standard([too_long("Input is too long."), answers()]);
    let mut call = conversation(10);
    call.request_mut().stream = Some(true);
    let reply = setup.retry.ask(call).await.unwrap();
    assert!(reply.is_stream() && reply.head.shortened > 0);
}

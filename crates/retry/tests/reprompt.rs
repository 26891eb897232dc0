//! A tool call that cannot be read is asked for again, once, with the error in the prompt.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{Setup, fails};
use mainstay_provider_core::chat::{ChatResponse, Role, Tool, ToolCall};
use mainstay_provider_core::test_kit::{Piece, Step};
use mainstay_provider_core::{Call, ChatRequest, ErrorKind, FinishReason, Message, Next, Provider, Usage};
use mainstay_retry::{RetryBudget, RetryBuilder, RetryLayer};
use serde_json::json;

fn with_tools() -> Call {
    let mut request = ChatRequest::new("sim-1", vec![Message::user("How is the weather in Paris?")]);
    let parameters =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    request.tools = vec![
        Tool::function("get_weather", "The weather.", parameters),
        Tool::function("free", "Anything.", json!({"type": "object", "properties": {"a": {}}})),
    ];
    Call::new(request)
}

fn calls_tool(arguments: &str) -> Step {
    calls_tool_and(arguments, FinishReason::ToolCalls)
}

fn calls_tool_and(arguments: &str, finish: FinishReason) -> Step {
    let calls = vec![ToolCall::function("call_1", "get_weather", arguments)];
    let message = Message { tool_calls: calls, ..Message::empty(Role::Assistant) };
    let usage = Some(Usage::new(10, 5).into());
    Step::answer(ChatResponse { usage, ..ChatResponse::new("sim-1", message, finish) })
}

const GOOD: &str = r#"{"city": "Paris"}"#;
const BAD: &str = r#"{"city": "Paris""#;

async fn arguments(setup: &Setup, call: Call) -> String {
    let answer = setup.retry.ask(call).await.unwrap().collect().await.unwrap();
    answer.choices[0].message.tool_calls[0].function.as_ref().unwrap().arguments.clone()
}

// S2.1: the error message in the reprompt, and a stricter schema
#[tokio::test(start_paused = true)]
async fn a_provider_that_reports_a_malformed_tool_call_is_asked_again_with_what_was_wrong() {
    for builder in [RetryLayer::builder(), RetryBuilder::standard()] {
        let report = mainstay_provider_core::Error::new(
            ErrorKind::MalformedToolCall,
            "Failed to call a function: unexpected end of input",
        );
        let setup = Setup::new(builder, [Step::fail(report), calls_tool(GOOD)]);
        assert_eq!(arguments(&setup, with_tools()).await, GOOD);
        let sent = setup.upstream.calls();
        let (first, again) = (sent[0].request(), sent[1].request());
        assert_eq!(again.messages[..1], first.messages[..]);
        let told = again.messages.last().unwrap();
        assert_eq!(told.role, Role::User);
        assert!(told.text().contains("Failed to call a function: unexpected end of input"));
        let strict = |at: usize| again.tools[at].function.as_ref().and_then(|function| function.strict);
        assert_eq!((strict(0), strict(1)), (Some(true), None), "where the schema lets it");
        assert_eq!(setup.events(), ["retry.reprompted"]);
    }
}

// S2.1: also when the provider has not noticed
#[tokio::test(start_paused = true)]
async fn an_answer_whose_arguments_are_not_json_is_asked_for_again() {
    let setup = Setup::standard([calls_tool(BAD), calls_tool(GOOD)]);
    let reply = setup.retry.ask(with_tools()).await.unwrap();
    assert_eq!(reply.head.attempts, 2);
    assert_eq!(reply.usage(), Some(Usage::new(20, 10)), "both answers were paid for");
    let sent = setup.upstream.calls();
    let told = sent[1].request().messages.last().unwrap().text().into_owned();
    assert!(told.contains("`get_weather`") && told.contains("EOF while parsing"), "{told}");
    assert_eq!(setup.events(), ["retry.reprompted"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_can_be_read_is_left_alone() {
    for good in [GOOD, "", " ", "{}"] {
        let setup = Setup::standard([calls_tool(good)]);
        assert_eq!(arguments(&setup, with_tools()).await, good);
        assert_eq!(setup.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn without_tools_on_offer_nobody_looks() {
    let setup = Setup::standard([calls_tool(BAD)]);
    assert_eq!(arguments(&setup, Call::ask("sim-1", "hello")).await, BAD);
}

#[tokio::test(start_paused = true)]
async fn it_can_be_switched_off() {
    let setup = Setup::new(RetryBuilder::standard().reprompt(false), [calls_tool(BAD)]);
    assert_eq!(arguments(&setup, with_tools()).await, BAD);
    let report = [fails(ErrorKind::MalformedToolCall)];
    let setup = Setup::new(RetryBuilder::standard().reprompt(false), report);
    assert!(setup.retry.ask(with_tools()).await.is_err());
}

// The same would be cut off at the same length again
#[tokio::test(start_paused = true)]
async fn an_answer_that_was_cut_off_at_its_length_is_not_asked_for_again() {
    let setup = Setup::standard([calls_tool_and(BAD, FinishReason::Length)]);
    assert_eq!(arguments(&setup, with_tools()).await, BAD);
}

#[tokio::test(start_paused = true)]
async fn the_model_is_told_once_and_the_caller_gets_what_there_is() {
    let setup = Setup::standard([calls_tool(BAD), calls_tool("also bad"), calls_tool(GOOD)]);
    assert_eq!(arguments(&setup, with_tools()).await, "also bad");
    assert_eq!(setup.calls(), 2);

    let malformed = || fails(ErrorKind::MalformedToolCall);
    let setup = Setup::standard([malformed(), malformed(), calls_tool(GOOD)]);
    let error = setup.retry.ask(with_tools()).await.unwrap_err();
    assert_eq!((error.kind(), setup.calls()), (ErrorKind::MalformedToolCall, 2));
}

// An answer that cannot be used is better than none
#[tokio::test(start_paused = true)]
async fn when_asking_again_fails_the_caller_gets_the_first_answer() {
    let setup = Setup::standard([calls_tool(BAD), fails(ErrorKind::InvalidRequest)]);
    let reply = setup.retry.ask(with_tools()).await.unwrap();
    assert_eq!(reply.head.attempts, 2);
    assert_eq!(reply.usage(), Some(Usage::new(10, 5)));
    let empty = RetryBudget::new(0.001, 1).unwrap();
    assert!(mainstay_provider_core::Allowance::withdraw(&empty));
    let setup = Setup::new(RetryBuilder::standard().budget(empty), [calls_tool(BAD)]);
    assert_eq!(arguments(&setup, with_tools()).await, BAD);
}

// Between the two the usual happens
#[tokio::test(start_paused = true)]
async fn a_failure_after_the_model_was_told_is_retried() {
    let setup = Setup::standard([calls_tool(BAD), fails(ErrorKind::Overloaded), calls_tool(GOOD)]);
    assert_eq!(arguments(&setup, with_tools()).await, GOOD);
}

// Not the refusal of what we made of the request
#[tokio::test(start_paused = true)]
async fn a_provider_that_refuses_the_changed_request_is_not_what_the_caller_hears_of() {
    let setup = Setup::standard([fails(ErrorKind::MalformedToolCall), fails(ErrorKind::InvalidRequest)]);
    let error = setup.retry.ask(with_tools()).await.unwrap_err();
    let kinds: Vec<_> = error.attempts().iter().map(|error| error.kind()).collect();
    assert_eq!(error.kind(), ErrorKind::MalformedToolCall);
    assert_eq!(kinds, [ErrorKind::MalformedToolCall, ErrorKind::InvalidRequest]);
}

#[tokio::test(start_paused = true)]
async fn a_router_with_a_peer_is_told_too() {
    let error = mainstay_provider_core::Error::new(ErrorKind::MalformedToolCall, "unreadable");
    let setup = Setup::standard([Step::fail(error.with_next(Next::Peer)), calls_tool(GOOD)]);
    assert_eq!(arguments(&setup, with_tools()).await, GOOD);
    assert_eq!(setup.upstream.calls()[1].request().messages.len(), 2);
}

// T6
#[tokio::test(start_paused = true)]
async fn a_stream_is_not_looked_at() {
    let pieces = vec![
        Piece::tool_call(0, "call_1", "get_weather"),
        Piece::arguments(0, BAD),
        Piece::Finish(FinishReason::ToolCalls),
    ];
    let setup = Setup::standard([Step::stream(pieces)]);
    let mut call = with_tools();
    call.request_mut().stream = Some(true);
    assert_eq!(arguments(&setup, call).await, BAD);
    assert_eq!(setup.calls(), 1);
}

//! Errors are for acting on, and show nothing that a user or a provider wrote.
#![allow(clippy::unwrap_used)]

use std::error::Error as _;
use std::time::Duration;

use mainstay_provider_core::chat::{ChatRequest, Message};
use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_provider_core::{
    Call, ChatResponse, Context, ContextData, EmbedCall, EmbedRequest, Error, ErrorKind, FinishReason, Keep,
    Provider, RateLimits, Remedy, RetrievedChunk, Timer,
};

const PROMPT: &str = "canary-prompt";
const KEY: &str = "sk-canary-key";

fn full() -> Error {
    Error::new(ErrorKind::RateLimited, format!("Incorrect API key {KEY}: you asked {PROMPT}"))
        .at("anthropic", "claude")
        .with_deployment("eu-1")
        .with_status(429)
        .with_code("rate_limit_error")
        .with_param("messages")
        .with_request_id("req_1")
        .with_retry_after(Duration::from_millis(1500))
        .with_rate_limits(RateLimits::default())
        .with_partial(ChatResponse::new("m", Message::assistant(PROMPT), FinishReason::Stop))
        .with_attempts(vec![Error::new(ErrorKind::Network, PROMPT)])
        .with_source(format!("{KEY} {PROMPT}"))
}

#[test]
fn display_tells_what_a_log_needs() {
    let shown = "anthropic/claude: rate_limited (HTTP 429, code rate_limit_error, request id req_1, deployment eu-1, \
                 retry after 1.500 s, failed attempts 1)";
    assert_eq!(full().to_string(), shown);
    assert_eq!(format!("{:?}", full()), format!("Error({shown})"));
    assert_eq!(Error::new(ErrorKind::Timeout(Timer::Idle), "x").to_string(), "timeout (idle)");
}

#[test]
fn no_prompt_and_no_key_is_in_display_or_debug() {
    let error = full();
    for shown in
        [format!("{error}"), format!("{error:?}"), format!("{error:#?}"), format!("{:?}", error.attempts())]
    {
        assert!(!shown.contains("canary"), "{shown}");
    }
    assert!(error.message().contains(PROMPT), "the caller gets the provider's words");
    assert!(error.source().is_some_and(|source| source.to_string().contains(KEY)), "the cause is kept apart");
}

#[tokio::test]
async fn no_prompt_and_no_answer_is_in_the_debug_form_of_what_layers_pass_around() {
    let mut request = ChatRequest::new("m", vec![Message::user(PROMPT)]);
    request.user = Some(PROMPT.into());
    let mut data = ContextData::default();
    data.properties.insert("name".into(), PROMPT.into());
    data.retrieved.push(RetrievedChunk { id: "1".into(), text: PROMPT.into(), score: None });
    let call = Call::new(request).with_context(Context::from(data));
    let embed = EmbedCall::new(EmbedRequest::new("m", vec![PROMPT.into()]));
    let reply = Scripted::new([Step::text(PROMPT)]).ask(call.clone()).await.unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let reply = reply.on_end_keeping(Keep::Chunks, move |end| sender.send(format!("{end:?}")).unwrap());
    for shown in [format!("{call:?}"), format!("{embed:?}"), format!("{reply:?}"), receiver.recv().unwrap()] {
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[test]
fn what_came_from_outside_cannot_forge_a_log_line() {
    let long = "x".repeat(10_000);
    let error = Error::new(ErrorKind::ServerError, "")
        .at("openai\n", format!("gpt\r\nERROR forged\u{1b}[31m{long}"))
        .with_code("a\nb")
        .with_request_id("c\u{0}d")
        .with_deployment(long);
    let shown = error.to_string();
    assert!(!shown.chars().any(char::is_control), "{shown}");
    assert!(shown.len() < 600, "{} characters", shown.len());
}

#[test]
fn every_kind_has_the_remedy_of_the_taxonomy() {
    // S2.1
    for (kind, remedy) in [
        (ErrorKind::RateLimited, Remedy::BackOff),
        (ErrorKind::ServerError, Remedy::BackOff),
        (ErrorKind::Overloaded, Remedy::BackOff),
        (ErrorKind::Network, Remedy::BackOff),
        (ErrorKind::Timeout(Timer::Upstream), Remedy::BackOff),
        (ErrorKind::Timeout(Timer::FirstToken), Remedy::FailOver),
        (ErrorKind::Unavailable, Remedy::FailOver),
        (ErrorKind::ModelNotFound, Remedy::FailOver),
        (ErrorKind::MalformedResponse, Remedy::FailOver),
        (ErrorKind::ContextLengthExceeded, Remedy::Shorten),
        (ErrorKind::MalformedToolCall, Remedy::Reprompt),
        (ErrorKind::ContentFiltered, Remedy::Rephrase),
        (ErrorKind::Authentication, Remedy::SwitchKey),
        (ErrorKind::PermissionDenied, Remedy::SwitchKey),
        (ErrorKind::QuotaExhausted, Remedy::SwitchKey),
        (ErrorKind::InvalidRequest, Remedy::GiveUp),
        (ErrorKind::LimitReached, Remedy::GiveUp),
        (ErrorKind::Configuration, Remedy::GiveUp),
        (ErrorKind::Internal, Remedy::GiveUp),
    ] {
        assert_eq!(kind.remedy(), remedy, "{kind}");
        assert_eq!(Error::new(kind, "").remedy(), remedy, "{kind}");
    }
}

#[test]
fn the_providers_own_word_on_retrying_counts() {
    let overloaded = Error::new(ErrorKind::Overloaded, "");
    assert_eq!(overloaded.clone().with_retryable(false).remedy(), Remedy::FailOver);
    assert_eq!(overloaded.with_retryable(true).remedy(), Remedy::BackOff);
    assert_eq!(Error::new(ErrorKind::InvalidRequest, "").with_retryable(true).remedy(), Remedy::BackOff);
    assert_eq!(Error::new(ErrorKind::Authentication, "").with_retryable(true).remedy(), Remedy::SwitchKey);
}

#[test]
fn a_clone_is_the_same_error_and_shares_its_cause() {
    let error = full();
    let mut clone = error.clone();
    assert_eq!(clone.to_string(), error.to_string());
    assert!(clone.source().is_some());
    assert!(clone.take_partial().is_some() && clone.partial().is_none() && error.partial().is_some());
}

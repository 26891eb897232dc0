//! What is spent in a minute, in requests and in tokens.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{Setup, limiter, pass, seconds, streaming, throttled, tokens, used};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{Call, Error, ErrorKind, Provider, Timer, Usage};
use mainstay_rate_limit::{Counting, Dimension, OutputTokens};

#[tokio::test(start_paused = true)]
async fn no_minute_has_more_requests_than_the_limit() {
    let setup = Setup::new(limiter().requests_per_minute(3));
    setup.pass().await;
    pass(30.2).await;
    setup.pass().await;
    setup.pass().await;
    // The first is forgotten when all of its second lies a minute back.
    assert_eq!(setup.refused().await, seconds(30.8));
    pass(30.8).await;
    setup.pass().await;
    assert_eq!(setup.refused().await, seconds(30.0));
}

#[tokio::test(start_paused = true)]
async fn tokens_are_reserved_and_corrected_by_what_was_used() {
    let setup = Setup::over(limiter().tokens_per_minute(1_000), Scripted::new([used(80, 10), used(300, 60)]));
    setup.pass().await;
    assert_eq!(setup.spent(Dimension::Tokens), 90, "150 were reserved");
    assert_eq!(setup.spent(Dimension::InputTokens), 80);
    assert_eq!(setup.spent(Dimension::OutputTokens), 10);
    setup.pass().await;
    assert_eq!(setup.spent(Dimension::Tokens), 450, "more was used than reserved");
    setup.refusal(tokens(600)).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_holds_its_reservation_to_its_end() {
    let setup = Setup::over(limiter().tokens_per_minute(200), Scripted::repeating(used(10, 5)));
    let reply = setup.limited.ask(streaming(tokens(100))).await.unwrap();
    assert_eq!((setup.spent(Dimension::Tokens), setup.handle.stats().in_flight), (150, 1));
    setup.refused().await;
    reply.collect().await.unwrap();
    assert_eq!((setup.spent(Dimension::Tokens), setup.handle.stats().in_flight), (15, 0));
    setup.pass().await;
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_tokens_has_a_limit_of_its_own() {
    let setup = Setup::over(
        limiter().input_tokens_per_minute(1_000).output_tokens_per_minute(60),
        Scripted::repeating(used(100, 50)),
    );
    setup.pass().await;
    setup.refused().await;
    let mut short = tokens(100);
    short.request_mut().max_tokens = Some(10);
    setup.call(short.clone()).await.unwrap();
    assert_eq!(setup.spent(Dimension::OutputTokens), 100, "it wrote more than it was asked for");
    let mut no_answer = tokens(900);
    no_answer.request_mut().max_tokens = Some(0);
    setup.refusal(no_answer).await;
}

#[tokio::test(start_paused = true)]
async fn replicas_share_the_configured_limits() {
    let setup = Setup::new(limiter().requests_per_minute(7).replicas(3));
    setup.pass().await;
    setup.pass().await;
    setup.refused().await;
}

// A provider may refuse it; it is not for us to say that it never fits.
#[tokio::test(start_paused = true)]
async fn a_call_larger_than_the_limit_goes_when_all_of_it_is_free() {
    let upstream = Scripted::repeating(used(10, 0).after(seconds(5.0)));
    let setup = Setup::over(limiter().tokens_per_minute(1_000), upstream);
    let call = setup.begin(tokens(5_000)).await;
    assert_eq!(setup.spent(Dimension::Tokens), 1_000, "all of it, and no more");
    call.await.unwrap();
    let wait = setup.refusal(tokens(5_000)).await;
    pass(wait.as_secs_f64()).await;
    setup.call(tokens(5_000)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_max_tokens_the_mean_of_the_answers_is_reserved() {
    let upstream = Scripted::repeating(used(100, 640).after(seconds(10.0)));
    let setup = Setup::over(limiter().expected_output(320), upstream);
    let mut call = tokens(100);
    call.request_mut().max_tokens = None;
    let reserved = async |setup: &Setup| {
        let before = setup.spent(Dimension::OutputTokens);
        let answer = setup.begin(call.clone()).await;
        let reserved = setup.spent(Dimension::OutputTokens) - before;
        answer.await.unwrap();
        reserved
    };
    assert_eq!(reserved(&setup).await, 320);
    assert_eq!(reserved(&setup).await, 340);
    for _ in 0..100 {
        reserved(&setup).await;
    }
    assert!(reserved(&setup).await > 635);
    call.request_mut().max_tokens = Some(100);
    call.request_mut().n = Some(3);
    let before = setup.spent(Dimension::OutputTokens);
    let _answer = setup.begin(call).await;
    assert_eq!(setup.spent(Dimension::OutputTokens) - before, 300, "three answers");
}

// What a failed call has used, as providers count it.
#[tokio::test(start_paused = true)]
async fn a_call_that_failed_has_used_what_the_provider_counts() {
    let kinds = [
        (ErrorKind::Unavailable, (0, 0)),
        (ErrorKind::LimitReached, (0, 0)),
        (ErrorKind::Configuration, (0, 0)),
        (ErrorKind::Timeout(Timer::Connect), (0, 0)),
        (ErrorKind::Network, (1, 0)),
        (ErrorKind::InvalidRequest, (1, 0)),
        (ErrorKind::Authentication, (1, 0)),
        (ErrorKind::ContextLengthExceeded, (1, 0)),
        (ErrorKind::Overloaded, (1, 0)),
        (ErrorKind::RateLimited, (1, 0)),
        (ErrorKind::ServerError, (1, 150)),
        (ErrorKind::ContentFiltered, (1, 150)),
        (ErrorKind::Timeout(Timer::FirstToken), (1, 150)),
        (ErrorKind::Timeout(Timer::Total), (1, 150)),
        (ErrorKind::MalformedResponse, (1, 150)),
    ];
    for (kind, spent) in kinds {
        let setup = Setup::over(limiter(), Scripted::new([Step::fail_with(kind)]));
        assert_eq!(setup.call(tokens(100)).await.unwrap_err().kind(), kind);
        assert_eq!((setup.spent(Dimension::Requests), setup.spent(Dimension::Tokens)), spent, "{kind}");
        assert_eq!(setup.handle.stats().in_flight, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_has_used_what_it_told_or_what_was_reserved() {
    let text = || [Piece::Role, Piece::text("yes")].into_iter();
    let cases = [
        (Step::stream(text().chain([Piece::Cut])), 150),
        (Step::stream(text().chain([Piece::Usage(Usage::new(20, 1)), Piece::Cut])), 21),
        (Step::stream(text().chain([Piece::Fail(throttled())])), 150),
    ];
    for (step, spent) in cases {
        let setup = Setup::over(limiter(), Scripted::new([step]));
        setup.call(streaming(tokens(100))).await.unwrap_err();
        assert_eq!(setup.spent(Dimension::Tokens), spent);
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_are_counted_as_the_provider_counts_them() {
    let mut usage = Usage::new(100, 10);
    usage.cache_read = 80;
    let spent = async |counting: Counting| {
        let setup =
            Setup::over(limiter().counting(counting), Scripted::new([Step::text("yes").usage(usage)]));
        setup.pass().await;
        (setup.spent(Dimension::InputTokens), setup.spent(Dimension::OutputTokens))
    };
    assert_eq!(spent(Counting::default()).await, (100, 10));
    assert_eq!(spent(Counting::of("groq")).await, (20, 10));
    assert_eq!(spent(Counting::of("anthropic")).await, (20, 10));
    assert_eq!(spent(Counting::of("cerebras")).await, (100, 50), "what was asked for, for good");
    assert_eq!(Counting::of("anthropic"), Counting::new(OutputTokens::AsWritten).without_cached_input());
}

// Anthropic: a large max_tokens costs nothing.
#[tokio::test(start_paused = true)]
async fn where_output_counts_as_it_is_written_max_tokens_reserves_no_more_than_the_mean() {
    let builder = limiter().counting(Counting::of("anthropic")).output_tokens_per_minute(1_000);
    let setup = Setup::over(builder, Scripted::repeating(Step::text("yes").after(seconds(5.0))));
    let mut call = tokens(100);
    call.request_mut().max_tokens = Some(100_000);
    let _answer = setup.begin(call).await;
    assert_eq!(setup.spent(Dimension::OutputTokens), 256);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cost_no_attempt_costs_no_place() {
    let cached = Step::text("yes").head(|head| head.attempts = 0);
    let setup = Setup::over(limiter().requests_per_minute(1), Scripted::repeating(cached));
    for stream in [false, true, false] {
        let call = if stream { streaming(tokens(100)) } else { tokens(100) };
        setup.call(call).await.unwrap();
    }
    assert_eq!(setup.spent(Dimension::Requests), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_usage_has_used_what_was_reserved() {
    let stream = Step::stream([Piece::text("yes"), Piece::stop()]);
    let setup = Setup::over(limiter(), Scripted::new([stream]));
    setup.call(streaming(tokens(100))).await.unwrap();
    assert_eq!(setup.spent(Dimension::Tokens), 150);
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_deployment_go_through_as_they_are() {
    let error = Error::new(ErrorKind::ServerError, "broken").with_status(500).with_request_id("r-1");
    let setup = Setup::over(limiter(), Scripted::new([Step::fail(error)]));
    let error = setup.call(Call::ask("m", "hello")).await.unwrap_err();
    assert_eq!((error.status(), error.request_id()), (Some(500), Some("r-1")));
}

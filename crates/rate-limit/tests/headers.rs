//! What the provider's headers say, and what a 429 says.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{Setup, limiter, pass, requests, seconds, streaming, telling, throttled, tokens, told};
use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_provider_core::{Error, ErrorKind, RateLimits, Usage};
use mainstay_rate_limit::{Counting, Dimension};

/// Fails with what the provider says of its request limit.
fn failing(error: Error, limits: RateLimits) -> Step {
    Step::fail(error.with_rate_limits(limits))
}

// S11.1
#[tokio::test(start_paused = true)]
async fn a_limit_that_the_headers_tell_is_kept_without_a_429() {
    let setup = Setup::over(limiter(), Scripted::repeating(telling(requests(told(1, 60, 20.0)))));
    setup.pass().await;
    setup.pass().await;
    assert_eq!(setup.refused().await, seconds(20.0));
    let requests = setup.handle.dimension(Dimension::Requests);
    assert_eq!((requests.reported, requests.configured, requests.learned), (Some(60), None, None));
    assert_eq!(requests.remaining, Some(0));
    assert_eq!(setup.handle.stats().throttled, 0);
    pass(20.0).await;
    setup.pass().await;
}

#[tokio::test(start_paused = true)]
async fn tokens_are_kept_as_requests_are() {
    let mut limits = RateLimits::default();
    limits.input_tokens = told(250, 100_000, 30.0);
    limits.output_tokens = told(20_000, 20_000, 0.0);
    let step = telling(limits).usage(Usage::new(250, 1));
    let setup = Setup::over(limiter(), Scripted::repeating(step));
    setup.call(tokens(250)).await.unwrap();
    setup.call(tokens(250)).await.unwrap();
    setup.refused().await;
}

#[tokio::test(start_paused = true)]
async fn the_headers_of_an_error_count_too() {
    let broken = Error::new(ErrorKind::ServerError, "broken");
    let setup = Setup::over(limiter(), Scripted::repeating(failing(broken, requests(told(0, 60, 33.0)))));
    setup.call(tokens(1)).await.unwrap_err();
    assert_eq!(setup.refused().await, seconds(33.0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_at_its_head() {
    let setup = Setup::over(limiter(), Scripted::repeating(telling(requests(told(0, 60, 33.0)))));
    let reply = mainstay_provider_core::Provider::ask(&setup.limited, streaming(tokens(1))).await.unwrap();
    setup.refused().await;
    drop(reply);
}

// Calls under way are not in the figure that an answer brings.
#[tokio::test(start_paused = true)]
async fn calls_under_way_are_taken_off_what_an_answer_tells() {
    let upstream = Scripted::by(|call| {
        let step = telling(requests(told(3, 60, 30.0)));
        if call.is_stream() { step.after(seconds(1.0)) } else { step.after(seconds(10.0)) }
    });
    let setup = Setup::over(limiter(), upstream);
    let quick = setup.begin(streaming(tokens(1))).await;
    let _slow = (setup.begin(tokens(1)).await, setup.begin(tokens(1)).await);
    quick.await.unwrap().collect().await.unwrap();
    assert_eq!(setup.handle.dimension(Dimension::Requests).remaining, Some(1));
}

// Where output counts as it is written, an answer's headers do not know what others under way have yet to write.
#[tokio::test(start_paused = true)]
async fn what_calls_under_way_have_yet_to_write_is_taken_off_too() {
    let upstream = Scripted::by(|call| {
        let mut limits = RateLimits::default();
        limits.output_tokens = told(5_000, 10_000, 20.0);
        let step = telling(limits).usage(Usage::new(1, 50));
        if call.is_stream() { step } else { step.after(seconds(10.0)) }
    });
    let setup = Setup::over(limiter().counting(Counting::of("anthropic")), upstream);
    let slow = [setup.begin(tokens(1)).await, setup.begin(tokens(1)).await];
    pass(1.0).await;
    let left = || setup.handle.dimension(Dimension::OutputTokens).remaining;
    setup.call(streaming(tokens(1))).await.unwrap();
    assert_eq!(left(), Some(4_850), "fifty each: two under way, and the one that tells it");
    for call in slow {
        call.await.unwrap();
    }
    pass(20.0).await;
    setup.call(streaming(tokens(1))).await.unwrap();
    assert_eq!(left(), Some(4_950), "they have ended");
}

// The headers of the last answer said that little is left, and the 429 says nothing.
#[tokio::test(start_paused = true)]
async fn a_429_near_the_end_of_what_is_left_is_waited_out_until_the_reset() {
    let steps = [telling(requests(told(5, 600, 30.0))), Step::fail(throttled()), Step::text("yes")];
    let setup = Setup::over(limiter(), Scripted::new(steps));
    setup.pass().await;
    setup.call(tokens(1)).await.unwrap_err();
    assert_eq!(setup.handle.dimension(Dimension::Requests).learned, None);
    assert_eq!(setup.refused().await, seconds(30.0));
}

#[tokio::test(start_paused = true)]
async fn headers_are_not_heeded_if_so_configured() {
    let setup =
        Setup::over(limiter().predict(false), Scripted::repeating(telling(requests(told(0, 60, 20.0)))));
    setup.pass().await;
    setup.pass().await;
}

// B7
#[tokio::test(start_paused = true)]
async fn a_429_with_a_hint_makes_all_calls_wait_for_it() {
    let error = || throttled().with_retry_after(seconds(20.0));
    let setup = Setup::over(limiter().learn(false), Scripted::new([Step::fail(error()), Step::text("yes")]));
    assert_eq!(setup.call(tokens(1)).await.unwrap_err().retry_after(), Some(seconds(20.0)));
    let wait = setup.refused().await;
    assert!(wait >= seconds(20.0) && wait <= seconds(22.0), "up to a tenth longer: {wait:?}");
    assert_eq!(setup.headroom(), 0.0);
    assert!(setup.handle.stats().paused_for.is_some());
    pass(wait.as_secs_f64()).await;
    assert_eq!(setup.headroom(), 1.0);
    setup.pass().await;
    assert_eq!(setup.handle.stats().paused_for, None);
}

// B7
#[tokio::test(start_paused = true)]
async fn the_later_of_two_hints_counts_and_the_longest_pause_is_capped() {
    let hint = |time| Step::fail(throttled().with_retry_after(seconds(time))).after(seconds(1.0));
    let setup = Setup::over(limiter().learn(false), Scripted::new([hint(100.0), hint(3.0), hint(9_999.0)]));
    let calls = [setup.begin(tokens(1)).await, setup.begin(tokens(1)).await, setup.begin(tokens(1)).await];
    let [first, second, third] = calls;
    first.await.unwrap_err();
    let after_first = setup.refused().await;
    assert!(after_first >= seconds(100.0));
    second.await.unwrap_err();
    assert_eq!(setup.refused().await, after_first);
    third.await.unwrap_err();
    assert_eq!(setup.refused().await, seconds(300.0));
}

#[tokio::test(start_paused = true)]
async fn come_again_at_once_is_no_hint() {
    let error = throttled().with_retry_after(seconds(0.0));
    let setup = Setup::over(limiter(), Scripted::new([Step::fail(error), Step::text("yes")]));
    setup.call(tokens(1)).await.unwrap_err();
    assert_eq!(setup.handle.stats().paused_for, None);
    setup.pass().await;
}

// A 429 for a limit that the headers show used up teaches nothing that is not known.
#[tokio::test(start_paused = true)]
async fn a_429_that_the_headers_explain_is_waited_out_and_teaches_no_limit() {
    let steps = [failing(throttled(), requests(told(0, 60, 12.0))), Step::text("yes")];
    let setup = Setup::over(limiter(), Scripted::new(steps));
    setup.call(tokens(1)).await.unwrap_err();
    assert_eq!(setup.handle.dimension(Dimension::Requests).learned, None);
    assert_eq!(setup.refused().await, seconds(12.0));
    pass(12.0).await;
    setup.pass().await;
}

#[tokio::test(start_paused = true)]
async fn headers_that_fall_silent_are_forgotten() {
    let steps = [telling(requests(told(0, 60, 20.0))), Step::text("yes"), Step::text("yes")];
    let setup = Setup::over(limiter(), Scripted::new(steps));
    setup.pass().await;
    assert_eq!(setup.handle.dimension(Dimension::Requests).reported, Some(60));
    pass(700.0).await;
    setup.pass().await;
    assert_eq!(setup.handle.dimension(Dimension::Requests).reported, None);
}

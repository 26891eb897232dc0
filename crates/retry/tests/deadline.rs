//! The caller's deadline: no wait that would pass it, no attempt that cannot end.

mod common;

use std::time::Duration;

use common::{Setup, answers, attribute, fails, rate_limited, seconds, whole};
use mainstay_provider_core::{Call, ErrorKind};
use mainstay_retry::RetryLayer;
use tokio::time::Instant;

fn within(time: Duration) -> Call {
    let mut call = whole();
    call.context_mut().deadline = Some(Instant::now() + time);
    call
}

// D1
#[tokio::test(start_paused = true)]
async fn a_wait_that_would_pass_the_deadline_is_not_begun() {
    let setup = Setup::bare([rate_limited(seconds(5)), answers()]);
    let (result, took) = setup.call(within(seconds(5))).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::RateLimited);
    assert_eq!((took, setup.calls()), (seconds(0), 1));
    let events = setup.take_events();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].name, attribute(&events[0], "by")), ("retry.exhausted", "deadline"));
}

// D1
#[tokio::test(start_paused = true)]
async fn a_wait_that_fits_is_taken_and_the_next_that_does_not_is_not() {
    let setup = Setup::bare(vec![fails(ErrorKind::Overloaded); 9]);
    let (result, took) = setup.call(within(seconds(6))).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Overloaded);
    // 1 to 1.5 s and 2 to 3 s; then 4 s would be too long.
    assert_eq!(setup.calls(), 3);
    assert!(took < seconds(5), "{took:?}");
}

// T5
#[tokio::test(start_paused = true)]
async fn an_attempt_is_not_begun_without_time_for_it() {
    for (left, calls) in [(2, 1), (4, 2)] {
        let builder = RetryLayer::builder().min_attempt(seconds(2));
        let setup = Setup::new(builder, [fails(ErrorKind::Overloaded), answers()]);
        let _result = setup.call(within(seconds(left))).await;
        assert_eq!(setup.calls(), calls, "{left} s left");
    }
}

// D1: the time that the attempts took counts
#[tokio::test(start_paused = true)]
async fn the_deadline_is_one_for_all_attempts() {
    let slow = || fails(ErrorKind::ServerError).after(seconds(4));
    let setup = Setup::bare([slow(), slow(), slow(), slow()]);
    let (result, took) = setup.call(within(seconds(10))).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::ServerError);
    assert_eq!(setup.calls(), 2);
    assert!(took < seconds(10), "{took:?}");
}

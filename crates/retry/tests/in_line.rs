//! A limit of our own that has no place yet is waited for: nobody was asked, so it costs nothing.

mod common;

use std::time::Duration;

use common::{Setup, answers, seconds, whole};
use mainstay_provider_core::test_kit::Step;
use mainstay_provider_core::{Error, ErrorKind, Next};
use mainstay_retry::{RetryBudget, RetryBuilder};

fn no_place(wait: u64) -> Error {
    Error::new(ErrorKind::LimitReached, "no place").with_retry_after(seconds(wait))
}

fn refusals(count: usize, wait: u64, next: Option<Next>) -> Vec<Step> {
    let refusal = |_| match next {
        Some(next) => Step::fail(no_place(wait).with_next(next)),
        None => Step::fail(no_place(wait)),
    };
    (0..count).map(refusal).chain([answers()]).collect()
}

// T1, S11.1: neither an attempt nor a token, with a router and without.
#[tokio::test(start_paused = true)]
async fn standing_in_line_is_no_attempt_and_takes_no_token() {
    for next in [None, Some(Next::Same { fallback: false })] {
        let budget = RetryBudget::default();
        let setup = Setup::new(RetryBuilder::standard().budget(budget.clone()), refusals(9, 1, next));
        let (result, took) = setup.call(whole()).await;
        assert_eq!(result.unwrap(), "done");
        assert!(seconds(9) <= took && took <= seconds(10), "{took:?}");
        assert_eq!(budget.left(), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn all_such_waits_of_a_call_together_are_bounded() {
    let setup = Setup::standard(refusals(100, 4, None));
    let (result, took) = setup.call(whole()).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::LimitReached);
    assert!(took <= seconds(30), "{took:?}");
    assert_eq!(setup.calls(), 8, "seven waits of four seconds fit into thirty");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_says_soon_for_ever_is_not_asked_in_a_circle() {
    let soon = Error::new(ErrorKind::LimitReached, "no place").with_retry_after(Duration::from_millis(1));
    let setup = Setup::standard((0..1_000).map(|_| Step::fail(soon.clone())));
    let (result, took) = setup.call(whole()).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::LimitReached);
    assert!(took <= seconds(30), "{took:?}");
    assert!(setup.calls() < 60, "{} times", setup.calls());
}

// Another deployment is asked again at once: that is an attempt.
#[tokio::test(start_paused = true)]
async fn a_place_that_is_there_at_once_is_somebody_elses_and_costs_a_retry() {
    let budget = RetryBudget::default();
    let builder = RetryBuilder::standard().budget(budget.clone());
    let setup = Setup::new(builder, refusals(9, 0, Some(Next::Same { fallback: false })));
    assert_eq!(setup.call(whole()).await.0.unwrap_err().kind(), ErrorKind::LimitReached);
    assert_eq!((setup.calls(), budget.left()), (3, 8));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_does_not_say_when_is_not_waited_for() {
    let setup = Setup::standard([Step::fail(Error::new(ErrorKind::LimitReached, "never")), answers()]);
    let (result, took) = setup.call(whole()).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::LimitReached);
    assert!(took.is_zero());
}

// D1: the deadline holds in line too.
#[tokio::test(start_paused = true)]
async fn a_wait_that_would_pass_the_deadline_is_not_begun() {
    let setup = Setup::standard(refusals(1, 5, None));
    let mut call = whole();
    call.context_mut().deadline = Some(tokio::time::Instant::now() + seconds(3));
    let (result, took) = setup.call(call).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::LimitReached);
    assert!(took.is_zero());
}

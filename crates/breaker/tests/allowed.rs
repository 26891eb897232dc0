//! It opens after more failures a minute than are allowed, as LiteLLM's router does.

mod common;

use common::{Act, Setup, pass, seconds};
use mainstay_breaker::{BreakerLayer, State};

fn allowing(fails: u32) -> Setup {
    Setup::new(BreakerLayer::builder().failures(None).allowed_fails(fails).recovery(seconds(60)))
}

// S1.5
#[tokio::test(start_paused = true)]
async fn one_failure_more_than_allowed_opens_it_whatever_succeeded_between() {
    let setup = allowing(3);
    for _ in 0..3 {
        setup.fail(1).await;
        setup.call(Act::Answer).await.unwrap();
        pass(seconds(5)).await;
    }
    assert_eq!(setup.handle.state(), State::Closed);
    setup.fail(1).await;
    assert!(matches!(setup.handle.state(), State::Open { .. }));
}

// S1.5
#[tokio::test(start_paused = true)]
async fn failures_older_than_a_minute_are_forgotten() {
    let setup = allowing(3);
    setup.fail(3).await;
    pass(seconds(60)).await;
    setup.fail(3).await;
    assert_eq!(setup.handle.state(), State::Closed);
    setup.fail(1).await;
    assert!(matches!(setup.handle.state(), State::Open { .. }));
}

// S1.5
#[tokio::test(start_paused = true)]
async fn when_none_is_allowed_the_first_failure_opens_it_and_after_a_recovery_it_counts_anew() {
    let setup = allowing(0);
    setup.fail(1).await;
    assert!(matches!(setup.handle.state(), State::Open { .. }));
    pass(seconds(60)).await;
    setup.call(Act::Answer).await.unwrap();
    assert_eq!(setup.handle.state(), State::Closed);

    let setup = allowing(1);
    setup.fail(2).await;
    pass(seconds(60)).await;
    setup.call(Act::Answer).await.unwrap();
    setup.fail(1).await;
    assert_eq!(setup.handle.state(), State::Closed);
}

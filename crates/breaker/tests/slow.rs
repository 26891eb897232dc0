//! Slow streams count, if asked: by the first token and by the gaps, never by their length.

mod common;

use common::{Act, RECOVERY, Setup, Step, pass, seconds, streaming};
use mainstay_breaker::{BreakerLayer, Slow, State};
use mainstay_provider_core::Provider;

fn late() -> Act {
    Act::Stream(vec![Step::Wait(seconds(4)), Step::Text, Step::Finish])
}

fn halting() -> Act {
    Act::Stream(vec![Step::Text, Step::Wait(seconds(3)), Step::Text, Step::Finish])
}

fn watched() -> Setup {
    Setup::new(BreakerLayer::builder().slow(Slow::first_token(seconds(3)).or(Slow::gap(seconds(2)))))
}

// B8
#[tokio::test(start_paused = true)]
async fn late_first_tokens_and_long_gaps_open_it() {
    for act in [late(), halting()] {
        let setup = watched();
        for _ in 0..5 {
            setup.call(act.clone()).await.unwrap();
        }
        assert!(matches!(setup.handle.state(), State::Open { .. }), "{act:?}");
        assert_eq!(setup.handle.stats().slow, 5);
    }
}

// B8
#[tokio::test(start_paused = true)]
async fn a_long_answer_at_a_good_pace_is_not_slow() {
    let setup = watched();
    let mut steps = [Step::Wait(seconds(1)), Step::Text].repeat(300);
    steps.push(Step::Finish);
    for _ in 0..5 {
        setup.call(Act::Stream(steps.clone())).await.unwrap();
    }
    assert_eq!(setup.handle.state(), State::Closed);
    assert_eq!(setup.handle.stats().slow, 0);
}

// B8
#[tokio::test(start_paused = true)]
async fn nothing_is_slow_when_nobody_asked() {
    let setup = Setup::default();
    for _ in 0..5 {
        setup.call(late()).await.unwrap();
        setup.call(halting()).await.unwrap();
    }
    assert_eq!(setup.handle.stats().succeeded, 10);
}

// B8
#[tokio::test(start_paused = true)]
async fn a_model_may_have_its_own_thresholds() {
    let patient = Slow::first_token(seconds(30));
    let setup =
        Setup::new(BreakerLayer::builder().slow(Slow::first_token(seconds(3))).slow_model("sim-1", patient));
    setup.call(late()).await.unwrap();
    assert_eq!(setup.handle.stats().slow, 0);
    let mut call = streaming();
    call.request_mut().model = "other".into();
    setup.breaker.ask(call).await.unwrap().collect().await.unwrap();
    assert_eq!(setup.handle.stats().slow, 1);
}

// B9: the outcome is known at the first token
#[tokio::test(start_paused = true)]
async fn a_late_first_token_counts_before_the_stream_ends() {
    let setup = Setup::new(BreakerLayer::builder().failures(1).slow(Slow::first_token(seconds(3))));
    setup.set(Act::Stream(vec![Step::Wait(seconds(4)), Step::Text, Step::Hang]));
    let _reply = setup.breaker.ask(streaming()).await.unwrap();
    assert!(matches!(setup.handle.state(), State::Open { .. }));
}

// B8
#[tokio::test(start_paused = true)]
async fn a_caller_that_takes_its_time_does_not_make_the_deployment_slow() {
    let setup = Setup::new(BreakerLayer::builder().slow(Slow::gap(seconds(2))));
    setup.set(Act::Stream(vec![Step::Text, Step::Text, Step::Text, Step::Finish]));
    let mut chunks = setup.breaker.ask(streaming()).await.unwrap().into_stream();
    while let Some(chunk) = chunks.next().await {
        chunk.unwrap();
        tokio::time::sleep(seconds(10)).await;
    }
    assert_eq!(setup.handle.stats().slow, 0);
}

// B8
#[tokio::test(start_paused = true)]
async fn a_slow_probe_has_failed() {
    let setup = Setup::new(BreakerLayer::builder().slow(Slow::gap(seconds(2))));
    setup.trip().await;
    pass(RECOVERY).await;
    setup.call(halting()).await.unwrap();
    assert!(matches!(setup.handle.state(), State::Open { .. }));
}

// B8
#[tokio::test(start_paused = true)]
async fn a_gap_that_is_waited_for_in_slices_is_as_long() {
    let setup = watched();
    setup.set(halting());
    let mut chunks = setup.breaker.ask(streaming()).await.unwrap().into_stream();
    loop {
        match tokio::time::timeout(std::time::Duration::from_millis(700), chunks.next()).await {
            Ok(None) => break,
            Ok(Some(chunk)) => drop(chunk.unwrap()),
            Err(_) => {}
        }
    }
    assert_eq!(setup.handle.stats().slow, 1);
}

// B8
#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_a_read_and_comes_back_later_does_not_make_the_deployment_slow() {
    let setup = Setup::new(BreakerLayer::builder().slow(Slow::gap(seconds(2))));
    setup.set(Act::Stream(vec![Step::Text, Step::Wait(seconds(1)), Step::Text, Step::Finish]));
    let mut chunks = setup.breaker.ask(streaming()).await.unwrap().into_stream();
    chunks.next().await.unwrap().unwrap();
    assert!(tokio::time::timeout(seconds(1) / 2, chunks.next()).await.is_err(), "there is nothing yet");
    tokio::time::sleep(seconds(10)).await;
    while let Some(chunk) = chunks.next().await {
        chunk.unwrap();
    }
    assert_eq!(setup.handle.stats().slow, 0);
}

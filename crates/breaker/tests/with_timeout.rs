//! With the timers in their place: inside the breaker, next to the deployment.

mod common;

use std::sync::{Arc, Mutex};

use common::{Act, RECOVERY, Step, deployment, pass, seconds, streaming};
use mainstay_breaker::{BreakerHandle, BreakerLayer, State};
use mainstay_provider_core::{BoxProvider, ErrorKind, FinishReason, Provider, Timer};
use mainstay_timeout::TimeoutLayer;
use tower::ServiceBuilder;

fn stack(act: Act) -> (BoxProvider, BreakerHandle, Arc<Mutex<Act>>) {
    let (layer, act) = (BreakerLayer::default(), Arc::new(Mutex::new(act)));
    let handle = layer.handle();
    let deployment = deployment(act.clone(), Arc::default());
    (
        ServiceBuilder::new().layer(layer).layer(TimeoutLayer::default()).service(deployment).boxed(),
        handle,
        act,
    )
}

// B5
#[tokio::test(start_paused = true)]
async fn silence_and_stalls_are_failures() {
    for (act, timer) in
        [(Act::Hang, Timer::FirstToken), (Act::Stream(vec![Step::Text, Step::Hang]), Timer::Idle)]
    {
        let (provider, handle, _) = stack(act);
        for _ in 0..5 {
            let answer = async { provider.ask(streaming()).await?.collect().await };
            assert_eq!(answer.await.unwrap_err().kind(), ErrorKind::Timeout(timer));
        }
        assert!(matches!(handle.state(), State::Open { .. }), "{timer:?}");
    }
}

// B3 and S3.1
#[tokio::test(start_paused = true)]
async fn a_probe_that_meets_silence_has_failed_when_its_timer_ends() {
    let (provider, handle, act) = stack(Act::Hang);
    for _ in 0..5 {
        provider.ask(streaming()).await.unwrap_err();
    }
    pass(RECOVERY).await;
    provider.ask(streaming()).await.unwrap_err();
    assert_eq!(handle.state(), State::Open { until: tokio::time::Instant::now() + RECOVERY });
    pass(RECOVERY).await;
    *act.lock().unwrap() = Act::Answer;
    provider.ask(streaming()).await.unwrap();
    assert_eq!(handle.state(), State::Closed);
}

// B8: "total duration alone is wrong for streams"; S8.2
#[tokio::test(start_paused = true)]
async fn a_partial_answer_by_the_total_timer_is_no_failure() {
    let steps = [Step::Text, Step::Wait(seconds(5))].repeat(50);
    let (provider, handle, _) = stack(Act::Stream(steps));
    for _ in 0..5 {
        let answer = provider.ask(streaming()).await.unwrap().collect().await.unwrap();
        assert_eq!(answer.finish_reason(), Some(&FinishReason::Timeout));
    }
    assert_eq!((handle.state(), handle.stats().succeeded), (State::Closed, 5));
}

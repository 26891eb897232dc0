//! What every layer keeps.

use std::time::Duration;

use mainstay_provider_core::test_kit::{Scripted, Step, check_readiness, contract};
use mainstay_provider_core::{Call, ErrorKind, Provider};
use mainstay_retry::RetryLayer;
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, ServiceBuilder};

#[tokio::test(start_paused = true)]
async fn it_keeps_towers_readiness_promise() {
    check_readiness(RetryLayer::default()).await.unwrap();
    check_readiness(RetryLayer::standard()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_is_a_provider() {
    contract::provider(async |upstream| RetryLayer::default().layer(upstream.scripted())).await.assert_kept();
    contract::provider(async |upstream| RetryLayer::standard().layer(upstream.scripted()))
        .await
        .assert_kept();
}

// The handle that is called is the one that was polled ready, at each attempt: a limit beneath is never overrun, and no
// place is kept through a wait.
#[tokio::test(start_paused = true)]
async fn each_attempt_waits_for_a_place_of_its_own() {
    let upstream = Scripted::by(|call| match call.model() {
        "steady" => Step::text("done").after(Duration::from_millis(10)),
        _ => Step::fail_with(ErrorKind::Overloaded),
    });
    let stack = ServiceBuilder::new()
        .layer(RetryLayer::default())
        .layer(ConcurrencyLimitLayer::new(1))
        .service(upstream.clone());
    let failing = (0..10).map(|_| {
        let stack = stack.clone();
        tokio::spawn(async move { stack.ask(Call::ask("failing", "hello")).await.map(drop) })
    });
    let failing: Vec<_> = failing.collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    // All of them wait, and none of them keeps the only place.
    let steady = tokio::time::timeout(Duration::from_millis(20), stack.ask(Call::ask("steady", "hello")));
    steady.await.unwrap().unwrap();
    for call in failing {
        assert_eq!(call.await.unwrap().unwrap_err().kind(), ErrorKind::Overloaded);
    }
    assert_eq!(upstream.counts().most_in_flight, 1);
    assert_eq!(upstream.counts().unready_calls, 0);
}

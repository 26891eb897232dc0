//! A breaker for each key of the call.

mod common;

use std::sync::{Arc, Mutex, atomic::AtomicU32};

use common::{Act, deployment};
use mainstay_breaker::{BreakerConfig, BreakerPool, KeyedBreakerLayer, State};
use mainstay_provider_core::{Call, ErrorKind, Provider};
use tower::{Layer, Service as _};

#[tokio::test(start_paused = true)]
async fn one_key_that_fails_does_not_cut_off_another() {
    let act = Arc::new(Mutex::new(Act::Fail(ErrorKind::ServerError)));
    let layer = KeyedBreakerLayer::new(BreakerConfig::default(), |call| call.model().into());
    let breaker = layer.layer(deployment(act.clone(), Arc::default()));
    for _ in 0..5 {
        breaker.ask(Call::ask("large", "hello")).await.unwrap_err();
    }
    let refusal = breaker.ask(Call::ask("large", "hello")).await.unwrap_err();
    assert_eq!((refusal.kind(), refusal.deployment()), (ErrorKind::Unavailable, Some("large")));
    *act.lock().unwrap() = Act::Answer;
    breaker.ask(Call::ask("small", "hello")).await.unwrap();
    assert!(matches!(layer.handle("large").unwrap().state(), State::Open { .. }));
    assert_eq!(layer.handle("small").unwrap().state(), State::Closed);
    assert!(layer.handle("never asked").is_none());
    assert_eq!(layer.handles().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn callers_cannot_fill_the_memory_with_keys_nor_make_it_forget_an_open_breaker() {
    let act = Arc::new(Mutex::new(Act::Fail(ErrorKind::ServerError)));
    let calls = Arc::new(AtomicU32::new(0));
    let layer = KeyedBreakerLayer::new(BreakerConfig::default(), |call| call.model().into());
    let breaker = layer.layer(deployment(act.clone(), calls));
    for _ in 0..5 {
        breaker.ask(Call::ask("down", "hello")).await.unwrap_err();
    }
    *act.lock().unwrap() = Act::Answer;
    let mut handle = breaker.clone();
    std::future::poll_fn(|task| handle.poll_ready(task)).await.unwrap();
    let under_way = handle.call(Call::ask("busy", "hello"));
    for number in 0..3_000 {
        breaker.ask(Call::ask(format!("model-{number}"), "hello")).await.unwrap();
    }
    assert_eq!(layer.handles().len(), 1_024);
    assert_eq!(breaker.ask(Call::ask("down", "hello")).await.unwrap_err().kind(), ErrorKind::Unavailable);

    *act.lock().unwrap() = Act::Fail(ErrorKind::ServerError);
    for number in 0..3_000 {
        breaker.ask(Call::ask(format!("bad-{number}"), "hello")).await.unwrap_err();
    }
    assert_eq!(layer.handles().len(), 1_024);
    assert_eq!(layer.handle("busy").unwrap().stats().in_flight, 1, "nor a call under way");
    let shared = breaker.ask(Call::ask("one too many", "hello")).await.unwrap_err();
    assert_eq!((shared.kind(), shared.deployment()), (ErrorKind::Unavailable, Some("others")));
    drop(under_way);
}

// B11
#[tokio::test(start_paused = true)]
async fn each_key_is_a_member_of_the_pool() {
    let pool = BreakerPool::default();
    let config = BreakerConfig::builder().pool(pool.clone()).build_config().unwrap();
    let layer = KeyedBreakerLayer::new(config, |call| call.model().into());
    let act = Arc::new(Mutex::new(Act::Fail(ErrorKind::ServerError)));
    let breaker = layer.layer(deployment(act, Arc::default()));
    for model in ["a", "b", "c"].repeat(6) {
        breaker.ask(Call::ask(model, "hello")).await.unwrap_err();
    }
    assert_eq!((pool.members(), pool.open()), (3, 1));
}

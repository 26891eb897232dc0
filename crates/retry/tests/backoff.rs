//! How long it waits, and how often.

mod common;

use common::{Setup, attribute, fails, seconds, whole};
use mainstay_provider_core::ErrorKind;
use mainstay_retry::{Jitter, RetryBuilder, RetryLayer};

// S2.2: 5 attempts; 1, 2, 4 and 8 s, each with up to half on top
#[tokio::test(start_paused = true)]
async fn the_bare_layer_makes_five_attempts_that_wait_twice_as_long_each_time() {
    let setup = Setup::bare(vec![fails(ErrorKind::ServerError); 9]);
    let (result, took) = setup.call(whole()).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::ServerError);
    assert_eq!(setup.calls(), 5);
    assert!(seconds(15) <= took && took <= seconds(23), "{took:?}");
    let waits: Vec<u64> = setup
        .take_events()
        .iter()
        .filter(|event| event.name == "retry.waiting")
        .map(|event| attribute(event, "wait_ms").parse().unwrap())
        .collect();
    assert_eq!(waits.len(), 4);
    for (wait, plain) in waits.into_iter().zip([1_000, 2_000, 4_000, 8_000]) {
        assert!((plain..=plain * 3 / 2).contains(&wait), "{wait} ms for {plain} ms");
    }
}

// S2.2
#[tokio::test(start_paused = true)]
async fn no_wait_is_longer_than_the_longest() {
    let builder = RetryLayer::builder().attempts(9).jitter(Jitter::None);
    let setup = Setup::new(builder, vec![fails(ErrorKind::Overloaded); 9]);
    let (_, took) = setup.call(whole()).await;
    assert_eq!(took, seconds(1 + 2 + 4 + 8 + 16 + 30 + 30 + 30));
}

// T3, T4
#[tokio::test(start_paused = true)]
async fn the_standard_makes_three_attempts_in_all_with_full_jitter() {
    let mut took = Vec::new();
    for seed in 0..200 {
        let upstream = mainstay_provider_core::test_kit::Scripted::repeating(fails(ErrorKind::Overloaded));
        let layer = RetryBuilder::standard().seed(seed).build().unwrap();
        let retry = tower::Layer::layer(&layer, upstream.clone());
        let begin = tokio::time::Instant::now();
        mainstay_provider_core::Provider::ask(&retry, whole()).await.unwrap_err();
        assert_eq!(upstream.counts().calls, 3);
        took.push(begin.elapsed().as_secs_f64());
    }
    // The sum of one draw up to 1 s and one up to 2 s.
    assert!(took.iter().all(|took| *took <= 3.01));
    let mean = took.iter().sum::<f64>() / took.len() as f64;
    assert!((1.4..1.6).contains(&mean), "{mean}");
    assert!(took.iter().any(|took| *took < 0.6) && took.iter().any(|took| *took > 2.4));
}

// S2.3
#[tokio::test(start_paused = true)]
async fn the_same_seed_waits_the_same_and_another_does_not() {
    let mut took = Vec::new();
    for seed in [1, 1, 2] {
        let upstream = mainstay_provider_core::test_kit::Scripted::repeating(fails(ErrorKind::Overloaded));
        let layer = RetryLayer::builder().seed(seed).build().unwrap();
        let retry = tower::Layer::layer(&layer, upstream);
        let begin = tokio::time::Instant::now();
        mainstay_provider_core::Provider::ask(&retry, whole()).await.unwrap_err();
        took.push(begin.elapsed());
    }
    assert_eq!(took[0], took[1]);
    assert_ne!(took[0], took[2]);
}

#[tokio::test(start_paused = true)]
async fn one_attempt_is_no_retry_and_no_event() {
    let setup = Setup::new(RetryLayer::builder().attempts(1), [fails(ErrorKind::Overloaded)]);
    let (result, took) = setup.call(whole()).await;
    assert_eq!((result.unwrap_err().kind(), took), (ErrorKind::Overloaded, seconds(0)));
    assert!(setup.events().is_empty());
}

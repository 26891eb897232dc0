//! What a call takes is given back, however it ends.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{answering, call, doing, failing, model, ms, router, seconds, streaming};
use mainstay_provider_core::test_kit::{Piece, Step};
use mainstay_provider_core::{ErrorKind, Provider};
use mainstay_router::Router;

fn in_flight(router: &Router) -> u32 {
    router.stats().iter().map(|one| one.in_flight).sum()
}

#[tokio::test(start_paused = true)]
async fn a_call_is_in_flight_until_its_answer_ends() {
    let pieces = [Piece::text("one "), Piece::Wait(seconds(5)), Piece::text("two"), Piece::stop()];
    let router = router([model("main", [doing("a", Step::stream(pieces)).0])]);
    let mut chunks = router.ask(streaming()).await.unwrap().into_stream();
    assert_eq!(in_flight(&router), 1);
    while let Some(chunk) = chunks.next().await {
        chunk.unwrap();
    }
    assert_eq!(in_flight(&router), 0);
}

// D3
#[tokio::test(start_paused = true)]
async fn a_dropped_call_gives_its_place_back_wherever_it_is() {
    let (hangs, silent) = doing("a", Step::hang());
    let (stalls, stalled) = doing("b", Step::stream([Piece::text("one "), Piece::Stall]));
    let router = router([model("main", [hangs]), model("stalls", [stalls])]);

    drop(router.ask(call()));
    assert_eq!(in_flight(&router), 0);

    tokio::time::timeout(seconds(1), router.ask(call())).await.unwrap_err();
    assert_eq!((in_flight(&router), silent.counts().in_flight), (0, 0));

    let mut call = streaming();
    call.request_mut().model = "stalls".into();
    let reply = router.ask(call).await.unwrap();
    assert_eq!(in_flight(&router), 1);
    drop(reply);
    assert_eq!((in_flight(&router), stalled.counts().open_streams), (0, 0));
}

#[tokio::test]
async fn a_failure_and_a_refusal_give_it_back_too() {
    for kind in [ErrorKind::ServerError, ErrorKind::Unavailable, ErrorKind::LimitReached] {
        let router = router([model("main", [failing("a", kind).0, answering("b").0.order(2)])]);
        router.ask(call()).await.ok();
        assert_eq!(in_flight(&router), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silence_that_is_dropped_counts_as_at_least_that_slow() {
    let (a, _) = doing("a", Step::hang());
    let router = router([model("main", [a])]);
    tokio::time::timeout(seconds(3), router.ask(streaming())).await.unwrap_err();
    let known = router.stats()[0].first_token.unwrap();
    assert!((known.as_secs_f64() - 3.0).abs() < 0.02, "{known:?}");
    // A shorter one is no news.
    tokio::time::timeout(ms(100), router.ask(streaming())).await.unwrap_err();
    assert!(router.stats()[0].first_token.unwrap() > seconds(2));
}

#[tokio::test(start_paused = true)]
async fn a_panic_below_gives_the_place_back() {
    let panics = tower::service_fn(|_: mainstay_provider_core::Call| async {
        if true {
            panic!("on purpose");
        }
        Err(mainstay_provider_core::Error::new(ErrorKind::Internal, "never"))
    });
    let router = router([model("main", [mainstay_router::Deployment::new("a", panics)])]);
    let handle = router.clone();
    tokio::spawn(async move { handle.ask(call()).await }).await.unwrap_err();
    assert_eq!(in_flight(&router), 0);
}

// Real threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_callers_at_once_leave_nothing_behind() {
    let chosen = ["a", "b", "c"].map(|name| {
        let fails = std::sync::atomic::AtomicUsize::new(0);
        doing_by(name, move || match fails.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 5 {
            0 => Step::fail_with(ErrorKind::ServerError),
            1 => Step::fail_with(ErrorKind::Unavailable),
            2 => Step::stream([Piece::text("half "), Piece::Cut]),
            _ => Step::text("an answer"),
        })
    });
    let router = router([model("main", chosen)]);
    let tasks: Vec<_> = (0..1_000)
        .map(|number| {
            let router = router.clone();
            tokio::spawn(async move {
                let asked = router.ask(streaming());
                if number % 7 == 0 {
                    return;
                }
                if let Ok(reply) = asked.await
                    && number % 3 > 0
                {
                    reply.collect().await.ok();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(in_flight(&router), 0);
    assert!(router.stats().iter().all(|one| one.sent > 0));
}

fn doing_by(name: &str, step: impl Fn() -> Step + Send + Sync + 'static) -> mainstay_router::Deployment {
    mainstay_router::Deployment::new(name, mainstay_provider_core::test_kit::Scripted::by(move |_| step()))
}

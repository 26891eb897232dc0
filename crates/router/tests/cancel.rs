//! What a call takes is given back, however it ends.

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

//! Whenever the caller leaves, everything beneath is dropped at once, and the end is seen once.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{TEXT, over, says, streaming};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{Outcome, Provider};
use mainstay_rescue::{HoldBack, RescueConfig, RescueLayer};
use tokio::time::timeout;

/// Each step of the script takes a second, so that a caller can leave in any of them.
fn slow(text: &str, from: usize, end: Piece) -> Step {
    let second = || Piece::Wait(Duration::from_secs(1));
    let words = text[from..].split_inclusive(' ').flat_map(|word| [second(), Piece::text(word)]);
    Step::stream([Piece::Role].into_iter().chain(words).chain([second(), end])).after(Duration::from_secs(1))
}

/// The first stream breaks, the prefill is refused late, the second stream breaks before the seam, the third is whole.
fn upstream() -> Scripted {
    Scripted::new([
        slow("The mainstay is ", 0, Piece::Cut),
        Step::fail_with(mainstay_provider_core::ErrorKind::InvalidRequest).after(Duration::from_secs(1)),
        slow("The mainstay ", 0, Piece::Cut),
        slow(TEXT, "The mainstay is".len(), Piece::stop()),
    ])
}

// B2, D3
#[tokio::test(start_paused = true)]
async fn at_every_moment() {
    let mut wholes = 0;
    let held = || RescueConfig::standard().hold_back(HoldBack::new().chunks(2).time(Duration::from_secs(5)));
    for layer in [RescueLayer::standard(), held().build().unwrap()] {
        for half_seconds in 0..70 {
            let upstream = upstream();
            let ends = Arc::new(Mutex::new(Vec::new()));
            let seen = ends.clone();
            let provider = over(&layer, &upstream);
            let mut hooked = false;
            let read = async {
                let reply = provider.ask(streaming()).await.unwrap();
                hooked = true;
                let reply = reply.on_end(move |end| seen.lock().unwrap().push(end.outcome.clone()));
                reply.collect().await
            };
            let read = timeout(Duration::from_millis(500 * half_seconds + 250), read).await;
            drop(provider);
            let counts = upstream.counts();
            assert_eq!((counts.in_flight, counts.open_streams), (0, 0), "after {half_seconds} half seconds");
            assert_eq!(upstream.places_taken(), 0);
            let ends = ends.lock().unwrap();
            assert_eq!(ends.len(), usize::from(hooked), "after {half_seconds} half seconds");
            match read {
                Ok(answer) => {
                    assert_eq!(answer.unwrap().text(), TEXT);
                    assert!(matches!(ends[0], Outcome::Complete));
                    wholes += 1;
                }
                Err(_) if hooked => assert!(matches!(ends[0], Outcome::Dropped), "{ends:?}"),
                Err(_) => {}
            }
        }
    }
    assert!(wholes > 10, "the answer becomes whole in time: {wholes}");
}

#[tokio::test(start_paused = true)]
async fn a_rescue_that_is_under_way_does_not_go_on_by_itself() {
    let upstream = Scripted::new([says(TEXT).cut(2).step(&streaming()), Step::hang()]);
    let mut chunks = over(&RescueLayer::standard(), &upstream).ask(streaming()).await.unwrap().into_stream();
    let next = timeout(Duration::from_secs(5), async { while chunks.next().await.is_some() {} }).await;
    assert!(next.is_err());
    assert_eq!(upstream.counts().in_flight, 1);
    drop(chunks);
    assert_eq!((upstream.counts().in_flight, upstream.counts().cancelled), (0, 1));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(upstream.counts().calls, 2);
}

// A poll that is dropped in mid-rescue loses nothing: the next one goes on with it.
#[tokio::test(start_paused = true)]
async fn a_read_that_is_given_up_and_begun_again_loses_nothing() {
    let upstream = upstream();
    let mut chunks = over(&RescueLayer::standard(), &upstream).ask(streaming()).await.unwrap().into_stream();
    let mut text = String::new();
    loop {
        match timeout(Duration::from_millis(300), chunks.next()).await {
            Err(_) => {}
            Ok(None) => break,
            Ok(Some(chunk)) => text.push_str(chunk.unwrap().text()),
        }
    }
    assert_eq!(text, TEXT);
    assert_eq!(upstream.counts().calls, 4);
}

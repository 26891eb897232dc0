//! A stream that stalls is broken off by the idle timer within, and goes on from somebody else.

mod common;

use std::time::Duration;

use common::{TEXT, read, says, streaming};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{FinishReason, Provider};
use mainstay_rescue::RescueLayer;
use mainstay_timeout::TimeoutLayer;
use tokio::time::Instant;
use tower::ServiceBuilder;

fn stack(upstream: &Scripted) -> impl Provider {
    ServiceBuilder::new()
        .layer(RescueLayer::standard())
        .layer(TimeoutLayer::default())
        .service(upstream.clone())
}

// The fault bench's "stall of 30 s after 20 words".
#[tokio::test(start_paused = true)]
async fn a_stall_is_over_when_the_idle_timer_says_so() {
    let stalls =
        [Piece::Role, Piece::text("The mainstay "), Piece::Wait(Duration::from_secs(30)), Piece::text("is")];
    let upstream = Scripted::by(move |call| {
        if call.request().messages.len() == 1 { Step::stream(stalls.clone()) } else { says(TEXT).step(call) }
    });
    let began = Instant::now();
    let got = read(&stack(&upstream), streaming()).await;
    got.assert_whole();
    assert!(began.elapsed() <= Duration::from_millis(20_002), "{:?}", began.elapsed());
    assert_eq!(got.report()["legs"][0]["error"], "timeout");
    assert_eq!(upstream.counts().open_streams, 0);
}

// S8.2
#[tokio::test(start_paused = true)]
async fn the_total_timer_ends_a_rescued_answer_as_it_ends_any() {
    let slow = |text: &'static str| {
        let words = text
            .split_inclusive(' ')
            .flat_map(|word| [Piece::text(word), Piece::Wait(Duration::from_secs(15))]);
        [Piece::Role].into_iter().chain(words).collect::<Vec<_>>()
    };
    let upstream = Scripted::new([
        Step::stream([Piece::Role, Piece::text("The mainstay"), Piece::Cut]),
        Step::stream(slow(&TEXT[12..])),
    ]);
    let got = read(&stack(&upstream), streaming()).await;
    got.assert_sound();
    assert_eq!(got.finish_reasons(), [FinishReason::Timeout]);
    assert!(TEXT.starts_with(&got.text()) && got.text().len() > 12);
    assert_eq!(got.report()["breaks"], 1);
    assert_eq!(upstream.counts().calls, 2, "what is partial by the total is not asked again");
}

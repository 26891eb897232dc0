//! A rescue is bounded: how often, how long, how much is kept, and what it may cost.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Prefill, TEXT, model, over, read, says, streaming};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{Allowance, ErrorKind};
use mainstay_rescue::{RescueConfig, RescueLayer};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_call_is_rescued_twice_and_no_more() {
    let upstream = model([says(TEXT).cut(2), says(TEXT).cut(2), says(TEXT)]);
    let got = read(&over(&RescueLayer::standard(), &upstream), streaming()).await;
    got.assert_whole();
    assert_eq!(got.report()["breaks"], 2);

    let upstream = model((0..9).map(|_| says(TEXT).cut(2).with(ErrorKind::Network)));
    let got = read(&over(&RescueLayer::standard(), &upstream), streaming()).await;
    got.assert_sound();
    let error = got.error.unwrap();
    assert!(error.message().contains("too often"), "{}", error.message());
    assert_eq!(upstream.counts().calls, 3);
    let none = RescueConfig::standard().rescues(1).build().unwrap();
    let upstream = model((0..9).map(|_| says(TEXT).cut(2)));
    read(&over(&none, &upstream), streaming()).await.assert_sound();
    assert_eq!(upstream.counts().calls, 2);
}

// A new stream that breaks before it is as far as the caller is a break like any other.
#[tokio::test(start_paused = true)]
async fn a_break_on_the_way_to_the_seam_counts() {
    let refuses = || says(TEXT).prefill(Prefill::Refuses);
    let upstream = model([says(TEXT).cut(8), refuses(), says(TEXT).cut(3), refuses(), says(TEXT)]);
    let got = read(&over(&RescueLayer::standard(), &upstream), streaming()).await;
    got.assert_whole();
    assert_eq!(got.report()["breaks"], 2);
    let upstream = model([says(TEXT).cut(8), refuses(), says(TEXT).cut(3), refuses(), says(TEXT).cut(3)]);
    read(&over(&RescueLayer::standard(), &upstream), streaming()).await.assert_sound();
    assert_eq!(upstream.counts().calls, 5);
}

#[tokio::test(start_paused = true)]
async fn new_text_must_be_there_within_the_time_of_a_rescue() {
    let silent = [Step::hang(), Step::stream([Piece::Role, Piece::Reasoning("Hm".into()), Piece::Stall])];
    for step in silent {
        let upstream = Scripted::new([says(TEXT).cut(3).step(&streaming()), step]);
        let began = Instant::now();
        let got = read(&over(&RescueLayer::standard(), &upstream), streaming()).await;
        got.assert_sound();
        assert!(got.error.unwrap().message().contains("too long"));
        assert!(began.elapsed() <= Duration::from_millis(30_002), "{:?}", began.elapsed());
        assert_eq!((upstream.counts().in_flight, upstream.counts().open_streams), (0, 0)); // D3
    }
}

// A stream that is always ready and never says anything: no timer gets a turn.
#[tokio::test]
async fn the_clock_decides_and_not_the_timer() {
    use mainstay_provider_core::chat::Delta;
    use mainstay_provider_core::{BoxFuture, Call, ChatChunk, Error, Reply, ReplyHead, Wire};
    let asked = Arc::new(AtomicUsize::new(0));
    let floods = tower::service_fn(move |_: Call| -> BoxFuture<Result<Reply, Error>> {
        let text = |text: &str| Wire::from(ChatChunk::empty("a", "m").with_delta(Delta::text(text), None));
        let ends = asked.fetch_add(1, Ordering::SeqCst) == 0;
        let (mut first, ping) = (Some(text(if ends { "The mainstay" } else { "The " })), text(""));
        let chunks = futures_util::stream::poll_fn(move |_| {
            let next = first.take().or_else(|| (!ends).then(|| ping.clone()));
            std::task::Poll::Ready(next.map(Ok))
        });
        Box::pin(Reply::stream(ReplyHead::new("p", "m"), chunks))
    });
    let layer = RescueConfig::standard().within(Duration::from_millis(20)).build().unwrap();
    let reply =
        mainstay_provider_core::Provider::ask(&tower::Layer::layer(&layer, floods), streaming()).await;
    let error = reply.unwrap().collect().await.unwrap_err();
    assert!(error.message().contains("too long"), "{}", error.message());
}

// D1
#[tokio::test(start_paused = true)]
async fn the_callers_deadline_shortens_it() {
    let upstream = Scripted::new([says(TEXT).cut(3).step(&streaming()), Step::hang()]);
    let mut call = streaming();
    let began = Instant::now();
    call.context_mut().deadline = Some(began + Duration::from_secs(7));
    read(&over(&RescueLayer::standard(), &upstream), call).await.assert_sound();
    assert!(began.elapsed() <= Duration::from_millis(7_002));

    // No rescue begins after it.
    let late = [Piece::Role, Piece::text("The "), Piece::Wait(Duration::from_secs(8)), Piece::Cut];
    let upstream = Scripted::new([Step::stream(late)]);
    let mut call = streaming();
    call.context_mut().deadline = Some(Instant::now() + Duration::from_secs(7));
    read(&over(&RescueLayer::standard(), &upstream), call).await.assert_sound();
    assert_eq!(upstream.counts().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_longer_than_what_is_kept_fails_clearly() {
    for (keep, whole) in [(11, false), (12, true)] {
        let layer = RescueConfig::standard().keep(keep).build().unwrap();
        let upstream = model([says(TEXT).cut(3), says(TEXT)]);
        let got = read(&over(&layer, &upstream), streaming()).await;
        if whole {
            got.assert_whole();
        } else {
            got.assert_sound();
            assert!(got.error.unwrap().message().contains("longer than what is kept"));
            assert_eq!(upstream.counts().calls, 1);
        }
    }
}

#[derive(Clone)]
struct Purse(Arc<AtomicUsize>);

impl Allowance for Purse {
    fn withdraw(&self) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

// T1
#[tokio::test(start_paused = true)]
async fn each_call_of_a_rescue_is_drawn_from_the_allowance() {
    for (allowed, calls, whole) in [(0, 1, false), (1, 2, false), (2, 3, true), (5, 3, true)] {
        let purse = Purse(Arc::new(AtomicUsize::new(allowed)));
        let layer = RescueLayer::standard().allowance(purse.clone());
        let upstream = model([says(TEXT).cut(3), says(TEXT).prefill(Prefill::Refuses), says(TEXT)]);
        let got = read(&over(&layer, &upstream), streaming()).await;
        got.assert_sound();
        assert_eq!((upstream.counts().calls, got.error.is_none()), (calls, whole));
        assert_eq!(purse.0.load(Ordering::SeqCst), allowed.saturating_sub(2));
    }
    // What is whole at once takes nothing out.
    let purse = Purse(Arc::new(AtomicUsize::new(1)));
    let upstream = model([says(TEXT)]);
    read(&over(&RescueLayer::standard().allowance(purse.clone()), &upstream), streaming())
        .await
        .assert_whole();
    assert_eq!(purse.0.load(Ordering::SeqCst), 1);
}

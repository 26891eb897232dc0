//! Hold-back: what breaks in the held beginning is asked again, and nobody can tell.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{TEXT, model, over, read, read_reply, says, streaming};
use mainstay_provider_core::chat::Delta;
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{Allowance, ErrorKind, Provider, Usage};
use mainstay_rescue::{HoldBack, RescueBuilder, RescueConfig, RescueLayer, RescuePolicy};
use tokio::time::Instant;

fn holding(hold_back: HoldBack) -> RescueLayer {
    RescueConfig::builder().hold_back(hold_back).build().unwrap()
}

fn eight() -> HoldBack {
    HoldBack::new().chunks(8).bytes(1 << 20)
}

// T6
#[tokio::test(start_paused = true)]
async fn a_break_in_the_held_beginning_is_not_seen() {
    for after in 1..8 {
        let upstream = model([says(TEXT).cut(after).with(ErrorKind::Overloaded), says(TEXT)]);
        let reply = over(&holding(eight()), &upstream).ask(streaming()).await.unwrap();
        let rescued = reply.head.rescued.unwrap();
        assert_eq!((rescued.breaks, rescued.reason), (1, ErrorKind::Overloaded));
        let got = read_reply(reply).await;
        got.assert_whole();
        assert!(got.report().is_null(), "nothing happened after the head left");
        assert_eq!(upstream.calls()[0].request(), upstream.calls()[1].request());
        assert!(got.chunks.iter().all(|chunk| chunk.id == "scripted-2"), "it is all the second answer's");
    }
}

#[tokio::test(start_paused = true)]
async fn the_head_tells_how_long_the_caller_waited_and_how_often_was_asked() {
    let second = Duration::from_secs(1);
    let late = [Piece::Role, Piece::Wait(second), Piece::text("The "), Piece::Cut];
    let whole = [Piece::Role, Piece::Wait(second), Piece::text(TEXT), Piece::stop()];
    let upstream = Scripted::new([Step::stream(late), Step::stream(whole)]);
    let began = Instant::now();
    let head = over(&holding(eight()), &upstream).ask(streaming()).await.unwrap().head;
    assert_eq!((head.started, head.first_token, head.attempts), (Some(began), Some(2 * second), 2));
}

#[tokio::test(start_paused = true)]
async fn the_new_answer_may_be_another_one_since_nothing_of_the_old_has_gone_out() {
    let upstream = model([says("Ahoy, a mainstay").cut(2), says(TEXT)]);
    read(&over(&holding(eight()), &upstream), streaming()).await.assert_whole();
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_held_beginning_is_for_the_policies() {
    let upstream = model([says(TEXT).cut(8), says(TEXT)]);
    let got = read(&over(&holding(eight()), &upstream), streaming()).await;
    got.assert_sound();
    assert_eq!(got.text(), TEXT[..32]);
    let both = RescueConfig::standard().hold_back(eight()).build().unwrap();
    let upstream = model([says(TEXT).cut(2), says(TEXT).cut(9), says(TEXT)]);
    let reply = over(&both, &upstream).ask(streaming()).await.unwrap();
    assert_eq!(reply.head.rescued.unwrap().breaks, 1);
    let got = read_reply(reply).await;
    got.assert_whole();
    assert_eq!(got.report()["breaks"], 2);
    assert!(upstream.calls()[2].context().needs.prefill);
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_so_many_chunks_so_many_bytes_or_so_much_time() {
    let gap = Duration::from_millis(40);
    let slow = || {
        let pieces = TEXT.split_inclusive(' ').flat_map(|word| [Piece::text(word), Piece::Wait(gap)]);
        Scripted::repeating(Step::stream([Piece::Role].into_iter().chain(pieces).chain([Piece::stop()])))
    };
    let most = HoldBack::new().chunks(1000).bytes(1 << 20).time(Duration::from_secs(60));
    for (hold_back, waited) in [
        (most.chunks(1), 0),
        (most.chunks(4), 3),
        (most.bytes(1), 0),
        (most.bytes(5), 1),
        (most.bytes(14), 2),
        (most.time(Duration::from_millis(1)), 0),
        (most, 14), // the whole answer: 14 words
    ] {
        let began = Instant::now();
        let reply = over(&holding(hold_back), &slow()).ask(streaming()).await.unwrap();
        let time = began.elapsed();
        let expected = if hold_back.time < gap { hold_back.time } else { gap * waited };
        // The timer counts whole milliseconds.
        assert!(time >= expected && time <= expected + Duration::from_millis(2), "{hold_back:?}: {time:?}");
        read_reply(reply).await.assert_whole();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_stalls_goes_out_when_the_time_is_over() {
    let upstream = Scripted::repeating(Step::stream([Piece::Role, Piece::text("The "), Piece::Stall]));
    let began = Instant::now();
    let reply = over(&holding(HoldBack::new()), &upstream).ask(streaming()).await.unwrap();
    assert!(began.elapsed() <= Duration::from_millis(252), "{:?}", began.elapsed());
    let mut chunks = reply.into_stream();
    chunks.next().await.unwrap().unwrap();
    assert_eq!(chunks.next().await.unwrap().unwrap().text(), "The ");
}

#[tokio::test(start_paused = true)]
async fn when_it_breaks_too_often_the_call_fails_as_if_nothing_had_come() {
    let upstream = model((0..3).map(|_| says(TEXT).cut(2).with(ErrorKind::ServerError)));
    let error = over(&holding(eight()), &upstream).ask(streaming()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts().len()), (ErrorKind::ServerError, 3));
    assert_eq!(upstream.counts().calls, 3);

    let upstream = model([says(TEXT).cut(2)]);
    let error = over(&holding(eight()), &upstream).ask(streaming()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "the second call's own error");
    assert_eq!(error.attempts().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_the_callers_fault_or_a_verdict_is_not_asked_again() {
    for kind in [ErrorKind::ContentFiltered, ErrorKind::InvalidRequest, ErrorKind::ContextLengthExceeded] {
        let upstream = model([says(TEXT).cut(2).with(kind)]);
        let error = over(&holding(eight()), &upstream).ask(streaming()).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(upstream.counts().calls, 1);
    }
}

// D1
#[tokio::test(start_paused = true)]
async fn nothing_is_asked_again_after_the_callers_deadline() {
    let late = [Piece::Role, Piece::text("The "), Piece::Wait(Duration::from_secs(2)), Piece::Cut];
    for (deadline, calls) in [(1, 1), (3, 2)] {
        let upstream = Scripted::new([Step::stream(late.clone()), Step::hang()]);
        let began = Instant::now();
        let mut call = streaming();
        call.context_mut().deadline = Some(began + Duration::from_secs(deadline));
        let layer = holding(HoldBack::new().time(Duration::from_secs(5)));
        let error = over(&layer, &upstream).ask(call).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MalformedResponse);
        assert!(began.elapsed() <= Duration::from_millis(3_002));
        assert_eq!((upstream.counts().calls, upstream.counts().in_flight), (calls, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn the_usage_of_what_was_not_seen_is_in_the_sum() {
    let broken = says(TEXT).cut(2).using(Usage::new(10, 3));
    let upstream = model([broken.clone(), says(TEXT).using(Usage::new(10, 20))]);
    let reply = over(&holding(eight()), &upstream).ask(streaming()).await.unwrap();
    assert!(reply.head.rescued.unwrap().usage_known);
    assert_eq!(read_reply(reply).await.end.usage, Some(Usage::new(20, 23)));

    let upstream = model([says(TEXT).cut(2), says(TEXT).using(Usage::new(10, 20))]);
    let reply = over(&holding(eight()), &upstream).ask(streaming()).await.unwrap();
    assert!(!reply.head.rescued.unwrap().usage_known);
    assert_eq!(read_reply(reply).await.end.usage, Some(Usage::new(10, 20)));

    // An answer that is held as a whole.
    let all: RescueBuilder = RescueConfig::builder().hold_back(HoldBack::new().chunks(1000));
    let upstream = model([broken, says(TEXT).using(Usage::new(10, 20))]);
    let got = read(&over(&all.build().unwrap(), &upstream), streaming()).await;
    got.assert_whole();
    assert_eq!(got.end.usage, Some(Usage::new(20, 23)));
}

#[tokio::test(start_paused = true)]
async fn each_call_is_drawn_from_the_allowance() {
    #[derive(Clone, Default)]
    struct Nothing;
    impl Allowance for Nothing {
        fn withdraw(&self) -> bool {
            false
        }
    }
    let upstream = model([says(TEXT).cut(2), says(TEXT)]);
    over(&holding(eight()).allowance(Nothing), &upstream).ask(streaming()).await.unwrap_err();
    assert_eq!(upstream.counts().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn all_breaks_are_told_those_of_a_layer_beneath_too() {
    let cut = |after| says(TEXT).cut(after).with(ErrorKind::Network);
    let upstream = model([cut(2), cut(3), says(TEXT)]);
    let reply = over(&holding(eight()), &upstream).ask(streaming()).await.unwrap();
    assert_eq!(reply.head.rescued.unwrap().breaks, 2);

    let upstream = model([cut(1), cut(4), cut(1), says(TEXT)]);
    let beneath = over(&holding(HoldBack::new().chunks(2)), &upstream);
    let both = tower::Layer::layer(&holding(eight()), beneath);
    let reply = both.ask(streaming()).await.unwrap();
    assert_eq!(reply.head.rescued.unwrap().breaks, 2);
    read_reply(reply).await.assert_whole();
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_all_there_is_not_held() {
    let slow_end = [Piece::Role, Piece::text(TEXT), Piece::stop(), Piece::Wait(Duration::from_millis(100))];
    let upstream = Scripted::repeating(Step::stream(slow_end));
    let began = Instant::now();
    over(&holding(eight()), &upstream).ask(streaming()).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn tool_calls_and_several_answers_are_held_back_too() {
    let call = || [Piece::Role, Piece::tool_call(0, "c", "f")];
    let upstream = Scripted::new([
        Step::stream(call().into_iter().chain([Piece::Cut])),
        Step::stream(
            call().into_iter().chain([Piece::Finish(mainstay_provider_core::FinishReason::ToolCalls)]),
        ),
    ]);
    let mut several = streaming();
    several.request_mut().n = Some(2);
    let got = read(&over(&holding(eight()), &upstream), several).await;
    got.assert_sound();
    assert!(got.error.is_none());
}

#[tokio::test(start_paused = true)]
async fn it_is_off_in_the_bare_layer_and_in_the_standard_one() {
    for layer in [RescueLayer::default(), RescueLayer::standard()] {
        let upstream = Scripted::repeating(Step::stream([
            Piece::Role,
            Piece::text("The "),
            Piece::Wait(Duration::from_secs(1)),
        ]));
        let began = Instant::now();
        over(&layer, &upstream).ask(streaming()).await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
    let one = RescueConfig::builder()
        .hold_back(eight())
        .model("gpt-9", mainstay_rescue::ModelRules::new().hold_back(None).policies([RescuePolicy::Resume]))
        .build()
        .unwrap();
    let upstream = model([says(TEXT).cut(2), says(TEXT)]);
    let reply = over(&one, &upstream).ask(streaming()).await.unwrap();
    assert!(reply.head.rescued.is_none());
    read_reply(reply).await.assert_whole();
}

/// A stream that is always ready and never says anything: no timer gets a turn.
#[tokio::test]
async fn a_flood_of_nothing_is_held_no_longer_than_the_time() {
    use mainstay_provider_core::{BoxFuture, Call, ChatChunk, Error, Reply, ReplyHead, Wire};
    let flood = tower::service_fn(|_: Call| -> BoxFuture<Result<Reply, Error>> {
        let mut first = Some(Wire::from(ChatChunk::empty("a", "m").with_delta(Delta::text("The "), None)));
        let ping = Wire::from(ChatChunk::empty("a", "m"));
        let chunks = futures_util::stream::poll_fn(move |_| {
            std::task::Poll::Ready(Some(Ok(first.take().unwrap_or_else(|| ping.clone()))))
        });
        Box::pin(Reply::stream(ReplyHead::new("p", "m"), chunks))
    });
    let layer = holding(HoldBack::new().time(Duration::from_millis(5)));
    let reply = tower::Layer::layer(&layer, flood).ask(streaming()).await.unwrap();
    assert_eq!(reply.into_stream().next().await.unwrap().unwrap().text(), "The ");
}

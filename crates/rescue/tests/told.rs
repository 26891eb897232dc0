//! What happened is told: in the last chunk, in the usage, in events and in the error.

mod common;

use std::sync::{Arc, Mutex};

use common::{Prefill, TEXT, model, over, read, says, streaming};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{Error, ErrorKind, Event, Events, Severity, Usage};
use mainstay_rescue::{HoldBack, RescueConfig, RescueLayer};
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn the_last_chunk_tells_the_streams_the_answer_was_made_of() {
    let head = |provider: &'static str| {
        move |head: &mut mainstay_provider_core::ReplyHead| head.provider = provider.into()
    };
    let upstream = Scripted::by(move |call| {
        let number = call.context().attempts.begin().number;
        let says = match number {
            1 => says(TEXT).cut(3).with(ErrorKind::Overloaded),
            2 => says(TEXT).cut(3).using(Usage::new(12, 5)),
            3 => says(TEXT).prefill(Prefill::Refuses),
            _ => says(TEXT).using(Usage::new(12, 20)),
        };
        says.step(call).head(head(["", "a", "b", "c", "d"][number as usize]))
    });
    let got = read(&over(&RescueLayer::standard(), &upstream), streaming()).await;
    got.assert_whole();
    let expected = json!({
        "breaks": 2, "usage_known": false,
        "legs": [
            {"provider": "a", "model": "gpt-9", "error": "overloaded"},
            {"provider": "b", "model": "gpt-9", "by": "resume", "error": "malformed_response"},
            {"provider": "d", "model": "gpt-9", "by": "restart"},
        ],
    });
    assert_eq!(got.report(), expected);
    // It is in the chunk with the finish reason and in that with the usage, and in no other.
    let told: Vec<_> = got.chunks.iter().map(|chunk| chunk.extra.get("mainstay").is_some()).collect();
    let last = told.len() - 2;
    assert!(told[..last].iter().all(|told| !told) && told[last..].iter().all(|told| *told), "{told:?}");
    assert!(!got.chunks[last].choices.is_empty() && got.chunks[last + 1].usage.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_role_comes_once_even_if_the_first_stream_never_told_it() {
    let upstream = Scripted::new([
        Step::stream([Piece::text("The rope "), Piece::Cut]),
        Step::stream([Piece::Role, Piece::text(" that "), Piece::Cut]),
        Step::stream([Piece::Role, Piece::text(" holds the mast."), Piece::stop()]),
    ]);
    let got = read(&over(&RescueLayer::standard(), &upstream), streaming()).await;
    let deltas = got.chunks.iter().flat_map(|chunk| &chunk.choices).map(|choice| &choice.delta);
    assert_eq!(deltas.filter(|delta| delta.role.is_some()).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_rescued_tells_nothing() {
    for layer in
        [RescueLayer::standard(), RescueConfig::standard().hold_back(HoldBack::new()).build().unwrap()]
    {
        let upstream = model([says(TEXT).using(Usage::new(1, 2))]);
        let got = read(&over(&layer, &upstream), streaming()).await;
        got.assert_whole();
        assert!(got.chunks.iter().all(|chunk| chunk.extra.is_empty()));
        assert_eq!(got.end.usage, Some(Usage::new(1, 2)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_mainstay_tells_of_other_things_stays() {
    let mut last = mainstay_provider_core::ChatChunk::empty("x", "y")
        .with_delta(Default::default(), Some(mainstay_provider_core::FinishReason::Stop));
    last.extra.insert("mainstay", json!({"else": 1}));
    let upstream = Scripted::new([
        Step::stream([Piece::Role, Piece::text("a"), Piece::Cut]),
        Step::stream([Piece::text("b"), Piece::chunk(last)]),
    ]);
    let got = read(&over(&RescueLayer::standard(), &upstream), streaming()).await;
    let told = got.chunks.last().unwrap().extra.get("mainstay").unwrap();
    assert_eq!((&told["else"], &told["rescue"]["breaks"]), (&json!(1), &json!(1)));
}

// M3, S2.3: what each stream used is paid, and known to whoever watches the end.
#[tokio::test(start_paused = true)]
async fn the_usage_is_that_of_all_streams_together() {
    let mut first = Usage::new(100, 7);
    (first.cache_read, first.reasoning) = (64, 3);
    let mut second = Usage::new(110, 30);
    second.cache_read = 10;
    let upstream = model([says(TEXT).cut(4).using(first), says(TEXT).using(second)]);
    let got = read(&over(&RescueLayer::standard(), &upstream), streaming()).await;
    got.assert_whole();
    assert_eq!(got.end.usage, Some(first + second));
    assert_eq!(got.chunks.last().unwrap().usage(), Some(first + second));
    assert_eq!(got.report()["usage_known"], true);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_did_not_tell_its_usage_counts_nothing_and_that_is_told() {
    let upstream = model([says(TEXT).cut(4), says(TEXT).using(Usage::new(110, 30))]);
    let got = read(&over(&RescueLayer::standard(), &upstream), streaming()).await;
    assert_eq!(got.end.usage, Some(Usage::new(110, 30)));
    assert_eq!(got.report()["usage_known"], false);

    // A usage that grows is the last one told, once.
    let grows = |output: u64| Piece::Usage(Usage::new(100, output));
    let upstream = Scripted::new([
        Step::stream([
            Piece::Role,
            grows(1),
            Piece::text("The "),
            grows(2),
            Piece::text("mainstay"),
            grows(3),
            Piece::Cut,
        ]),
        Step::stream([Piece::Role, grows(1), Piece::text(&TEXT[12..]), grows(9), Piece::stop(), grows(10)]),
    ]);
    let got = read(&over(&RescueLayer::standard(), &upstream), streaming()).await;
    got.assert_whole();
    assert_eq!(got.end.usage, Some(Usage::new(200, 13)));
}

#[tokio::test(start_paused = true)]
async fn the_error_of_an_answer_that_was_lost_keeps_what_the_break_said() {
    let broken = Error::new(ErrorKind::Overloaded, "no capacity")
        .at("anthropic", "claude")
        .with_deployment("eu")
        .with_status(529)
        .with_code("overloaded_error")
        .with_request_id("req_1");
    let upstream = Scripted::new([
        Step::stream([Piece::Role, Piece::text("The "), Piece::Fail(broken)]),
        Step::fail_with(ErrorKind::InvalidRequest),
        Step::fail_with(ErrorKind::Unavailable),
    ]);
    let error = read(&over(&RescueLayer::standard(), &upstream), streaming()).await.error.unwrap();
    assert_eq!(
        (error.kind(), error.provider(), error.model(), error.deployment()),
        (ErrorKind::Overloaded, Some("anthropic"), Some("claude"), Some("eu"))
    );
    assert_eq!(
        (error.status(), error.code(), error.request_id()),
        (Some(529), Some("overloaded_error"), Some("req_1"))
    );
    assert_eq!(error.message(), "no capacity (the answer could not be taken up again: nobody took it up)");
    let kinds: Vec<_> = error.attempts().iter().map(Error::kind).collect();
    assert_eq!(kinds, [ErrorKind::InvalidRequest, ErrorKind::Unavailable, ErrorKind::Overloaded]);
    assert!(std::error::Error::source(&error).is_some());
}

// A stream that was begun and given up is paid for too.
#[tokio::test(start_paused = true)]
async fn the_usage_of_an_answer_that_was_another_one_is_not_known() {
    use mainstay_rescue::RescuePolicy::{Restart, Resume};
    let upstream = model([
        says(TEXT).cut(4).using(Usage::new(10, 5)),
        says("Something else").using(Usage::new(10, 5)),
        says(TEXT).using(Usage::new(15, 20)),
    ]);
    let layer = RescueConfig::builder().policies([Restart, Resume]).build().unwrap();
    let got = read(&over(&layer, &upstream), streaming()).await;
    got.assert_whole();
    assert_eq!((got.end.usage, &got.report()["usage_known"]), (Some(Usage::new(25, 25)), &json!(false)));
}

#[tokio::test(start_paused = true)]
async fn the_partial_answer_of_a_lost_one_is_that_of_all_streams() {
    use mainstay_provider_core::Provider;
    let stalls = |text: &str, partial: &str| {
        let partial = mainstay_provider_core::ChatResponse::new(
            "gpt-9",
            mainstay_provider_core::Message::assistant(partial),
            mainstay_provider_core::FinishReason::Stop,
        );
        let error = Error::new(ErrorKind::Timeout(mainstay_provider_core::Timer::Idle), "it stopped");
        Step::stream([Piece::Role, Piece::text(text), Piece::Fail(error.with_partial(partial))])
    };
    let first = [stalls("The mainstay", "The mainstay"), Step::fail_with(ErrorKind::Unavailable)];
    let upstream = Scripted::new(first.into_iter().chain([Step::fail_with(ErrorKind::Unavailable)]));
    let provider = over(&RescueLayer::standard(), &upstream);
    let error = provider.ask(streaming()).await.unwrap().collect().await.unwrap_err();
    assert_eq!(error.partial().unwrap().text(), "The mainstay");

    for last in [ErrorKind::Timeout(mainstay_provider_core::Timer::Idle), ErrorKind::ContentFiltered] {
        let layer = RescueConfig::standard().rescues(1).build().unwrap();
        let second = match last {
            ErrorKind::ContentFiltered => {
                let partial = mainstay_provider_core::ChatResponse::empty("gpt-9");
                let error = Error::new(last, "filtered").with_partial(partial);
                Step::stream([Piece::Role, Piece::text(" is"), Piece::Fail(error)])
            }
            _ => stalls(" is", " is"),
        };
        let upstream = Scripted::new([stalls("The mainstay", "The mainstay"), second]);
        let provider = over(&layer, &upstream);
        let error = provider.ask(streaming()).await.unwrap().collect().await.unwrap_err();
        assert_eq!((error.kind(), &*error.partial().unwrap().text()), (last, "The mainstay is"));
    }
}

#[tokio::test(start_paused = true)]
async fn operators_hear_of_it_without_a_word_of_the_text() {
    let heard: Arc<Mutex<Vec<Event>>> = Arc::default();
    let sink = heard.clone();
    let events = Events::to(move |event| sink.lock().unwrap().push(event));
    let layer = || {
        RescueConfig::standard().hold_back(HoldBack::new().chunks(2)).events(events.clone()).build().unwrap()
    };
    let upstream = model([
        says(TEXT).cut(1).with(ErrorKind::Network),
        says(TEXT).cut(4).with(ErrorKind::Network),
        says(TEXT).prefill(Prefill::Refuses),
        says("Something else").cut(1),
    ]);
    read(&over(&layer(), &upstream), streaming()).await.assert_sound();
    let upstream = model([says(TEXT).cut(4), says(TEXT)]);
    read(&over(&layer(), &upstream), streaming()).await.assert_whole();
    let upstream = model([says(TEXT).cut(4), says(TEXT).prefill(Prefill::Refuses), says(TEXT)]);
    read(&over(&layer(), &upstream), streaming()).await.assert_whole();
    let heard = heard.lock().unwrap();
    let names: Vec<_> = heard.iter().map(|event| event.name).collect();
    assert_eq!(names, ["rescue.held_back", "rescue.failed", "rescue.resumed", "rescue.restarted"]);
    for event in heard.iter() {
        assert_eq!(event.severity, Severity::Warning);
        assert!(event.attributes.iter().any(|(name, _)| *name == "reason"));
        assert!(!format!("{event:?}").contains("mainstay"), "{event:?}");
    }
}

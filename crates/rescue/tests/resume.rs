//! Resume: somebody else goes on where the text stopped, and the caller sees one answer.

mod common;

use common::{Prefill, TEXT, model, over, over_wire, policies, read, says, streaming};
use mainstay_provider_core::chat::{Content, ResponseFormat, Role};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{Error, ErrorKind, Message, Timer};
use mainstay_rescue::{RescueLayer, RescuePolicy};

fn resume() -> RescueLayer {
    policies([RescuePolicy::Resume])
}

// T6
#[tokio::test(start_paused = true)]
async fn wherever_it_breaks_the_rest_comes_from_somebody_else() {
    for error in [
        ErrorKind::Network,
        ErrorKind::Timeout(Timer::Idle),
        ErrorKind::Overloaded,
        ErrorKind::ServerError,
        ErrorKind::MalformedResponse,
        ErrorKind::RateLimited,
    ] {
        for after in 1..17 {
            let upstream = model([says(TEXT).cut(after).with(error), says(TEXT)]);
            let got = read(&over(&resume(), &upstream), streaming()).await;
            got.assert_whole();
            assert_eq!(upstream.counts().calls, 2);
        }
    }
}

// Chunks of plain text are not taken apart before they must be.
#[tokio::test(start_paused = true)]
async fn it_is_the_same_for_chunks_as_they_come_from_a_connection() {
    for after in 1..17 {
        let upstream = model([says(TEXT).cut(after), says(TEXT).cut(2), says(TEXT)]);
        let got = read(&over_wire(&resume(), &upstream), streaming()).await;
        got.assert_whole();
        let first = got.chunks.iter().take(after + 1);
        assert!(
            first.clone().count() == after + 1 && first.into_iter().all(|chunk| chunk.as_plain().is_some())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_asked_for_with_the_text_so_far_as_the_assistants_last_message() {
    let upstream = model([says(TEXT).cut(3), says(TEXT)]);
    let mut call = streaming();
    call.request_mut().max_tokens = Some(100);
    read(&over(&resume(), &upstream), call).await.assert_whole();
    let calls = upstream.calls();
    let (first, second) = (&calls[0], &calls[1]);
    assert!(!first.context().needs.prefill && second.context().needs.prefill);
    assert_eq!(second.request().messages.len(), 2);
    let last = &second.request().messages[1];
    assert_eq!((&last.role, &*last.text()), (&Role::Assistant, "The mainstay"));
    assert_eq!(second.request().max_tokens, Some(97), "a token for four bytes was used up");
    let mut asked = second.request().clone();
    asked.messages.pop();
    asked.max_tokens = first.request().max_tokens;
    assert_eq!(&asked, first.request(), "nothing else is different");
    assert_eq!(first.context().attempts.len(), second.context().attempts.len(), "one ledger");
}

#[tokio::test(start_paused = true)]
async fn white_space_at_the_end_is_left_out_of_the_prefill_and_comes_once() {
    // "The " and "The mainstay " end with white space; the model begins with it.
    for (after, prefill) in [(1, "The"), (3, "The mainstay"), (4, "The mainstay is")] {
        let upstream = model([says(TEXT).cut(after), says(TEXT)]);
        read(&over(&resume(), &upstream), streaming()).await.assert_whole();
        assert_eq!(upstream.calls()[1].request().messages[1].text(), prefill);
    }
}

#[tokio::test(start_paused = true)]
async fn a_prefill_that_is_repeated_in_the_answer_comes_once() {
    for after in 1..17 {
        let upstream = model([says(TEXT).cut(after), says(TEXT).prefill(Prefill::Repeats)]);
        read(&over(&resume(), &upstream), streaming()).await.assert_whole();
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_the_text_for_a_finished_turn_does_not_make_it_one() {
    let upstream = model([says(TEXT).cut(3), says(TEXT).prefill(Prefill::IsDone)]);
    let got = read(&over(&resume(), &upstream), streaming()).await;
    got.assert_sound();
    let error = got.error.unwrap();
    assert!(error.message().contains("nobody went on"), "{}", error.message());

    let upstream = model([says(TEXT).cut(3), says(TEXT).prefill(Prefill::IsDone), says(TEXT)]);
    read(&over(&RescueLayer::standard(), &upstream), streaming()).await.assert_whole();
}

// The fault bench's "fallback that rejects prefill after a cut".
#[tokio::test(start_paused = true)]
async fn a_prefill_that_is_refused_leads_to_a_restart_and_never_surfaces() {
    for after in 1..17 {
        let upstream = model([says(TEXT).cut(after), says(TEXT).prefill(Prefill::Refuses), says(TEXT)]);
        let got = read(&over(&RescueLayer::standard(), &upstream), streaming()).await;
        got.assert_whole();
        assert_eq!(upstream.counts().calls, 3);
        assert!(!upstream.calls()[2].context().needs.prefill);
        assert_eq!(got.report()["legs"][1]["by"], "restart");
    }
    let upstream = model([says(TEXT).cut(3), says(TEXT).prefill(Prefill::Refuses)]);
    let error = read(&over(&resume(), &upstream), streaming()).await.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::MalformedResponse, "that of the break");
    assert!(error.message().contains("nobody took it up"), "{}", error.message());
    let kinds: Vec<_> = error.attempts().iter().map(Error::kind).collect();
    assert_eq!(kinds, [ErrorKind::InvalidRequest, ErrorKind::MalformedResponse]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_held_to_a_form_is_restarted() {
    let upstream = model([says(TEXT).cut(3), says(TEXT)]);
    let mut call = streaming();
    call.request_mut().response_format = Some(ResponseFormat::JsonObject);
    read(&over(&RescueLayer::standard(), &upstream), call).await.assert_whole();
    assert!(!upstream.calls()[1].context().needs.prefill);
}

#[tokio::test(start_paused = true)]
async fn a_prefill_of_the_callers_own_is_gone_on_with() {
    let own = "A mainstay? ";
    let whole = format!("{own}{TEXT}");
    let upstream = model([says(&whole).cut(3), says(&whole)]);
    let mut call = streaming();
    call.request_mut().messages.push(Message::assistant(own));
    read(&over(&resume(), &upstream), call.clone()).await.assert_whole();
    let messages = upstream.calls()[1].request().messages.clone();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[1].content, Some(Content::Text("A mainstay? The mainstay".into())));

    // A provider that says the caller's prefill again, and then ours.
    let upstream =
        model([says(&whole).prefill(Prefill::Repeats).cut(6), says(&whole).prefill(Prefill::Repeats)]);
    let got = read(&over(&resume(), &upstream), call).await;
    got.assert_sound();
    assert_eq!(got.text(), whole);
    assert_eq!(upstream.calls()[1].request().messages[1].text(), "A mainstay? The mainstay");
}

#[tokio::test(start_paused = true)]
async fn reasoning_is_held_apart_and_comes_from_one_model_only() {
    let thought = |text: &str| Piece::Reasoning(text.into());
    let (pieces, end) = ([Piece::Role, thought("Hm, "), thought("ropes.")], [Piece::stop()]);
    let upstream = Scripted::new([
        Step::stream(pieces.iter().cloned().chain([Piece::text("The mainstay is "), Piece::Cut])),
        Step::stream(
            pieces
                .iter()
                .cloned()
                .chain([Piece::text(" the rope that holds the mast from in front of it.")])
                .chain(end.clone()),
        ),
    ]);
    let got = read(&over(&resume(), &upstream), streaming()).await;
    got.assert_whole();
    assert_eq!(got.reasoning(), "Hm, ropes.");
    assert_eq!(upstream.calls()[1].request().messages[1].text(), "The mainstay is");

    // It broke off in the reasoning: there is nothing to go on from, and another model's thoughts are not its end.
    let upstream = Scripted::new([
        Step::stream([Piece::Role, thought("Hm, "), Piece::Cut]),
        Step::stream([Piece::Role, thought("Well, "), Piece::text(TEXT)].into_iter().chain(end)),
    ]);
    let got = read(&over(&RescueLayer::standard(), &upstream), streaming()).await;
    got.assert_whole();
    assert_eq!(got.reasoning(), "Hm, ");
    assert!(!upstream.calls()[1].context().needs.prefill);
}

#[tokio::test(start_paused = true)]
async fn a_tool_may_be_called_after_the_text() {
    let upstream = Scripted::new([
        Step::stream([Piece::Role, Piece::text("Let me "), Piece::Cut]),
        Step::stream([
            Piece::Role,
            Piece::text(" see."),
            Piece::tool_call(0, "call_1", "look"),
            Piece::arguments(0, "{\"at\":1}"),
            Piece::Finish(mainstay_provider_core::FinishReason::ToolCalls),
        ]),
    ]);
    let got = read(&over(&resume(), &upstream), streaming()).await;
    got.assert_sound();
    assert_eq!(got.text(), "Let me see.");
    let call = got.chunks.iter().flat_map(|chunk| &chunk.choices).find_map(|c| c.delta.tool_calls.first());
    assert_eq!(call.unwrap().id.as_deref(), Some("call_1"));
}

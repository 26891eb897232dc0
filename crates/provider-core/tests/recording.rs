//! What a cache keeps of an answer, and what it never keeps.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use mainstay_provider_core::chat::{Assembler, Content, Message, Part, RefusalPart, Role, ToolCall};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{
    Call, ChatChunk, ChatResponse, End, ErrorKind, FinishReason, Keep, Pace, Provider, Recording, Reply,
    ReplyHead, Usage, Wire,
};
use proptest::prelude::*;
use serde_json::json;
use tokio::time::Instant;

const STOP: Piece = Piece::Finish(FinishReason::Stop);

/// Reads a reply to its end; gives what the hook saw, and the chunks.
async fn read(reply: Reply, keep: Keep) -> (End, Vec<Bytes>) {
    let (tell, told) = mpsc::channel();
    let reply = reply.on_end_keeping(keep, move |end| tell.send(end.clone()).unwrap());
    let mut texts = Vec::new();
    if reply.is_stream() {
        let mut chunks = reply.into_stream();
        while let Some(Ok(chunk)) = chunks.next().await {
            texts.push(chunk.to_json());
        }
    }
    (told.try_recv().unwrap(), texts)
}

async fn streamed(pieces: impl IntoIterator<Item = Piece>) -> (End, Vec<Bytes>) {
    let mut call = Call::ask("m", "hi");
    call.request_mut().stream = Some(true);
    read(Scripted::new([Step::stream(pieces)]).ask(call).await.unwrap(), Keep::Chunks).await
}

async fn whole(answer: ChatResponse) -> End {
    read(Reply::whole(ReplyHead::new("sim", "sim-1"), answer), Keep::Answer).await.0
}

fn answer(text: &str, finish_reason: FinishReason) -> ChatResponse {
    ChatResponse::new("sim-1", Message::assistant(text), finish_reason)
}

fn saying(change: impl FnOnce(&mut Message)) -> ChatResponse {
    let mut message = Message::assistant("It holds the mast.");
    change(&mut message);
    ChatResponse::new("sim-1", message, FinishReason::Stop)
}

#[tokio::test]
async fn a_stream_comes_back_with_the_chunks_that_it_had() {
    let usage = Usage::new(3, 4);
    let pieces = [Piece::Role, Piece::text("It "), Piece::text("holds \"it\".\n"), STOP, Piece::Usage(usage)];
    let (end, chunks) = streamed(pieces).await;
    let recording = Recording::of(&end).unwrap();
    assert_eq!((recording.chunks(), recording.usage()), (5, Some(usage)));
    let again = recording.reply(recording.head(), true, Pace::AtOnce);
    assert_eq!(again.head.attempts, 0);
    let (again, replayed) = read(again, Keep::Answer).await;
    assert_eq!(replayed, chunks);
    assert!(again.is_complete());
    assert_eq!((again.usage, again.finish_reason), (Some(usage), Some(FinishReason::Stop)));
    // And whole, for whoever asks so.
    let whole = recording.reply(recording.head(), false, Pace::AtOnce);
    assert_eq!(whole.answer().unwrap().text(), "It holds \"it\".\n");
    assert_eq!(whole.usage(), Some(usage));
    assert_eq!(end.answer.unwrap(), *recording.whole());
}

#[tokio::test]
async fn a_whole_answer_comes_back_byte_for_byte_and_as_a_stream() {
    let text = br#"{"id":"c","object":"chat.completion","created":1,"model":"m",  "choices":[{"index":0,"message":{"role":"assistant","content":"Yes."},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;
    let wire = Wire::<ChatResponse>::plain(Bytes::from_static(text)).unwrap();
    let (end, _) = read(Reply::whole(ReplyHead::new("sim", "m"), wire), Keep::Answer).await;
    let recording = Recording::of(&end).unwrap().by(&ReplyHead::new("sim", "m"));
    assert_eq!(recording.whole().to_json(), &text[..]);
    assert_eq!((&**recording.provider(), &**recording.model()), ("sim", "m"));
    let stream = recording.reply(recording.head(), true, Pace::AtOnce);
    assert!(stream.is_stream());
    let collected = stream.collect().await.unwrap();
    assert_eq!((&*collected.text(), collected.usage()), ("Yes.", Some(Usage::new(1, 2))));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_played_at_the_pace_that_is_wanted() {
    let (end, _) = streamed([Piece::text("a"), Piece::text("b"), STOP]).await;
    let recording = Recording::of(&end).unwrap();
    let begun = Instant::now();
    let mut chunks =
        recording.reply(recording.head(), true, Pace::Every(Duration::from_millis(20))).into_stream();
    let mut at = Vec::new();
    while let Some(chunk) = chunks.next().await {
        chunk.unwrap();
        at.push(begun.elapsed().as_millis());
    }
    assert_eq!(at, [0, 20, 40]);
}

// Security test 16
#[tokio::test]
async fn what_is_not_the_whole_of_an_answer_is_not_kept() {
    for pieces in [
        vec![Piece::text("a"), Piece::Cut],
        vec![Piece::text("a"), Piece::fail_with(ErrorKind::Overloaded)],
        vec![Piece::text("a"), STOP, Piece::fail_with(ErrorKind::Network)],
        vec![Piece::text("a"), Piece::Finish(FinishReason::Length)],
        vec![Piece::text("a"), Piece::Finish(FinishReason::ContentFilter)],
        vec![Piece::text("a"), Piece::Finish(FinishReason::Timeout)],
        vec![Piece::text("a"), Piece::Finish(FinishReason::Other("eos".into()))],
        vec![Piece::Reasoning("hm".into()), STOP],
        vec![
            Piece::tool_call(0, "1", "f"),
            Piece::arguments(0, "{}"),
            Piece::Finish(FinishReason::ToolCalls),
        ],
        vec![Piece::tool_call(0, "1", "f"), STOP],
    ] {
        let told = format!("{pieces:?}");
        let (end, _) = streamed(pieces).await;
        assert!(Recording::of(&end).is_none(), "{told}");
    }
    let mended = |name: &str| {
        let mut answer = answer("a", FinishReason::Stop);
        answer.extra.insert(name, json!({"rescue": 1}));
        answer
    };
    for answer in [
        answer("a", FinishReason::Length),
        answer("", FinishReason::Stop),
        ChatResponse::empty("m"),
        mended("mainstay"),
        mended("error"),
        saying(|message| message.refusal = Some("No.".into())),
        saying(|message| {
            let refusal = RefusalPart { refusal: "No.".into(), ..RefusalPart::default() };
            message.content = Some(Content::Parts(vec![Part::Refusal(refusal)]));
        }),
        saying(|message| message.tool_calls.push(ToolCall::function("1", "f", "{}"))),
        saying(|message| drop(message.extra.insert("function_call", json!({"name": "f"})))),
    ] {
        let told = format!("{answer:?}");
        assert!(Recording::of(&whole(answer).await).is_none(), "{told}");
    }
    // One answer of two that is cut off.
    let mut two = answer("a", FinishReason::Stop);
    let mut second = two.choices[0].clone();
    (second.index, second.finish_reason) = (1, Some(FinishReason::Length));
    two.choices.push(second);
    assert!(Recording::of(&whole(two).await).is_none());
}

#[tokio::test]
async fn an_answer_that_calls_tools_is_kept_by_whoever_asks_for_it() {
    let calls = || {
        let tool_calls = vec![ToolCall::function("1", "f", "{}")];
        let message = Message { tool_calls, ..Message::empty(Role::Assistant) };
        ChatResponse::new("m", message, FinishReason::ToolCalls)
    };
    let end = whole(calls()).await;
    assert!(Recording::of(&end).is_none());
    let recording = Recording::of_with_tool_calls(&end).unwrap();
    assert_eq!(recording.finish_reason(), &FinishReason::ToolCalls);
    let stream = recording.reply(recording.head(), true, Pace::AtOnce);
    assert_eq!(
        stream.collect().await.unwrap().choices[0].message.tool_calls,
        calls().choices[0].message.tool_calls
    );
    // What was not asked to be kept is not there.
    let (end, _) =
        read(Reply::whole(ReplyHead::new("sim", "m"), answer("a", FinishReason::Stop)), Keep::Nothing).await;
    assert!(Recording::of(&end).is_none());
}

async fn recordings() -> Vec<Recording> {
    let (end, _) = streamed([
        Piece::Role,
        Piece::text("It "),
        Piece::text("holds."),
        STOP,
        Piece::Usage(Usage::new(3, 4)),
    ])
    .await;
    let head = ReplyHead::new("sim", "sim-1");
    vec![
        Recording::of(&end).unwrap().by(&head),
        Recording::of(&whole(answer("It holds.", FinishReason::Stop)).await).unwrap(),
    ]
}

#[tokio::test]
async fn bytes_and_back() {
    for recording in recordings().await {
        let again = Recording::from_bytes(recording.to_bytes()).unwrap();
        assert_eq!(format!("{again:?}"), format!("{recording:?}"));
        assert_eq!(again.whole().to_json(), recording.whole().to_json());
        let chunks = async |recording: &Recording| {
            read(recording.reply(recording.head(), true, Pace::AtOnce), Keep::Nothing).await.1
        };
        assert_eq!(chunks(&again).await, chunks(&recording).await);
    }
}

#[tokio::test]
async fn the_answer_stays_in_the_bytes_uncopied() {
    for recording in recordings().await {
        let bytes = recording.to_bytes();
        let again = Recording::from_bytes(bytes.clone()).unwrap();
        let whole = again.whole();
        assert!(bytes.as_ptr_range().contains(&whole.raw().unwrap().as_ptr()));
    }
}

// S2: corrupted values are misses
#[tokio::test]
async fn damaged_bytes_are_no_recording() {
    for recording in recordings().await {
        let bytes = recording.to_bytes();
        for length in 0..bytes.len() {
            assert!(Recording::from_bytes(bytes.slice(..length)).is_none(), "torn at {length}");
        }
        for at in 0..bytes.len() {
            for bit in [1, 0x80] {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= bit;
                assert!(Recording::from_bytes(damaged.into()).is_none(), "{bit:x} at {at}");
            }
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(Recording::from_bytes(longer.into()).is_none());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
        prop_assert!(Recording::from_bytes(bytes.into()).is_none());
    }

    #[test]
    fn bytes_that_another_has_made_with_the_right_checksum_are_read_without_a_panic(
        which in 0..2_usize,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        length: proptest::sample::Index,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut bytes = runtime.block_on(recordings())[which].to_bytes().to_vec();
        let head = b"mainstay recording 1\n".len() + 4;
        for (at, byte) in changes {
            let at = head + at.index(bytes.len() - head);
            bytes[at] = byte;
        }
        bytes.truncate(head + length.index(bytes.len() - head + 1));
        let sum = crc32fast::hash(&bytes[head..]);
        bytes[head - 4..head].copy_from_slice(&sum.to_le_bytes());
        if let Some(read) = Recording::from_bytes(bytes.into()) {
            let _size = read.whole().to_json().len() + read.chunks();
        }
    }

    #[test]
    fn a_recording_of_a_stream_has_the_answer_that_the_stream_had(
        pieces in proptest::collection::vec((0..2u32, ".{0,12}"), 1..20),
    ) {
        let chunk = |index: u32, delta: serde_json::Value, finish_reason: Option<&str>| {
            json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [
                {"index": index, "delta": delta, "finish_reason": finish_reason}
            ]})
        };
        let begun: BTreeSet<u32> = pieces.iter().map(|(index, _)| *index).collect();
        let mut stream = vec![chunk(pieces[0].0, json!({"role": "assistant", "content": "."}), None)];
        stream.extend(pieces.iter().map(|(index, text)| chunk(*index, json!({"content": text}), None)));
        stream.extend(begun.iter().map(|index| chunk(*index, json!({"content": "."}), Some("stop"))));
        let mut whole = Assembler::default();
        let chunks: Vec<Wire<ChatChunk>> = stream
            .iter()
            .map(|chunk| {
                whole.push(&serde_json::from_value(chunk.clone()).unwrap());
                let raw = Bytes::from(chunk.to_string());
                Wire::<ChatChunk>::plain(raw.clone())
                    .unwrap_or_else(|| Wire::with_raw(serde_json::from_value(chunk.clone()).unwrap(), raw))
            })
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let items = futures_util::stream::iter(chunks.clone().into_iter().map(Ok));
        let reply = runtime.block_on(Reply::stream(ReplyHead::new("sim", "m"), items)).unwrap();
        let (end, _) = runtime.block_on(read(reply, Keep::Chunks));
        let recording = Recording::of(&end).unwrap();
        prop_assert_eq!(&whole.finish(), &*recording.whole());
        prop_assert_eq!(recording.chunks(), chunks.len());
        prop_assert_eq!(Recording::of_stream(&end, &chunks).unwrap().to_bytes(), recording.to_bytes());
    }
}

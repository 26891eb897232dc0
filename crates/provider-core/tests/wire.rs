//! A plain text event is passed on without being taken apart, and nobody can tell.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use futures_util::stream;
use mainstay_provider_core::test_kit::Generator;
use mainstay_provider_core::{ChatChunk, End, Keep, Reply, ReplyHead, Wire};
use proptest::prelude::*;
use serde_json::json;

/// A chunk of plain text, as providers send it, with members present or not and texts of all kinds.
fn plain_event(seed: u64) -> String {
    let mut generator = Generator::new(seed);
    let (mut event, mut choice, mut delta) = (json!({}), json!({"index": seed % 3}), json!({}));
    let optional = |object: &mut serde_json::Value, bit: u32, name: &str, value: serde_json::Value| {
        if seed >> bit & 1 == 1 {
            object[name] = value;
        }
    };
    optional(&mut delta, 8, "role", json!("assistant"));
    optional(&mut delta, 9, "content", generator.text().into());
    optional(&mut delta, 10, "refusal", json!(null));
    optional(&mut choice, 11, "finish_reason", json!(null));
    optional(&mut choice, 12, "logprobs", json!(null));
    choice["delta"] = delta;
    optional(&mut event, 13, "id", generator.text().into());
    optional(&mut event, 14, "object", json!("chat.completion.chunk"));
    optional(&mut event, 15, "created", (seed >> 20).into());
    optional(&mut event, 16, "model", json!("m"));
    optional(&mut event, 17, "system_fingerprint", json!("fp"));
    optional(&mut event, 18, "usage", json!(null));
    event["choices"] = json!([choice]);
    event.to_string()
}

/// Whatever passes for plain text must be what the full reader makes of it.
fn assert_same(event: &[u8]) {
    let Some(plain) = Wire::<ChatChunk>::plain(event.to_vec().into()) else { return };
    let read: ChatChunk = serde_json::from_slice(event).expect("what passes for plain can be read");
    let known = plain.as_plain().unwrap();
    assert_eq!((known.index, known.has_text), (read.choices[0].index, read.has_content()));
    assert_eq!(plain.has_content(), read.has_content());
    assert!(read.usage.is_none() && read.choices.len() == 1 && read.choices[0].finished().is_none());
    assert_eq!(&*plain.to_json(), event);
    let mut text = "so far: ".to_owned();
    plain.push_text(&mut text);
    let new = if known.index == 0 { read.text() } else { "" };
    assert_eq!(text, format!("so far: {new}"));
    assert_eq!(*plain, read);
    assert_eq!(plain.into_inner(), read);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn what_passes_for_plain_text_is_what_the_full_reader_makes_of_it(seed: u64) {
        let event = plain_event(seed);
        prop_assert!(Wire::<ChatChunk>::plain(event.clone().into()).is_some(), "{}", event);
        assert_same(event.as_bytes());
    }

    #[test]
    fn even_with_bytes_changed(seed: u64, at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let mut event = plain_event(seed).into_bytes();
        let at = at.index(event.len());
        event[at] = byte;
        assert_same(&event);
        event.remove(cut.index(event.len()));
        assert_same(&event);
    }

    #[test]
    fn no_chunk_with_more_in_it_passes(seed: u64) {
        assert_same(Generator::new(seed).chunk().to_string().as_bytes());
        assert_same(Generator::new(seed).unknown_members(false).chunk().to_string().as_bytes());
    }
}

#[test]
fn a_change_to_a_plain_chunk_is_printed() {
    let raw = r#"{ "choices":[{"index":0,"delta":{"content":"a"}}] }"#;
    let mut wire = Wire::<ChatChunk>::plain(raw.into()).unwrap();
    wire.choices[0].delta.content = Some("b".into());
    assert!(wire.as_plain().is_none() && wire.raw().is_none());
    assert_eq!(serde_json::from_slice::<ChatChunk>(&wire.to_json()).unwrap().text(), "b");
}

#[tokio::test]
async fn the_end_of_a_stream_is_the_same_whether_its_chunks_were_plain_or_read() {
    let events = [
        r#"{"id":"1","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
        r#"{"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"usage":null}"#,
        r#"{"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"b"},"logprobs":null}]}"#,
        r#"{"id":"1","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"id":"1","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#,
    ];
    let mut ends: Vec<End> = Vec::new();
    for plain in [true, false] {
        let chunks: Vec<_> = events
            .iter()
            .map(|event| {
                let read: ChatChunk = serde_json::from_str(event).unwrap();
                let wire = plain.then(|| Wire::<ChatChunk>::plain((*event).into())).flatten();
                Ok(wire.unwrap_or_else(|| Wire::with_raw(read, (*event).into())))
            })
            .collect();
        let plain_chunks =
            chunks.iter().filter(|chunk| chunk.as_ref().is_ok_and(|chunk| chunk.as_plain().is_some()));
        assert_eq!(plain_chunks.count(), if plain { 3 } else { 0 });
        let seen = Arc::new(Mutex::new(None));
        let hook = seen.clone();
        let reply = Reply::stream(ReplyHead::new("p", "m"), stream::iter(chunks)).await.unwrap();
        let reply = reply.on_end_keeping(Keep::Chunks, move |end| *hook.lock().unwrap() = Some(end.clone()));
        assert_eq!(reply.collect().await.unwrap().text(), "ab");
        ends.push(seen.lock().unwrap().take().unwrap());
    }
    let [plain, read] = &ends[..] else { panic!("two ends") };
    assert!(plain.is_complete() && read.is_complete());
    assert_eq!(
        (plain.usage, &plain.finish_reason, plain.content_chunks),
        (read.usage, &read.finish_reason, read.content_chunks)
    );
    assert_eq!((&plain.answer, &plain.chunks), (&read.answer, &read.chunks));
}

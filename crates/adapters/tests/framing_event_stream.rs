//! AWS event-stream messages come out the same however they are split, and no damage passes unseen.
#![cfg(feature = "bedrock")]
#![allow(clippy::unwrap_used)] // clippy takes a test's helpers for library code

use bytes::Bytes;
use mainstay_adapters::framing::{EventStreamDecoder, Frame, Frames, FramingError};
use proptest::prelude::*;

#[test]
fn a_message_is_its_type_and_its_payload() {
    let seen = frames(&event("contentBlockDelta", br#"{"delta":{"text":"Hi"}}"#), &[]).unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].event(), "contentBlockDelta");
    assert_eq!(seen[0].data, &br#"{"delta":{"text":"Hi"}}"#[..]);
    assert!(seen[0].terminated && !seen[0].exception);
}

#[test]
fn an_exception_is_marked_and_named() {
    let bytes = message(
        &[text(":exception-type", "throttlingException"), text(":message-type", "exception")],
        br#"{"message":"Too many requests"}"#,
    );
    let seen = frames(&bytes, &[]).unwrap();
    assert_eq!((seen[0].event(), seen[0].exception), ("throttlingException", true));
    assert_eq!(seen[0].data, &br#"{"message":"Too many requests"}"#[..]);
}

#[test]
fn an_error_without_payload_gives_its_message() {
    let headers =
        [text(":message-type", "error"), text(":error-code", "InternalError"), text(":error-message", "oh")];
    let seen = frames(&message(&headers, b""), &[]).unwrap();
    assert_eq!((seen[0].event(), &seen[0].data[..], seen[0].exception), ("InternalError", &b"oh"[..], true));
}

#[test]
fn headers_of_every_type_are_passed_over() {
    let values: [(u8, &[u8]); 10] = [
        (0, b""),
        (1, b""),
        (2, b"1"),
        (3, b"12"),
        (4, b"1234"),
        (5, b"12345678"),
        (6, b"\0\x03abc"),
        (7, b"\0\0"),
        (8, b"12345678"),
        (9, b"1234567812345678"),
    ];
    let mut headers: Vec<_> = values.iter().map(|(kind, value)| header("x", *kind, value)).collect();
    headers.push(text(":message-type", "event"));
    headers.push(text(":event-type", "metadata"));
    assert_eq!(frames(&message(&headers, b"{}"), &[]).unwrap()[0].event(), "metadata");
}

#[test]
fn every_flipped_bit_is_seen() {
    let whole = event("messageStop", br#"{"stopReason":"end_turn"}"#);
    for at in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        assert_eq!(frames(&damaged, &[]), Err(FramingError::Checksum), "bit {at}");
    }
}

#[test]
fn a_body_that_ends_within_a_message_is_truncated() {
    let whole = event("messageStop", b"{}");
    for length in 1..whole.len() {
        assert_eq!(frames(&whole[..length], &[]), Err(FramingError::Truncated), "{length} bytes");
    }
    assert_eq!(frames(&[], &[]), Ok(vec![]));
}

#[test]
fn a_message_over_the_limit_is_refused_by_its_announcement() {
    let mut decoder = EventStreamDecoder::with_limit(1000);
    decoder.push(prelude(1001, 0).into());
    assert_eq!(decoder.next(), Some(Err(FramingError::TooLarge { limit: 1000 })));
    decoder.push(event("messageStop", b"{}").into());
    assert_eq!(decoder.next(), None);
    assert_eq!(decoder.finish(), None);

    let mut decoder = EventStreamDecoder::with_limit(1000);
    decoder.push(prelude(1000, 0).into());
    assert_eq!(decoder.next(), None);
}

#[test]
fn lengths_and_headers_that_cannot_be_are_malformed() {
    let malformed = |bytes: Vec<u8>| matches!(frames(&bytes, &[]), Err(FramingError::Malformed(_)));
    assert!(malformed(prelude(15, 0)), "shorter than an empty message");
    assert!(malformed(signed(&prelude(16, 4))), "headers reach past the end");
    assert!(malformed(message(&[], b"{}")), "no :message-type");
    assert!(malformed(message(&[text(":message-type", "poem")], b"{}")), "an unknown :message-type");
    assert!(malformed(message(&[header("x", 10, b"")], b"{}")), "an unknown value type");
    assert!(malformed(message(&[header("x", 7, b"\xFF\xFFabc")], b"{}")), "a value longer than the headers");
    assert!(malformed(message(&[b"\x09x".to_vec()], b"{}")), "a name longer than the headers");
}

proptest! {
    #[test]
    fn however_the_bytes_are_split_the_messages_are_the_same(
        sent in prop::collection::vec(("[a-zA-Z]{1,20}", prop::collection::vec(any::<u8>(), 0..80)), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes = sent.iter().flat_map(|(name, payload)| event(name, payload)).collect::<Vec<_>>();
        let cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        let seen = frames(&bytes, &cuts).unwrap();
        let seen: Vec<_> = seen.iter().map(|frame| (frame.event().to_owned(), frame.data.to_vec())).collect();
        prop_assert_eq!(seen, sent);
        let each: Vec<_> = (0..bytes.len()).collect();
        prop_assert_eq!(frames(&bytes, &each), frames(&bytes, &[]));
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        start in prop_oneof![Just(Vec::new()), Just(event("e", b"{}"))],
        reads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..10),
    ) {
        let mut frames = Frames::event_stream();
        for read in std::iter::once(start).chain(reads) {
            frames.push(read.into());
            frames.by_ref().for_each(drop);
        }
        while frames.finish().is_some() {}
    }

    #[test]
    fn arbitrary_headers_with_right_checksums_never_panic(
        headers in prop::collection::vec(any::<u8>(), 0..100), payload in prop::collection::vec(any::<u8>(), 0..20),
        claimed in 0_u32..150,
    ) {
        let length = u32::try_from(16 + headers.len() + payload.len()).unwrap();
        let bytes = signed(&[prelude(length, claimed), headers, payload].concat());
        drop(frames(&bytes, &[]));
    }
}

fn frames(bytes: &[u8], cuts: &[usize]) -> Result<Vec<Frame>, FramingError> {
    let mut cuts = cuts.to_vec();
    cuts.sort_unstable();
    cuts.push(bytes.len());
    let mut frames = Frames::event_stream();
    let (mut seen, mut from) = (Vec::new(), 0);
    for to in cuts {
        frames.push(Bytes::copy_from_slice(&bytes[from..to]));
        seen.extend(frames.by_ref());
        from = to;
    }
    seen.extend(std::iter::from_fn(|| frames.finish()));
    seen.into_iter().collect()
}

fn event(name: &str, payload: &[u8]) -> Vec<u8> {
    let headers = [
        text(":event-type", name),
        text(":content-type", "application/json"),
        text(":message-type", "event"),
    ];
    message(&headers, payload)
}

fn message(headers: &[Vec<u8>], payload: &[u8]) -> Vec<u8> {
    let headers = headers.concat();
    let length = u32::try_from(16 + headers.len() + payload.len()).unwrap();
    let prelude = prelude(length, u32::try_from(headers.len()).unwrap());
    signed(&[&prelude, &headers, payload].concat())
}

fn prelude(length: u32, headers: u32) -> Vec<u8> {
    signed(&[length.to_be_bytes(), headers.to_be_bytes()].concat())
}

fn signed(bytes: &[u8]) -> Vec<u8> {
    [bytes, &crc32(bytes).to_be_bytes()].concat()
}

fn text(name: &str, value: &str) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    header(name, 7, &[&length, value.as_bytes()].concat())
}

fn header(name: &str, kind: u8, value: &[u8]) -> Vec<u8> {
    [&[u8::try_from(name.len()).unwrap()], name.as_bytes(), &[kind], value].concat()
}

/// CRC-32 (IEEE), bit by bit: slower than the decoder's and written apart from it.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

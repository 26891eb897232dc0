//! Lines of JSON come out the same however they are split.
#![allow(clippy::unwrap_used)] // clippy takes a test's helpers for library code

use bytes::Bytes;
use mainstay_adapters::framing::{Frames, FramingError, NdjsonDecoder};
use proptest::prelude::*;

#[test]
fn each_line_is_a_frame_and_blank_lines_are_none() {
    let seen = lines(b"{\"done\":false}\n\r\n  \n{\"done\":true}\r\n", &[]).0;
    assert_eq!(seen, [(b"{\"done\":false}".to_vec(), true), (b"{\"done\":true}".to_vec(), true)]);
}

#[test]
fn the_end_of_the_body_hands_out_the_last_line_marked_as_cut() {
    assert_eq!(lines(b"{}\n{\"do", &[]).0, [(b"{}".to_vec(), true), (b"{\"do".to_vec(), false)]);
    assert_eq!(lines(b"{}\n \t", &[]).0, [(b"{}".to_vec(), true)]);
}

#[test]
fn a_line_over_the_limit_is_an_error_and_the_end() {
    let mut decoder = NdjsonDecoder::with_limit(8);
    decoder.push("12345678\n123456789".into());
    assert_eq!(decoder.next().unwrap().unwrap().data, "12345678");
    assert_eq!(decoder.next(), Some(Err(FramingError::TooLarge { limit: 8 })));
    decoder.push("\n1\n".into());
    assert_eq!(decoder.next(), None);
    assert_eq!(decoder.finish(), None);
}

#[test]
fn frames_serve_lines_as_they_serve_events() {
    let mut frames = Frames::ndjson();
    frames.push("{\"error\":\"stopped\"}\n".into());
    let frame = frames.next().unwrap().unwrap();
    assert_eq!(
        (frame.event(), &frame.data[..], frame.exception),
        ("", &b"{\"error\":\"stopped\"}"[..], false)
    );
    assert!(frames.next().is_none() && frames.finish().is_none());
}

proptest! {
    #[test]
    fn however_the_bytes_are_split_the_lines_are_the_same(
        text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b' '), any::<u8>()], 0..200),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        prop_assert_eq!(lines(&text, &cuts), lines(&text, &[]));
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_no_line_outgrows_the_limit(
        reads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..40),
        limit in 0_usize..100,
    ) {
        let mut decoder = NdjsonDecoder::with_limit(limit);
        for read in reads {
            decoder.push(read.into());
            for frame in decoder.by_ref().flatten() {
                prop_assert!(frame.data.len() <= limit);
            }
        }
        while let Some(frame) = decoder.finish() {
            prop_assert!(frame.map_or(0, |frame| frame.data.len()) <= limit);
        }
    }
}

fn lines(bytes: &[u8], cuts: &[usize]) -> (Vec<(Vec<u8>, bool)>, Option<FramingError>) {
    let mut cuts = cuts.to_vec();
    cuts.sort_unstable();
    cuts.push(bytes.len());
    let mut decoder = NdjsonDecoder::with_limit(60);
    let (mut seen, mut from) = (Vec::new(), 0);
    for to in cuts {
        decoder.push(Bytes::copy_from_slice(&bytes[from..to]));
        seen.extend(decoder.by_ref());
        from = to;
    }
    seen.extend(std::iter::from_fn(|| decoder.finish()));
    let error = seen.iter().find_map(|frame| frame.as_ref().err().copied());
    (seen.into_iter().flatten().map(|frame| (frame.data.to_vec(), frame.terminated)).collect(), error)
}

//! Server-sent events come out the same however they are spelt and split.
#![allow(clippy::unwrap_used)] // clippy takes a test's helpers for library code

use bytes::Bytes;
use mainstay_adapters::framing::{FramingError, SseDecoder};
use proptest::prelude::*;

type Event = (String, Vec<u8>, bool);

#[test]
fn an_event_is_its_data_and_its_name() {
    let seen = events("event: message_start\ndata: {\"type\":\"message_start\"}\n\n");
    assert_eq!(seen, [named("message_start", "{\"type\":\"message_start\"}")]);
}

// What holds on to a read keeps the connection from reading into the same buffer again: 8 KiB anew for each event.
#[test]
fn a_read_is_let_go_when_its_events_are() {
    let read = Bytes::from(b"data: {\"a\":1}\n\ndata: {\"a\":2}\n\n".to_vec());
    let mut decoder = SseDecoder::new();
    decoder.push(read.clone());
    for frame in decoder.by_ref() {
        assert!(!read.is_unique());
        drop(frame.unwrap());
    }
    assert!(read.is_unique(), "the decoder keeps the buffer");
}

#[test]
fn a_data_line_within_one_read_is_not_copied() {
    let read = Bytes::from_static(b"data: {\"a\":1}\n\n");
    let mut decoder = SseDecoder::new();
    decoder.push(read.clone());
    let frame = decoder.next().unwrap().unwrap();
    assert_eq!(frame.data.as_ptr(), read[6..].as_ptr());
}

#[test]
fn line_ends_may_be_lf_cr_lf_or_cr() {
    for end in ["\n", "\r\n", "\r"] {
        let text = "event: a\ndata: 1\n\n: comment\ndata: 2\n\n".replace('\n', end);
        assert_eq!(events(&text), [named("a", "1"), plain("2")], "line end {end:?}");
    }
    assert_eq!(events("data: 1\r\ndata: 2\r\rdata: 3\n\n"), [plain("1\n2"), plain("3")]);
}

#[test]
fn a_cr_lf_split_between_reads_ends_one_line_and_the_event_is_not_held_back() {
    let mut decoder = SseDecoder::new();
    decoder.push("data: 1\r".into());
    assert!(decoder.next().is_none());
    decoder.push("\n\r".into());
    assert_eq!(decoder.next().unwrap().unwrap().data, "1");
    decoder.push("\ndata: 2\r\n\r\n".into());
    assert_eq!(decoder.next().unwrap().unwrap().data, "2");
    assert!(decoder.next().is_none());
}

#[test]
fn a_byte_order_mark_is_dropped_at_the_start_and_only_there() {
    assert_eq!(events("\u{feff}data: 1\n\n"), [plain("1")]);
    assert_eq!(events("data: 1\n\n\u{feff}data: 2\n\n"), [plain("1")]);
    let mut decoder = SseDecoder::new();
    for byte in "\u{feff}data: 1\n\n".bytes() {
        decoder.push(Bytes::copy_from_slice(&[byte]));
        if let Some(frame) = decoder.next() {
            assert_eq!(frame.unwrap().data, "1");
            return;
        }
    }
    panic!("no event");
}

#[test]
fn comments_and_unknown_fields_are_ignored() {
    let text = ": OPENROUTER PROCESSING\n\n:\n\nid: 7\nretry: 1000\nmood: fine\ndatabase: no\ndata: 1\n\n";
    assert_eq!(events(text), [plain("1")]);
}

#[test]
fn several_data_lines_are_joined_with_lf() {
    assert_eq!(events("data: {\ndata:  \"a\": 1\ndata:}\n\n"), [plain("{\n \"a\": 1\n}")]);
    assert_eq!(events("data\ndata: 1\ndata:\n\n"), [plain("\n1\n")]);
}

#[test]
fn one_space_after_the_colon_belongs_to_the_field() {
    assert_eq!(events("data:1\n\ndata: 2\n\ndata:  3\n\n"), [plain("1"), plain("2"), plain(" 3")]);
}

#[test]
fn an_event_without_data_is_not_yielded() {
    assert_eq!(events("data:\n\ndata: \n\ndata\ndata:\n\nevent: ping\n\ndata: 1\n\n"), [plain("1")]);
    assert_eq!(events("event: lost\n\n\n\ndata: 1\n\n"), [plain("1")], "the name goes with its event");
}

#[test]
fn characters_split_between_reads_and_bytes_that_are_no_text_stay_as_they_were() {
    let text = "data: \"naïve — 船\"\n\n".as_bytes();
    for at in 0..text.len() {
        assert_eq!(split_at(text, &[at]).0, [plain("\"naïve — 船\"")]);
    }
    let (seen, error) = split_at(b"event: \xFF\ndata: \xC3\x28\n\n", &[]);
    assert_eq!(seen, [("\u{fffd}".to_owned(), b"\xC3\x28".to_vec(), true)]);
    assert_eq!(error, None);
}

#[test]
fn the_end_of_the_body_hands_out_what_no_blank_line_ended() {
    assert_eq!(events("data: 1\n\ndata: [DONE]"), [plain("1"), cut("[DONE]")]);
    assert_eq!(events("data: 1\n\ndata: [DONE]\n"), [plain("1"), cut("[DONE]")]);
    assert_eq!(events("data: 1\ndata: 2\r"), [cut("1\n2")]);
    for nothing in ["", "\n", "data:", "event: error", ": bye", "dat"] {
        assert_eq!(events(nothing), [], "{nothing:?}");
    }
}

#[test]
fn finish_hands_out_events_that_were_not_taken_yet_and_is_safe_to_repeat() {
    let mut decoder = SseDecoder::new();
    decoder.push("data: 1\n\ndata: 2\n".into());
    decoder.push("\ndata: 3".into());
    let seen: Vec<_> = std::iter::from_fn(|| decoder.finish()).map(|frame| frame.unwrap()).collect();
    assert_eq!(seen.iter().map(|frame| &frame.data[..]).collect::<Vec<_>>(), [b"1", b"2", b"3"]);
    assert_eq!(seen.iter().map(|frame| frame.terminated).collect::<Vec<_>>(), [true, true, false]);
    assert!(decoder.finish().is_none());
}

#[test]
fn an_event_over_the_limit_is_an_error_and_the_end() {
    let mut decoder = SseDecoder::with_limit(64);
    decoder.push(format!("data: 1\n\ndata: {}\n\ndata: 3\n\n", "x".repeat(64)).into());
    assert_eq!(decoder.next().unwrap().unwrap().data, "1");
    assert_eq!(decoder.next(), Some(Err(FramingError::TooLarge { limit: 64 })));
    decoder.push("data: 4\n\n".into());
    assert_eq!(decoder.next(), None);
    assert_eq!(decoder.finish(), None);
}

#[test]
fn the_limit_is_per_event_and_exact() {
    let line = format!("data: {}", "x".repeat(58));
    assert_eq!(line.len(), 64);
    let fits = format!("{line}\n\n").repeat(1000);
    assert_eq!(limited(64, &fits), (1000, None));
    assert_eq!(limited(63, &fits), (0, Some(FramingError::TooLarge { limit: 63 })));
}

#[test]
fn no_flood_of_small_lines_passes_beneath_the_limit() {
    let too_large = Some(FramingError::TooLarge { limit: 4096 });
    for flood in ["data:\n", "data\n", "x\n", "id: 1\n", "event: e\n", "data: y\r\n"] {
        assert_eq!(limited(4096, &flood.repeat(1_000_000)), (0, too_large), "{flood:?}");
    }
    for endless in ["data: ", ":", "x", "event: "] {
        assert_eq!(limited(4096, &format!("{endless}{}", "y".repeat(10_000))), (0, too_large), "{endless:?}");
    }
}

#[test]
fn keep_alives_are_free() {
    let text = format!("{}data: 1\n\n", ": keep-alive\n".repeat(100_000));
    assert_eq!(limited(64, &text), (1, None));
}

proptest! {
    #[test]
    fn however_the_bytes_are_split_the_events_are_the_same(
        text in stream(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        let whole = split_at(&text, &[]);
        prop_assert_eq!(&split_at(&text, &cuts), &whole);
        let each: Vec<_> = (0..text.len()).collect();
        prop_assert_eq!(&split_at(&text, &each), &whole);
    }

    #[test]
    fn what_is_written_is_read(
        sent in prop::collection::vec(("[a-z_]{0,12}", "[^\r\n]{1,15}", prop::sample::select(vec!["\n", "\r\n", "\r"])), 0..20),
    ) {
        let text: String = sent.iter().map(|(name, data, end)| format!("event: {name}{end}data: {data}{end}{end}")).collect();
        let expected: Vec<Event> = sent.iter().map(|(name, data, _)| named(name, data)).collect();
        prop_assert_eq!(events(&text), expected);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_no_event_outgrows_the_limit(
        reads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..40),
        limit in 0_usize..200,
    ) {
        let mut decoder = SseDecoder::with_limit(limit);
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

/// Bytes that look like an event stream, mostly.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "data: {\"a\":1}",
        "data:",
        "data",
        "event: e",
        ":c",
        "x: y",
        "\n",
        "\n",
        "\r",
        "\r\n",
        "\u{feff}",
        "é",
    ];
    let piece = prop_oneof![
        9 => prop::sample::select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn events(text: &str) -> Vec<Event> {
    let (events, error) = split_at(text.as_bytes(), &[]);
    assert_eq!(error, None);
    events
}

/// What comes of the bytes when they are read in pieces that end at these places, with a small limit.
fn split_at(bytes: &[u8], cuts: &[usize]) -> (Vec<Event>, Option<FramingError>) {
    let mut cuts = cuts.to_vec();
    cuts.sort_unstable();
    cuts.push(bytes.len());
    let mut decoder = SseDecoder::with_limit(100);
    let (mut seen, mut from) = (Vec::new(), 0);
    for to in cuts {
        decoder.push(Bytes::copy_from_slice(&bytes[from..to]));
        seen.extend(decoder.by_ref());
        from = to;
    }
    seen.extend(std::iter::from_fn(|| decoder.finish()));
    let error = seen.iter().find_map(|frame| frame.as_ref().err().copied());
    let events = seen.into_iter().flatten();
    (events.map(|frame| (frame.event().to_owned(), frame.data.to_vec(), frame.terminated)).collect(), error)
}

/// How many events come of the text in reads of 1000 bytes, and which error.
fn limited(limit: usize, text: &str) -> (usize, Option<FramingError>) {
    let mut decoder = SseDecoder::with_limit(limit);
    let mut count = 0;
    for read in text.as_bytes().chunks(1000) {
        decoder.push(Bytes::copy_from_slice(read));
        for frame in decoder.by_ref() {
            match frame {
                Ok(_) => count += 1,
                Err(error) => return (count, Some(error)),
            }
        }
    }
    (count, None)
}

fn named(name: &str, data: &str) -> Event {
    (name.to_owned(), data.as_bytes().to_vec(), true)
}

fn plain(data: &str) -> Event {
    named("", data)
}

fn cut(data: &str) -> Event {
    (String::new(), data.as_bytes().to_vec(), false)
}

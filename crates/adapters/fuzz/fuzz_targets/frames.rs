//! Whatever bytes come, in whatever reads: no decoder panics, no frame outgrows the limit, and how the bytes were split
//! changes nothing.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mainstay_adapters::framing::{
    EventStreamDecoder, Frame, Frames, FramingError, NdjsonDecoder, SseDecoder,
};

const LIMIT: usize = 4096;

// The first byte is the size of the reads.
fuzz_target!(|input: &[u8]| {
    let Some((size, body)) = input.split_first() else { return };
    let decoders = [
        || Frames::Sse(SseDecoder::with_limit(LIMIT)),
        || Frames::Ndjson(NdjsonDecoder::with_limit(LIMIT)),
        || Frames::EventStream(EventStreamDecoder::with_limit(LIMIT)),
    ];
    for decoder in decoders {
        let whole = decode(decoder(), body, body.len());
        assert_eq!(decode(decoder(), body, usize::from(*size)), whole);
        assert!(whole.iter().flatten().all(|frame| frame.data.len() <= LIMIT));
    }
});

fn decode(mut frames: Frames, body: &[u8], size: usize) -> Vec<Result<Frame, FramingError>> {
    let mut seen = Vec::new();
    for read in body.chunks(size.max(1)) {
        frames.push(Bytes::copy_from_slice(read));
        seen.extend(frames.by_ref());
    }
    seen.extend(std::iter::from_fn(|| frames.finish()));
    seen
}

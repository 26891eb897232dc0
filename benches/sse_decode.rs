//! How fast the bytes of a streamed answer become frames, however the network cuts them.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use benches::answers::STREAM;
use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mainstay_adapters::framing::Frames;

/// 50 streams of 20 events and `[DONE]`: some 190 KB.
const STREAMS: usize = 50;

fn frames_of(mut frames: Frames, reads: Vec<Bytes>) -> usize {
    let mut seen = 0;
    for read in reads {
        frames.push(read);
        for frame in frames.by_ref() {
            seen += frame.expect("a frame").data.len();
        }
    }
    seen
}

fn cut(body: &Bytes, size: usize) -> Vec<Bytes> {
    (0..body.len()).step_by(size).map(|at| body.slice(at..body.len().min(at + size))).collect()
}

fn decode(criterion: &mut Criterion, name: &str, body: &Bytes, new: fn() -> Frames) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(body.len() as u64));
    for (cuts, size) in [("reads of 16 KiB", 16 * 1024), ("reads of 1400 B", 1400), ("reads of 100 B", 100)] {
        let reads = cut(body, size);
        group.bench_with_input(BenchmarkId::from_parameter(cuts), &reads, |bencher, reads| {
            bencher.iter_batched(|| reads.clone(), |reads| frames_of(new(), reads), BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn sse(criterion: &mut Criterion) {
    let body = Bytes::from(STREAM.concat().repeat(STREAMS));
    decode(criterion, "decode sse", &body, Frames::sse);
    let crlf = Bytes::from(STREAM.concat().repeat(STREAMS).replace('\n', "\r\n"));
    decode(criterion, "decode sse with CRLF", &crlf, Frames::sse);
}

fn ndjson(criterion: &mut Criterion) {
    let lines: String = STREAM
        .iter()
        .filter_map(|event| event.trim_end().strip_prefix("data: "))
        .map(|line| format!("{line}\n"))
        .collect();
    decode(criterion, "decode ndjson", &Bytes::from(lines.repeat(STREAMS)), Frames::ndjson);
}

criterion_group!(benches, sse, ndjson);
criterion_main!(benches);

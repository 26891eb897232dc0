//! What a stream's event costs when somebody is ready to rescue it: beside the bare stream, and beside a layer that only
//! passes it on.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mainstay_provider_core::{
    BoxFuture, BoxProvider, Call, ChatChunk, ChunkResult, Error, Provider, Reply, ReplyHead, Wire,
};
use mainstay_rescue::{HoldBack, RescueConfig, RescueLayer};
use tokio::runtime::Builder;
use tower::{Layer, service_fn};

/// A stream as a connection gives it: events of plain text that nobody has taken apart, and the end.
struct Stream {
    head: ReplyHead,
    chunks: Vec<Wire<ChatChunk>>,
}

impl Stream {
    fn new(events: u64) -> Arc<Self> {
        let event = |delta: &str, reason: &str| {
            format!(
                r#"{{"id":"chatcmpl-BmQ8c1JUeFkFkAbPzvyNqkcm8y3kT","object":"chat.completion.chunk","created":1750000000,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_07871e2ad8","choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{reason}}}],"usage":null}}"#
            )
        };
        let texts = (1..=events).map(|number| match number % 16 {
            0 => event(r#"{"content":".\n\n"}"#, "null"), // an escape, as lines and code have them
            _ => event(r#"{"content":" mainstay"}"#, "null"),
        });
        let mut chunks: Vec<_> =
            texts.map(|event| Wire::<ChatChunk>::plain(event.into()).expect("it is plain")).collect();
        let end = event("{}", "\"stop\"");
        let read = serde_json::from_str::<ChatChunk>(&end).expect("an event of ours is a chunk");
        chunks.push(Wire::with_raw(read, end.into()));
        Arc::new(Self { head: ReplyHead::new("instant", "gpt-4o"), chunks })
    }

    fn provider(self: &Arc<Self>) -> BoxProvider {
        let stream = self.clone();
        service_fn(move |_: Call| -> BoxFuture<Result<Reply, Error>> {
            let (stream, mut next) = (stream.clone(), 0);
            let head = stream.head.clone();
            let chunks = futures_util::stream::poll_fn(move |_| {
                next += 1;
                std::task::Poll::Ready(stream.chunks.get(next - 1).cloned().map(ChunkResult::Ok))
            });
            Box::pin(Reply::stream(head, chunks))
        })
        .boxed()
    }
}

/// Reads the answer as a gateway does: it looks at no chunk.
async fn read(provider: &BoxProvider, call: Call) -> usize {
    let mut chunks = provider.ask(call).await.expect("an answer").into_stream();
    let mut bytes = 0;
    while let Some(chunk) = chunks.next().await {
        bytes += chunk.expect("a chunk").to_json().len();
    }
    bytes
}

/// A layer that puts the stream through itself and does nothing with it.
fn passing_on(inner: BoxProvider) -> BoxProvider {
    service_fn(move |call: Call| {
        let asked = inner.ask(call);
        async move { asked.await.map(|reply| reply.map_stream(|chunks| chunks)) }
    })
    .boxed()
}

fn events(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut call = Call::ask("gpt-4o", "What is the rope called that holds the mast from in front?");
    call.request_mut().stream = Some(true);
    let held = RescueConfig::standard().hold_back(HoldBack::new()).build().expect("its numbers are right");
    for events in [1, 1000] {
        let bare = Stream::new(events).provider();
        let mut group = criterion.benchmark_group(format!("stream of {events}"));
        group.throughput(Throughput::Elements(events));
        for (name, provider) in [
            ("bare", bare.clone()),
            ("passed on", passing_on(bare.clone())),
            ("rescue: fail", RescueLayer::default().layer(bare.clone()).boxed()),
            ("rescue: standard", RescueLayer::standard().layer(bare.clone()).boxed()),
            ("rescue: standard, held back", held.layer(bare.clone()).boxed()),
        ] {
            group.bench_function(name, |bencher| {
                bencher.to_async(&runtime).iter(|| read(&provider, call.clone()));
            });
        }
    }
}

criterion_group!(benches, events);
criterion_main!(benches);

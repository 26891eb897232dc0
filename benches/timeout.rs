//! The timers' cost around a call whose answer is there at once.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

#[path = "shared/instant.rs"]
mod instant;

use criterion::{Criterion, criterion_group, criterion_main};
use instant::Instant;
use mainstay_provider_core::{Call, Provider};
use mainstay_timeout::TimeoutLayer;
use tokio::runtime::Builder;
use tower::Layer;

fn call(stream: bool) -> Call {
    let mut call = Call::ask("bench-model", "What is the rope called that holds the mast from behind?");
    call.request_mut().stream = Some(stream);
    call
}

/// Reads the answer as it comes.
async fn answered(provider: &impl Provider, call: Call) -> usize {
    let reply = provider.ask(call).await.expect("an answer");
    if !reply.is_stream() {
        return reply.collect().await.expect("a whole answer").choices.len();
    }
    let mut chunks = reply.into_stream();
    let mut count = 0;
    while let Some(chunk) = chunks.next().await {
        count += chunk.expect("a chunk").choices.len();
    }
    count
}

fn through(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let bare = Instant::new();
    let timed = TimeoutLayer::default().layer(bare.clone());
    for stream in [false, true] {
        let call = call(stream);
        let mut group = criterion.benchmark_group(if stream { "stream of 20" } else { "whole" });
        group.bench_function("bare", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&bare, call.clone()));
        });
        group.bench_function("timeout", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&timed, call.clone()));
        });
    }
}

criterion_group!(benches, through);
criterion_main!(benches);

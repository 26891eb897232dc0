//! The breaker's cost: around a call that goes through, for one that is refused (B12: under 1 µs), and for a look.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

#[path = "shared/instant.rs"]
mod instant;

use criterion::{Criterion, criterion_group, criterion_main};
use instant::Instant;
use mainstay_breaker::{BreakerLayer, FailureRate, Slow};
use mainstay_provider_core::{Call, Provider, ReportAvailability};
use std::hint::black_box;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tower::Layer;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn call(stream: bool) -> Call {
    let mut call = Call::ask("bench-model", "What is the rope called that holds the mast from behind?");
    call.request_mut().stream = Some(stream);
    call
}

fn everything() -> BreakerLayer {
    let slow = Slow::first_token(Duration::from_secs(8)).or(Slow::gap(Duration::from_secs(5)));
    let builder = BreakerLayer::builder().failure_rate(FailureRate::new(0.5)).slow(slow);
    builder.build().expect("the settings are right")
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
    let runtime = runtime();
    let bare = Instant::new();
    let plain = BreakerLayer::default().layer(bare.clone());
    let everything = everything().layer(bare.clone());
    for stream in [false, true] {
        let call = call(stream);
        let mut group = criterion.benchmark_group(if stream { "stream of 20" } else { "whole" });
        group.bench_function("bare", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&bare, call.clone()));
        });
        group.bench_function("breaker", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&plain, call.clone()));
        });
        group.bench_function("breaker, rate and slow", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&everything, call.clone()));
        });
    }
}

fn refusal(criterion: &mut Criterion) {
    let runtime = runtime();
    let layer = BreakerLayer::builder().deployment("eu-1").build().expect("the settings are right");
    let breaker = layer.layer(Instant::new());
    let handle = layer.handle();
    handle.force_open();
    let call = call(true);
    criterion.bench_function("refusal", |bencher| {
        bencher.to_async(&runtime).iter(|| async { breaker.ask(call.clone()).await.err() });
    });
    let now = tokio::time::Instant::now();
    criterion.bench_function("availability", |bencher| bencher.iter(|| black_box(&handle).availability(now)));
}

criterion_group!(benches, through, refusal);
criterion_main!(benches);

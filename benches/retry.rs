//! The retry layer's cost around a call that succeeds at once, and of the budget's two steps.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

#[path = "shared/instant.rs"]
mod instant;

use criterion::{Criterion, criterion_group, criterion_main};
use instant::Instant;
use mainstay_provider_core::chat::Tool;
use mainstay_provider_core::{Allowance, Call, Provider};
use mainstay_retry::{RetryBudget, RetryLayer};
use std::hint::black_box;
use tokio::runtime::Builder;
use tower::Layer;

fn call(stream: bool) -> Call {
    let mut call = Call::ask("bench-model", "What is the rope called that holds the mast from behind?");
    call.request_mut().stream = Some(stream);
    call
}

fn with_tools(mut call: Call) -> Call {
    let parameters = serde_json::json!({"type": "object", "properties": {}});
    call.request_mut().tools = vec![Tool::function("look_up", "Looks it up.", parameters)];
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
    let retry = RetryLayer::standard().layer(bare.clone());
    for stream in [false, true] {
        let call = call(stream);
        let tools = with_tools(call.clone());
        let mut group = criterion.benchmark_group(if stream { "stream of 20" } else { "whole" });
        group.bench_function("bare", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&bare, call.clone()));
        });
        group.bench_function("retry", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&retry, call.clone()));
        });
        group.bench_function("retry, tools on offer", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&retry, tools.clone()));
        });
    }
}

fn budget(criterion: &mut Criterion) {
    let full = RetryBudget::default();
    criterion.bench_function("deposit, full", |bencher| bencher.iter(|| black_box(&full).deposit()));
    let used = RetryBudget::new(1.0, 1).expect("it is right");
    criterion.bench_function("deposit and withdraw", |bencher| {
        bencher.iter(|| {
            black_box(&used).withdraw();
            black_box(&used).deposit();
        });
    });
}

criterion_group!(benches, through, budget);
criterion_main!(benches);

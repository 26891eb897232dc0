//! The rate limiter's and the bulkhead's cost: around a call that goes through, for one that is refused, and for a look.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

#[path = "shared/instant.rs"]
mod instant;

use criterion::{Criterion, criterion_group, criterion_main};
use instant::Instant;
use mainstay_provider_core::{Call, Error, Provider, RateLimit, RateLimits, Reply, ReportHeadroom};
use mainstay_rate_limit::{BulkheadLayer, Dimension, RateLimitLayer};
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn call(stream: bool) -> Call {
    let mut call = Call::ask("bench-model", "What is the rope called that holds the mast from behind?");
    call.request_mut().stream = Some(stream);
    call
}

/// The same with a provider's headers: two limits, far from used up.
#[derive(Clone)]
struct WithHeaders(Instant, RateLimits);

impl WithHeaders {
    fn new(inner: Instant) -> Self {
        let limit =
            |limit| RateLimit { limit: Some(limit), remaining: Some(limit), reset: Some(Duration::ZERO) };
        let mut limits = RateLimits::default();
        limits.requests = limit(1_000_000_000);
        limits.tokens = limit(900_000_000_000);
        Self(inner, limits)
    }
}

impl Service<Call> for WithHeaders {
    type Response = Reply;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send>>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(task)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let (reply, limits) = (self.0.call(call), self.1);
        Box::pin(async move {
            let mut reply = reply.await?;
            reply.head.rate_limits = Some(limits);
            Ok(reply)
        })
    }
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

/// Limits that a benchmark does not reach.
fn all_limits() -> RateLimitLayer {
    let builder = Dimension::ALL
        .into_iter()
        .fold(RateLimitLayer::builder(), |builder, of| builder.limit(of, 900_000_000_000));
    builder.build().expect("the settings are right")
}

fn through(criterion: &mut Criterion) {
    let runtime = runtime();
    let bare = Instant::new();
    let unlimited = RateLimitLayer::default().layer(bare.clone());
    let limited = all_limits().layer(bare.clone());
    let headers = WithHeaders::new(bare.clone());
    let foreseeing = all_limits().layer(headers.clone());
    let layer = BulkheadLayer::builder().max_parallel(100).build().expect("the settings are right");
    let bulkhead = layer.layer(bare.clone());
    for stream in [false, true] {
        let call = call(stream);
        let mut group = criterion.benchmark_group(if stream { "stream of 20" } else { "whole" });
        group.bench_function("bare", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&bare, call.clone()));
        });
        group.bench_function("rate limit, none known", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&unlimited, call.clone()));
        });
        group.bench_function("rate limit, four configured", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&limited, call.clone()));
        });
        group.bench_function("bare with headers", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&headers, call.clone()));
        });
        group.bench_function("rate limit, four configured, two told", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&foreseeing, call.clone()));
        });
        group.bench_function("bulkhead", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&bulkhead, call.clone()));
        });
    }
}

fn refusal(criterion: &mut Criterion) {
    let runtime = runtime();
    let builder = RateLimitLayer::builder().deployment("eu-1").requests_per_minute(1);
    let layer = builder.max_wait(Duration::ZERO).build().expect("the settings are right");
    let limited = layer.layer(Instant::new());
    let handle = layer.handle();
    let call = call(true);
    criterion.bench_function("refusal", |bencher| {
        bencher.to_async(&runtime).iter(|| async { limited.ask(call.clone()).await.err() });
    });
    let now = tokio::time::Instant::now();
    criterion.bench_function("headroom", |bencher| bencher.iter(|| black_box(&handle).headroom(now)));
}

criterion_group!(benches, through, refusal);
criterion_main!(benches);

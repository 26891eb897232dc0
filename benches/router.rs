//! The router's cost: a call through it beside a bare one, with ever more deployments to choose from (a decision: under
//! 5 µs for 64), and by each strategy.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

#[path = "shared/instant.rs"]
mod instant;

use criterion::{Criterion, criterion_group, criterion_main};
use instant::Instant;
use mainstay_breaker::BreakerLayer;
use mainstay_provider_core::{Call, ChatRequest, Provider};
use mainstay_router::{Deployment, Model, Router, strategy};
use std::hint::black_box;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// What is asked; each call of it has a context of its own, as a call has.
fn request(stream: bool) -> Arc<ChatRequest> {
    let mut call = Call::ask("bench-model", "What is the rope called that holds the mast from behind?");
    call.request_mut().stream = Some(stream);
    call.request_mut().user = Some("alice".into());
    call.shared_request().clone()
}

/// Each with a breaker whose state is read, as in the default stack; the breaker itself is not in the way.
fn router(deployments: usize, strategy: &str) -> Router {
    let upstream = Instant::new();
    let mut model = Model::new("bench-model");
    for at in 0..deployments {
        let breaker = BreakerLayer::default().handle();
        let deployment = Deployment::new(format!("deployment-{at}"), upstream.clone()).model("bench-model");
        model = model.deployment(deployment.availability(breaker).price(1.0, 4.0));
    }
    let strategy = strategy::named(strategy).expect("a strategy of ours");
    Router::builder().model(model.shared_strategy(strategy)).seed(1).build().expect("the settings are right")
}

/// Reads the answer as it comes.
async fn answered(provider: &impl Provider, request: &Arc<ChatRequest>) -> usize {
    let reply = provider.ask(Call::new(request.clone())).await.expect("an answer");
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
    let bare = Instant::new().boxed();
    for stream in [false, true] {
        let request = request(stream);
        let mut group = criterion.benchmark_group(if stream { "stream of 20" } else { "whole" });
        group.bench_function("bare", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&bare, &request));
        });
        for deployments in [1, 3, 16, 64] {
            let router = router(deployments, "p2c");
            group.bench_function(format!("router, {deployments}"), |bencher| {
                bencher.to_async(&runtime).iter(|| answered(&router, &request));
            });
        }
    }
}

fn strategies(criterion: &mut Criterion) {
    let runtime = runtime();
    let request = request(false);
    let mut group = criterion.benchmark_group("of 64");
    let bare = Instant::new().boxed();
    group.bench_function("bare", |bencher| {
        bencher.to_async(&runtime).iter(|| answered(&bare, &request));
    });
    for name in strategy::NAMES {
        let router = router(64, name);
        group.bench_function(name, |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&router, &request));
        });
    }
}

fn explained(criterion: &mut Criterion) {
    let (router, call) = (router(3, "p2c"), Call::new(request(false)));
    criterion.bench_function("explain, 3", |bencher| bencher.iter(|| black_box(&router).explain(&call)));
}

criterion_group!(benches, through, strategies, explained);
criterion_main!(benches);

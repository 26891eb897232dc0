//! One call through a stack without layers: the floor beneath every layer's own cost.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

#[path = "shared/instant.rs"]
mod instant;

use criterion::{Criterion, criterion_group, criterion_main};
use instant::Instant;
use mainstay::{AdapterConfig, Client};
use mainstay_provider_core::{Call, Provider};
use std::hint::black_box;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceBuilder;

fn call(stream: bool) -> Call {
    let mut call = Call::ask("sim/echo", "What is the rope called that holds the mast from behind?");
    call.request_mut().stream = Some(stream);
    call
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// What is done to every call on its way, whatever the stack.
fn handling(criterion: &mut Criterion) {
    let call = call(false);
    criterion.bench_function("call/clone", |bencher| bencher.iter(|| black_box(&call).clone()));
}

/// The answer is taken as it comes: whole, or chunk by chunk.
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

fn through(criterion: &mut Criterion, name: &str, provider: &impl Provider) {
    let runtime = runtime();
    for stream in [false, true] {
        let call = call(stream);
        let shape = if stream { "stream of 20" } else { "whole" };
        criterion.bench_function(&format!("{name}/{shape}"), |bencher| {
            bencher.to_async(&runtime).iter(|| answered(provider, call.clone()));
        });
    }
}

fn empty_stack(criterion: &mut Criterion) {
    let provider = Instant::new();
    through(criterion, "provider alone", &provider);
    through(criterion, "empty stack", &ServiceBuilder::new().service(provider.clone()));
    through(criterion, "empty stack boxed", &provider.boxed());
}

/// The facade finds the provider by the model's name; the simulated one makes its answer anew each time.
fn facade(criterion: &mut Criterion) {
    let client = Client::builder().provider(AdapterConfig::new("sim")).build().expect("a client");
    through(criterion, "client with sim", &client.provider());
}

criterion_group!(benches, handling, empty_stack, facade);
criterion_main!(benches);

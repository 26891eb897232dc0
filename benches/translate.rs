//! What it costs to read and to write the contract's types, and to speak to a provider in its own dialect.
//!
//! The calls through adapters include the loopback exchange; `bare exchange` is what that takes by itself.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

#[path = "shared/dialects.rs"]
mod dialects;

use benches::answers::{ANSWER, STREAM, Shape};
use benches::canned::{self, Bare};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dialects::{DIALECTS, Dialect};
use mainstay_adapters::{Adapter, AdapterConfig, Transport, TransportConfig};
use mainstay_provider_core::{Call, ChatChunk, ChatRequest, ChatResponse, Provider};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::hint::black_box;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Mutex;

fn request() -> String {
    let address = "127.0.0.1:1".parse().expect("an address");
    let request = String::from_utf8(Shape::Json.request(address)).expect("text");
    request.split_once("\r\n\r\n").expect("a head and a body").1.to_owned()
}

fn read_and_write<T: DeserializeOwned + Serialize>(criterion: &mut Criterion, name: &str, text: &str) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("read", |bencher| {
        bencher.iter(|| serde_json::from_slice::<T>(black_box(text.as_bytes())).expect("it reads"));
    });
    let value: T = serde_json::from_str(text).expect("it reads");
    group.bench_function("write", |bencher| {
        bencher.iter(|| serde_json::to_vec(black_box(&value)).expect("it writes"));
    });
    group.finish();
}

fn contract(criterion: &mut Criterion) {
    read_and_write::<ChatRequest>(criterion, "request of 2 messages", &request());
    read_and_write::<ChatResponse>(criterion, "answer of 473 bytes", &ANSWER);
    let chunk = STREAM[1].trim_end().trim_start_matches("data: ");
    read_and_write::<ChatChunk>(criterion, "chunk", chunk);
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn adapters(criterion: &mut Criterion) {
    let runtime = runtime();
    for dialect in DIALECTS {
        for stream in [false, true] {
            let (content_type, parts) = dialect.answer(stream);
            let address = runtime.block_on(canned::serve(content_type, parts)).expect("a server");
            let (provider, call) = (adapter(dialect, &format!("http://{address}")), call(stream));
            let name = format!("call/{}/{}", dialect.kind, shape(stream));
            criterion.bench_function(&name, |bencher| {
                bencher.to_async(&runtime).iter(|| text_of(&provider, call.clone()));
            });
        }
    }
}

/// What the sockets and the server take; a call through an adapter takes this and its own.
fn bare(criterion: &mut Criterion) {
    let runtime = runtime();
    for stream in [false, true] {
        let (content_type, parts) = DIALECTS[0].answer(stream);
        let address = runtime.block_on(canned::serve(content_type, parts)).expect("a server");
        let connection = Mutex::new(runtime.block_on(Bare::connect(address)).expect("a connection"));
        let request = Shape::Json.request(address);
        criterion.bench_function(&format!("call/bare exchange/{}", shape(stream)), |bencher| {
            bencher
                .to_async(&runtime)
                .iter(async || connection.lock().await.exchange(&request).await.expect("an answer"));
        });
    }
}

fn shape(stream: bool) -> &'static str {
    if stream { "stream of 20" } else { "whole" }
}

fn adapter(dialect: &Dialect, base_url: &str) -> Adapter {
    let transport = Transport::new(&TransportConfig::default()).expect("a transport");
    let config =
        AdapterConfig::new(dialect.kind).key("sk-bench").base_url(format!("{base_url}{}", dialect.base_path));
    Adapter::new(config, &transport).expect("an adapter")
}

fn call(stream: bool) -> Call {
    let mut request: ChatRequest = serde_json::from_str(&request()).expect("a request");
    request.stream = Some(stream);
    Call::new(request)
}

/// The text, so that a wrong answer does not go unnoticed.
async fn text_of(provider: &Adapter, call: Call) -> usize {
    let reply = provider.ask(call).await.expect("an answer");
    let answer = reply.collect().await.expect("a whole answer");
    assert!(answer.text().starts_with(dialects::TEXT), "{answer:?}");
    answer.text().len()
}

criterion_group!(benches, contract, bare, adapters);
criterion_main!(benches);

//! What a hit of the exact cache costs: in memory beside a bare `get` of moka, in Redis beside a bare `GET`.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench measures real time and prints it"
)]

#[path = "shared/instant.rs"]
mod instant;

use std::hint::black_box;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use instant::Instant;
use mainstay_cache_exact::{ExactCacheLayer, ExactCached, ExactStore, Key, RedisConfig, RedisStore, Sharing};
use mainstay_provider_core::chat::Message;
use mainstay_provider_core::{CacheStatus, Call, ChatRequest, Namespace, Provider, Reply};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service};

/// A deterministic request of about 2 KB as it stands on the wire.
fn call(number: usize) -> Call {
    let system = "You answer questions about the rigging of ships, briefly and to the point. ".repeat(14);
    let question = format!("{number}: What holds the mast, and what does the mast hold? ").repeat(15);
    let mut request = ChatRequest::new("bench-model", vec![Message::system(system), Message::user(question)]);
    request.temperature = Some(0.0);
    request.max_tokens = Some(256);
    let mut call = Call::new(request);
    call.context_mut().namespace = Namespace::new("bench");
    call
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn ask(service: &mut ExactCached<Instant>, call: Call) -> Reply {
    std::future::poll_fn(|task| service.poll_ready(task)).await.expect("it is always ready");
    service.call(call).await.expect("an answer")
}

/// Reads a stream as it comes, or takes the whole.
async fn read(reply: Reply) -> usize {
    if !reply.is_stream() {
        return reply.answer().map_or(0, |answer| answer.raw().map_or(0, Bytes::len));
    }
    let mut chunks = reply.into_stream();
    let mut bytes = 0;
    while let Some(chunk) = chunks.next().await {
        bytes += chunk.expect("a chunk").to_json().len();
    }
    bytes
}

fn in_memory(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut service =
        ExactCacheLayer::builder().build().expect("the defaults are right").layer(Instant::new());
    let whole = call(1);
    let mut streamed = call(2);
    streamed.request_mut().stream = Some(true);
    let length = serde_json::to_vec(whole.request()).map_or(0, |text| text.len());
    assert!((1_900..2_200).contains(&length), "{length} bytes");
    for call in [&whole, &streamed] {
        runtime.block_on(async { read(ask(&mut service, call.clone()).await).await });
        let again = runtime.block_on(ask(&mut service, call.clone()));
        assert!(matches!(again.head.cache, CacheStatus::Hit { .. }));
    }
    let mut group = criterion.benchmark_group("cache_exact");
    let bare = moka::sync::Cache::<[u8; 32], std::sync::Arc<Vec<u8>>>::builder()
        .max_capacity(1 << 20)
        .time_to_live(Duration::from_secs(3600))
        .build();
    let key = *Key::of(&whole, &Sharing::PerNamespace).digest().as_bytes();
    bare.insert(key, std::sync::Arc::new(vec![0; 1000]));
    group.bench_function("bare moka get", |bencher| bencher.iter(|| bare.get(black_box(&key))));
    group.bench_function("key of 2 KB", |bencher| {
        bencher.iter(|| Key::of(black_box(&whole), &Sharing::PerNamespace));
    });
    group.bench_function("hit, whole", |bencher| {
        bencher.iter(|| runtime.block_on(async { read(ask(&mut service, whole.clone()).await).await }));
    });
    group.bench_function("hit, stream of 20 read", |bencher| {
        bencher.iter(|| runtime.block_on(async { read(ask(&mut service, streamed.clone()).await).await }));
    });
    group.finish();
}

fn miss(criterion: &mut Criterion) {
    let runtime = runtime();
    let bare = Instant::new();
    let mut service = ExactCacheLayer::builder().build().expect("the defaults are right").layer(bare.clone());
    let mut group = criterion.benchmark_group("cache_exact miss");
    for stream in [false, true] {
        let mut anew = call(1);
        anew.request_mut().stream = Some(stream);
        let name = if stream { "stream of 20" } else { "whole" };
        group.bench_function(format!("bare, {name}"), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async { read(bare.ask(anew.clone()).await.expect("an answer")).await })
            });
        });
        // Each asks for what nobody has asked, so each is looked up, asked, and kept.
        let mut number = 0;
        group.bench_function(format!("kept, {name}"), |bencher| {
            bencher.iter(|| {
                number += 1;
                let mut call = anew.clone();
                call.request_mut().seed = Some(number);
                runtime.block_on(async { read(ask(&mut service, call).await).await })
            });
        });
    }
    group.finish();
}

/// A server of its own, gone with this.
struct Server(Child, u16);

impl Server {
    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).ok()?.port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let server = Self(child, port);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        Some(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// Each is asked once of a cache whose memory is empty, so that each look goes to the server.
const QUESTIONS: usize = 2_048;

/// How often each is measured, one after the other.
const TURNS: usize = 20_000;

async fn bare_get(connection: &mut redis::aio::MultiplexedConnection, name: &str) -> usize {
    let get = redis::cmd("GET").arg(name).query_async::<Option<Bytes>>(connection).await;
    get.expect("an answer").expect("a value").len()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn in_redis(criterion: &mut Criterion) {
    let Some(server) = Server::start() else { return };
    let runtime = runtime();
    let store =
        RedisStore::new(RedisConfig::new(format!("redis://127.0.0.1:{}", server.1))).expect("an address");
    let calls: Vec<Call> = (0..QUESTIONS).map(call).collect();
    // Filled by one cache, read by others whose memory is empty.
    let cache = || {
        let layer = ExactCacheLayer::builder().second_level(store.clone()).build();
        layer.expect("the settings are right").layer(Instant::new())
    };
    let mut filler = cache();
    let mut connection = runtime.block_on(async {
        for call in &calls {
            read(ask(&mut filler, call.clone()).await).await;
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", server.1)).expect("an address");
        client.get_multiplexed_async_connection().await.expect("a connection")
    });
    let keys: Vec<Key> = calls.iter().map(|call| Key::of(call, &Sharing::PerNamespace)).collect();
    let names: Vec<String> = runtime.block_on(async {
        redis::cmd("KEYS").arg("*").query_async(&mut connection).await.expect("the keys")
    });
    assert_eq!(names.len(), QUESTIONS, "all were written");
    let mut number = 0;
    let mut next = move || {
        number = (number + 1) % QUESTIONS;
        number
    };
    let mut service = cache();
    // In turns, so that all see the same machine.
    let mut turns = [const { Vec::new() }; 3];
    for turn in 0..TURNS {
        let at = next();
        if at == 0 || turn == 0 {
            service = cache();
        }
        let begun = std::time::Instant::now();
        runtime.block_on(bare_get(&mut connection, &names[at]));
        turns[0].push(begun.elapsed());
        let begun = std::time::Instant::now();
        runtime.block_on(async { store.get(&keys[at]).await.expect("an answer").expect("a value") });
        turns[1].push(begun.elapsed());
        // Made anew: a gateway has just read it, so that its text is near, and all of them are more than fits there.
        let call = call(at);
        let begun = std::time::Instant::now();
        let reply = runtime.block_on(ask(&mut service, call));
        turns[2].push(begun.elapsed());
        assert!(matches!(reply.head.cache, CacheStatus::Hit { .. }));
    }
    let [bare, stored, hit] = turns.map(median);
    let times = |time: Duration| format!("{:.2} times a bare GET", time.as_secs_f64() / bare.as_secs_f64());
    println!(
        "medians of {TURNS} turns: bare GET {bare:.1?}, store get {stored:.1?} ({}), hit through the layer {hit:.1?} ({})",
        times(stored),
        times(hit)
    );
    let mut group = criterion.benchmark_group("cache_exact in redis");
    group.bench_function("bare GET", |bencher| {
        bencher.iter(|| runtime.block_on(bare_get(&mut connection, &names[next()])));
    });
    group.bench_function("store get", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async { store.get(&keys[next()]).await.expect("an answer").expect("a value") })
        });
    });
    group.bench_function("hit through the layer", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut taken = Duration::ZERO;
            let mut service = cache();
            for round in 0..rounds {
                let number = usize::try_from(round).unwrap_or_default() % QUESTIONS;
                if number == 0 {
                    service = cache();
                }
                let call = call(number);
                let begun = std::time::Instant::now();
                let reply = runtime.block_on(ask(&mut service, call));
                taken += begun.elapsed();
                assert!(matches!(reply.head.cache, CacheStatus::Hit { .. }));
            }
            taken
        });
    });
    group.finish();
}

criterion_group!(benches, in_memory, miss, in_redis);
criterion_main!(benches);

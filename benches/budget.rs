//! What a budget costs: the store for three subjects on one thread and on two, and the layer around a call.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

#[path = "shared/instant.rs"]
mod instant;

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use instant::Instant;
use mainstay_budget::{
    AccountKey, AttemptMeterLayer, BudgetLayer, BudgetStore, Charge, HoldId, JournalConfig, JournalStore,
    Limit, LimitBook, MemoryStore, Period, Reservation, Reserved, Settled, Settlement, UsageRow, Window,
};
use mainstay_metering::{Meter, ModelPrices, NanoUsd, Price, Rates, UnknownPricePolicy};
use mainstay_provider_core::{Call, Provider, Subject, Usage};
use tokio::runtime::{Builder, Runtime};
use tower::Layer;

const NOW: u64 = 1_795_262_400_000;
const DAY: Window = Window { start_ms: NOW - 43_200_000, end_ms: Some(NOW + 43_200_000), slice_ms: None };
const SUBJECTS: [&str; 3] = ["user:alice", "feature:search", "org:acme"];
const LIMIT: u64 = 1 << 52;

/// Three subjects: the same for all, or a thread's own.
fn subjects(own: Option<u64>) -> [String; 3] {
    SUBJECTS.map(|subject| own.map_or_else(|| subject.to_owned(), |thread| format!("{subject}-{thread}")))
}

fn charges(subjects: &[String]) -> Vec<Charge> {
    let charge = |subject| Charge::new(AccountKey::new(format!("{subject}|tokens|day")), DAY, LIMIT, 500);
    subjects.iter().map(charge).collect()
}

fn row(hold: HoldId, subjects: &[String]) -> Arc<UsageRow> {
    let mut row = UsageRow::new(hold, NOW);
    row.subjects = subjects.iter().filter_map(|subject| Subject::parse(subject)).collect();
    (row.provider, row.model, row.asked) = ("openai".into(), "gpt-4o".into(), "gpt-4o".into());
    (row.usage, row.cost, row.requests) = (Usage::new(400, 100), NanoUsd::from_nanos(2_000_000), 1);
    Arc::new(row)
}

/// One call's reservation and settlement, taken at once as the layer takes them.
fn reserve_and_settle(store: &impl BudgetStore, charges: &[Charge], row: &Arc<UsageRow>) {
    let hold = HoldId::by_chance(NOW);
    let ask = Reservation { hold, lease: Duration::from_secs(60), charges, if_lost: row, now_ms: NOW };
    let reserved = store.reserve(ask).now().expect("it answers at once").expect("it is well");
    assert!(matches!(reserved, Reserved::Granted(_)));
    let (actual, rows) = ([1, 1, 1], std::slice::from_ref(row));
    let settlement = Settlement { hold, charges, actual: &actual, rows, now_ms: NOW };
    let settled = store.settle(settlement).now().expect("it answers at once").expect("it is well");
    assert!(matches!(black_box(settled), Settled::Now(_)));
}

/// The time that each of some threads takes for so many calls: all of the same three subjects, or each of three of its own.
fn on_threads(store: &impl BudgetStore, threads: u64, has_own: bool, calls: u64) -> Duration {
    let barrier = Barrier::new(threads as usize);
    let spent = thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|thread| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let subjects = subjects(has_own.then_some(thread));
                    let (charges, row) = (charges(&subjects), row(HoldId(1), &subjects));
                    barrier.wait();
                    let begun = tokio::time::Instant::now();
                    for _ in 0..calls {
                        reserve_and_settle(store, &charges, &row);
                    }
                    begun.elapsed()
                })
            })
            .collect();
        all.into_iter().map(|thread| thread.join().expect("a thread ends")).max()
    });
    spent.unwrap_or_default()
}

fn stores(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reserve and settle, 3 subjects");
    for threads in [1, 2, 4] {
        for (has_own, whose) in [(false, "the same"), (true, "its own")] {
            let store = MemoryStore::new();
            group.bench_function(format!("in memory, {threads} threads, {whose}"), |bencher| {
                bencher.iter_custom(|calls| on_threads(&store, threads, has_own, calls));
            });
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let journal = JournalStore::open(JournalConfig::new(folder.path())).expect("a store");
    for threads in [1, 2] {
        group.bench_function(format!("journal, {threads} threads"), |bencher| {
            bencher.iter_custom(|calls| on_threads(&journal, threads, false, calls));
        });
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn call(stream: bool) -> Call {
    let mut call = Call::ask("bench-model", "What is the rope called that holds the mast from behind?");
    call.request_mut().stream = Some(stream);
    call.request_mut().max_tokens = Some(200);
    call.context_mut().subjects = SUBJECTS.iter().filter_map(|subject| Subject::parse(subject)).collect();
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

fn layer(limits: &[Limit]) -> BudgetLayer {
    let book = LimitBook::default();
    for kind in ["user", "feature", "org"] {
        book.set_kind(kind, limits).expect("the limits can be kept");
    }
    // The bench's provider has a price, as those of calls that cost something have.
    let price = ModelPrices::new(Rates::new(
        Price::from_picos_a_token(1_000_000),
        Price::from_picos_a_token(2_000_000),
    ));
    let meter = Meter::builder().unknown_price(UnknownPricePolicy::Estimate(price)).build();
    BudgetLayer::builder(meter, MemoryStore::new(), book).build().expect("the settings are right")
}

fn through(criterion: &mut Criterion) {
    let runtime = runtime();
    let bare = Instant::new();
    let unlimited = layer(&[]).layer(bare.clone());
    let limited = layer(&[Limit::tokens(LIMIT, Period::Day)]).layer(bare.clone());
    let metered = layer(&[Limit::tokens(LIMIT, Period::Day)])
        .layer(AttemptMeterLayer::new("openai").layer(bare.clone()));
    for stream in [false, true] {
        let call = call(stream);
        let mut group = criterion.benchmark_group(if stream { "stream of 20" } else { "whole" });
        group.bench_function("bare", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&bare, call.clone()));
        });
        group.bench_function("budget without limits", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&unlimited, call.clone()));
        });
        group.bench_function("budget of 3 subjects", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&limited, call.clone()));
        });
        group.bench_function("budget of 3 subjects, attempts metered", |bencher| {
            bencher.to_async(&runtime).iter(|| answered(&metered, call.clone()));
        });
    }
    let refusing = layer(&[Limit::tokens(1, Period::Day)]).layer(bare);
    let call = call(true);
    criterion.bench_function("refusal", |bencher| {
        bencher.to_async(&runtime).iter(|| async { refusing.ask(call.clone()).await.err() });
    });
}

criterion_group!(benches, stores, through);
criterion_main!(benches);

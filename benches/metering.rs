//! Counting a megabyte of text, and what a cost costs.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mainstay_metering::{Estimate, Exact, Meter, PriceTable, TokenCounter};
use mainstay_provider_core::chat::Tool;
use mainstay_provider_core::{ChatRequest, Message, Usage};
use serde_json::json;

/// A megabyte of documentation and source code, of one letter, and of Chinese.
fn texts() -> [(&'static str, String); 4] {
    const DOCS: &str = include_str!("../docs/architecture.md");
    const CODE: &str = include_str!("../crates/provider-core/src/reply.rs");
    let megabyte = |piece: &str| {
        let mut text = piece.repeat(1_000_000_usize.div_ceil(piece.len()));
        let end = (0..=1_000_000).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text
    };
    [
        ("docs and code", megabyte(&format!("{DOCS}{CODE}"))),
        ("words", megabyte("The quick brown fox jumps over the lazy dog. ")),
        ("Chinese", megabyte("人人生而自由，在尊严和权利上一律平等。")),
        ("one letter", megabyte("a")),
    ]
}

fn counting(criterion: &mut Criterion) {
    let exact = Exact::new();
    let counters: [(&str, &dyn TokenCounter); 2] = [("estimate", &Estimate), ("exact", &exact)];
    for (name, counter) in counters {
        let mut group = criterion.benchmark_group(format!("count a megabyte, {name}"));
        group.sample_size(20);
        for (kind, text) in texts() {
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_with_input(BenchmarkId::from_parameter(kind), &text, |bencher, text| {
                bencher.iter(|| counter.count_text("openai", "gpt-4o", black_box(text)));
            });
        }
    }
}

fn request() -> ChatRequest {
    let turns = vec![
        Message::system("You are a helpful assistant that answers in one sentence."),
        Message::user("What is the rope called that holds the mast from behind, and why does it matter?"),
    ];
    let mut request = ChatRequest::new("gpt-4o", turns);
    let schema =
        json!({"type": "object", "properties": {"city": {"type": "string", "description": "The city"}}});
    request.tools = vec![Tool::function("get_weather", "The weather of a city", schema)];
    request
}

fn money(criterion: &mut Criterion) {
    let meter = Meter::default();
    let mut usage = Usage::new(2_006, 300);
    (usage.cache_read, usage.reasoning) = (1_920, 100);
    for (provider, model) in [
        ("openai", "gpt-4o"),
        ("openai", "gpt-4o-2024-08-06"),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("openrouter", "anthropic/claude-sonnet-4.6"),
        ("ollama", "llama3.3"),
    ] {
        criterion.bench_function(&format!("cost of {provider}/{model}"), |bencher| {
            bencher.iter(|| meter.cost(black_box(provider), black_box(model), usage));
        });
    }
    let request = request();
    criterion.bench_function("reserve for a short request with a tool", |bencher| {
        bencher.iter(|| meter.reserve(black_box(&request), [("openai", "gpt-4o")]));
    });
    let table = include_str!("../crates/metering/prices/table.txt");
    criterion
        .bench_function("read the table", |bencher| bencher.iter(|| PriceTable::from_text(black_box(table))));
}

criterion_group!(benches, counting, money);
criterion_main!(benches);

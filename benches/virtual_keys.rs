//! What it costs to look at a key: `cargo bench -p benches --bench virtual_keys`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use mainstay_virtual_keys::{
    Actor, Clock, KeyHasher, KeyManager, KeyRing, KeySecret, KeySettings, MemoryStore, RingConfig,
};

/// A ring with this many keys, one of their secrets.
fn ring(keys: usize) -> (tokio::runtime::Runtime, KeyRing, KeySecret) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (ring, secret) = runtime.block_on(async {
        let (store, hasher) = (Arc::new(MemoryStore::new()), KeyHasher::new(&[7; 32]).expect("32 bytes"));
        let manager = KeyManager::new(store.clone(), hasher.clone(), Clock::default());
        let mut last = None;
        for number in 0..keys {
            let mut settings = KeySettings::named(format!("{number}"));
            settings.grants.subjects = vec!["org:acme".into(), "team:search".into()];
            settings.grants.models = Some(vec!["main-*".parse().expect("a pattern")]);
            last = Some(manager.create(&Actor::Operator, settings).await.expect("a key").1);
        }
        (KeyRing::start(store, hasher, RingConfig::default()).await, last.expect("there is a key"))
    });
    (runtime, ring, secret)
}

fn check(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("virtual_keys");
    for keys in [1, 1000] {
        let (_runtime, ring, secret) = ring(keys);
        group.bench_function(format!("check/1 of {keys}"), |bench| {
            bench.iter(|| ring.check(black_box(secret.expose())));
        });
        let unknown = KeySecret::generate().expect("randomness");
        group.bench_function(format!("check/unknown beside {keys}"), |bench| {
            bench.iter(|| ring.check(black_box(unknown.expose())));
        });
        let access = ring.check(secret.expose()).expect("a key");
        group.bench_function(format!("model, namespace, subjects/{keys}"), |bench| {
            bench.iter(|| {
                let allowed = access.allows_model(black_box("main-model"));
                (allowed, access.namespace().clone(), access.subjects().to_vec())
            });
        });
    }
    let (_runtime, ring, _) = ring(1);
    group.bench_function("check/malformed", |bench| {
        bench.iter(|| ring.check(black_box("' OR pg_sleep(8)--")));
    });
    group.finish();
}

criterion_group!(benches, check);
criterion_main!(benches);

//! A thousand seeds of real processes that are killed: SIGKILL at any moment, SIGTERM with a flush, over a journal, Redis and
//! PostgreSQL. Never over a limit, no hold left after its lease, counters equal to rows, nothing booked twice, and nothing lost
//! that a process was told (M2, M3, M4, M6, G3).
//!
//! Each seed draws its own limits, callers, cancels, failures of the provider, processes and their ends. Without
//! `MAINSTAY_SEEDS` a part of the thousand is lived through; `MAINSTAY_SEED` is one of them.
#![cfg(all(feature = "journal", feature = "postgres", feature = "redis", unix))]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that panics has failed, and tells what it did"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "real processes, real time; a child is told by its environment what to do"
)]

#[path = "killed/books.rs"]
mod books;
#[path = "common/chance.rs"]
mod chance;
#[path = "killed/child.rs"]
mod child;
#[path = "killed/clock.rs"]
mod clock;
mod common;
#[path = "killed/ledger.rs"]
mod ledger;
#[path = "killed/plan.rs"]
mod plan;
#[path = "killed/process.rs"]
mod process;
#[path = "killed/stores.rs"]
mod stores;
#[path = "killed/told.rs"]
mod told;
#[path = "killed/watch.rs"]
mod watch;
#[path = "killed/world.rs"]
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use child::Job;
use ledger::Figures;
use stores::{Kind, Place};
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::time::Instant;
use world::World;

#[test]
fn a_child_does_its_job() {
    let Ok(job) = std::env::var(process::CHILD) else { return };
    Job::read(&job).unwrap().work();
}

// M4, M6, G3
#[test]
fn processes_on_a_journal_are_killed_and_nothing_is_lost() {
    let folder = TempDir::new().unwrap();
    live(Kind::Journal, |_, seed| Place::Journal(folder.path().join(seed.to_string())));
}

// M2, M4, M6, G3
#[test]
fn processes_on_redis_are_killed_and_nothing_is_lost() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let Some(server) = runtime.block_on(mainstay_test_servers::redis()) else { return };
    live(Kind::Redis, |_, seed| Place::Redis(server.redis_url(), format!("s{seed}")));
}

// M2, M4, M6, G3
#[test]
fn processes_on_postgres_are_killed_and_nothing_is_lost() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let Some(server) = runtime.block_on(mainstay_test_servers::postgres()) else { return };
    // Making tables takes long: each lane has its own, and one seed after the other in them.
    live(Kind::Postgres, |lane, _| Place::Postgres(server.postgres_url(), format!("lane{lane}")));
}

/// So many seeds are lived through at once: most of their time goes by in waiting.
fn lanes(kind: Kind) -> u64 {
    match kind {
        Kind::Journal => 4,
        Kind::Redis => 10,
        Kind::Postgres => 8,
    }
}

/// The seeds, from the first to before the last.
fn seeds(kind: Kind) -> (u64, u64) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(seed) = number("MAINSTAY_SEED") {
        return (seed, seed + 1);
    }
    let usual = match kind {
        Kind::Journal => 500,
        Kind::Redis => 500,
        Kind::Postgres => 200,
    };
    (0, number("MAINSTAY_SEEDS").unwrap_or(usual))
}

fn live(kind: Kind, place: impl Fn(u64, u64) -> Place + Sync) {
    let (first, last) = seeds(kind);
    let (begun, next) = (Instant::now(), AtomicU64::new(first));
    let (sum, broken) = (Mutex::new(Figures::default()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for lane in 0..lanes(kind) {
            let (place, next, sum, broken) = (&place, &next, &sum, &broken);
            scope.spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last {
                        return;
                    }
                    match runtime.block_on(World::new(seed, place(lane, seed)).live()) {
                        Ok(figures) => sum.lock().unwrap().add(&figures),
                        Err(what) => broken.lock().unwrap().push((seed, what)),
                    }
                }
            });
        }
    });
    let (figures, broken) = (sum.into_inner().unwrap(), broken.into_inner().unwrap());
    println!(
        "{}: seeds {first} to {}, {:.1} s: {figures:?}",
        kind.name(),
        last - 1,
        begun.elapsed().as_secs_f64()
    );
    let again = |seed| {
        let name = kind.name();
        format!("MAINSTAY_SEED={seed} cargo test -p mainstay-budget --all-features --test killed {name}")
    };
    for (seed, what) in broken.iter().take(10) {
        println!("seed {seed}: {what}\n    {}", again(seed));
    }
    assert!(broken.is_empty(), "{} seeds are broken", broken.len());
    assert!(last - first < 100 || is_awake(kind, &figures), "nothing happened: {figures:?}");
}

/// Kills that meet nothing show nothing.
fn is_awake(kind: Kind, figures: &Figures) -> bool {
    let Figures { killed, drained, cancelled, unflushed, settled, lost, .. } = *figures;
    let Figures { cut_booked, cut_lost, shares, looks, .. } = *figures;
    let is_met = [killed, drained, cancelled, settled, lost].iter().all(|count| *count > 10);
    let are_flushed = unflushed * 20 <= drained + cancelled;
    is_met && are_flushed && cut_booked + cut_lost > 0 && (kind == Kind::Journal || shares > 0 && looks > 100)
}

//! A budget that outlives the runtime of its first call.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;
#[path = "common/faulty.rs"]
mod faulty;

use std::time::Duration;

use common::{call_of, meter, streaming};
use faulty::Faulty;
use mainstay_budget::{Budget, BudgetLayer, Budgeted, Limit, LimitBook, Period};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{Provider, Usage};
use tokio::runtime::{Builder, Runtime};
use tower::Layer;

/// One process. Its calls last for longer than a lease.
struct Process {
    budgeted: Budgeted<Scripted>,
    budget: Budget,
}

impl Process {
    fn new(store: &Faulty) -> Self {
        let book = LimitBook::default();
        book.set_kind("user", [Limit::tokens(10_000, Period::Day)]).unwrap();
        let layer = BudgetLayer::builder(meter(), store.clone(), book).clock(store.clock()).build().unwrap();
        let late = Piece::Wait(Duration::from_secs(600));
        let answer = [Piece::text("hi"), late, Piece::stop(), Piece::Usage(Usage::new(60, 40))];
        let budgeted = layer.layer(Scripted::repeating(Step::stream(answer)));
        Self { budgeted, budget: layer.budget().clone() }
    }

    async fn ask(&self) {
        let reply = self.budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap();
        reply.collect().await.unwrap();
        self.budget.flush(Duration::from_secs(10)).await.unwrap();
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

// M4: the leases of calls under way are renewed wherever the calls are.
#[test]
fn house_is_kept_in_the_next_runtime_when_that_of_the_first_call_has_ended() {
    let first = runtime();
    let (store, process) = first.block_on(async {
        let store = Faulty::new();
        let process = Process::new(&store);
        process.ask().await;
        (store, process)
    });
    drop(first);
    runtime().block_on(async {
        // Another books holds whose leases have passed.
        let other = Process::new(&store);
        tokio::join!(other.ask(), process.ask());
        assert_eq!((other.budget.stats().lost, process.budget.stats().late), (0, 0));
    });
}

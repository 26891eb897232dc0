//! What is booked later: one settlement that cannot be booked holds up no other (M6).
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{call_of, meter, streaming};
use mainstay_budget::{
    AccountKey, Answer, Balance, BudgetLayer, BudgetStore, ExpiredHold, HoldId, Limit, LimitBook,
    MemoryStore, Period, Reservation, Reserved, RowsPage, RowsQuery, Settled, Settlement, StoreError,
    UsageQuery, UsageTotal, Window,
};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{Provider, Usage};
use tokio::time::sleep;
use tower::Layer;

/// A store elsewhere, in which the hold that is settled first is damaged.
#[derive(Clone, Default)]
struct Damaged(Arc<Inner>);

#[derive(Default)]
struct Inner {
    store: MemoryStore,
    damaged: Mutex<Option<HoldId>>,
}

impl BudgetStore for Damaged {
    fn reserve<'a>(&'a self, ask: Reservation<'a>) -> Answer<'a, Result<Reserved, StoreError>> {
        self.0.store.reserve(ask)
    }

    fn settle<'a>(&'a self, settlement: Settlement<'a>) -> Answer<'a, Result<Settled, StoreError>> {
        let is_damaged = *self.0.damaged.lock().unwrap().get_or_insert(settlement.hold) == settlement.hold;
        if is_damaged {
            return Answer::ready(Err(StoreError::Failed("a hold that cannot be read".into())));
        }
        self.0.store.settle(settlement)
    }

    fn renew<'a>(
        &'a self,
        holds: &'a [HoldId],
        lease: Duration,
        now_ms: u64,
    ) -> Answer<'a, Result<(), StoreError>> {
        self.0.store.renew(holds, lease, now_ms)
    }

    fn expire(&self, now_ms: u64) -> Answer<'_, Result<Vec<ExpiredHold>, StoreError>> {
        self.0.store.expire(now_ms)
    }

    fn balances<'a>(
        &'a self,
        accounts: &'a [(AccountKey, Window)],
        now_ms: u64,
    ) -> Answer<'a, Result<Vec<Balance>, StoreError>> {
        self.0.store.balances(accounts, now_ms)
    }

    fn usage<'a>(&'a self, query: &'a UsageQuery) -> Answer<'a, Result<Vec<UsageTotal>, StoreError>> {
        self.0.store.usage(query)
    }

    fn rows<'a>(&'a self, query: &'a RowsQuery) -> Answer<'a, Result<RowsPage, StoreError>> {
        self.0.store.rows(query)
    }
}

// M6
#[tokio::test(start_paused = true)]
async fn a_settlement_that_the_store_refuses_again_and_again_holds_up_no_other() {
    let (store, book) = (Damaged::default(), LimitBook::default());
    book.set_kind("user", [Limit::tokens(100_000, Period::Forever)]).unwrap();
    let layer = BudgetLayer::builder(meter(), store.clone(), book).build().unwrap();
    let answer = Step::stream([Piece::text("hi"), Piece::stop(), Piece::Usage(Usage::new(60, 40))]);
    let (budgeted, budget) = (layer.layer(Scripted::repeating(answer)), layer.budget());
    for _ in 0..20 {
        budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap().collect().await.unwrap();
        sleep(Duration::from_millis(5)).await;
    }
    sleep(Duration::from_secs(20)).await;
    let rows = store.rows(&RowsQuery::default()).await.unwrap().rows;
    assert_eq!((rows.len(), budget.stats().owed), (19, 1));
    let longest = budget.stats().owed_for;
    assert!(longest >= Duration::from_secs(20), "the oldest is still the oldest: {longest:?}");
}

// Of several that are refused the oldest is the oldest still, whichever of them is booked first.
#[tokio::test(start_paused = true)]
async fn how_long_the_oldest_waits_is_known_though_the_refused_are_out_of_order() {
    let (store, book) = (Damaged::default(), LimitBook::default());
    book.set_kind("user", [Limit::tokens(100_000, Period::Forever)]).unwrap();
    let layer = BudgetLayer::builder(meter(), store.clone(), book).build().unwrap();
    let answer = Step::stream([Piece::text("hi"), Piece::stop(), Piece::Usage(Usage::new(60, 40))]);
    let (budgeted, budget) = (layer.layer(Scripted::repeating(answer)), layer.budget());
    budgeted.ask(streaming(call_of(&["user:a"]))).await.unwrap().collect().await.unwrap();
    sleep(Duration::from_secs(30)).await;
    assert!(budget.stats().owed_for >= Duration::from_secs(30));
    // It is mended; what comes after it is young.
    *store.0.damaged.lock().unwrap() = Some(HoldId(0));
    sleep(Duration::from_secs(30)).await;
    assert_eq!((budget.stats().owed, budget.stats().owed_for), (0, Duration::ZERO));
}

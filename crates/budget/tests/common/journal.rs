//! Calls on a store in a file, and what must be true of it.
#![allow(dead_code, unreachable_pub, reason = "each test uses some of it")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mainstay_budget::{
    AccountKey, Balance, BudgetStore, Charge, HoldId, JournalConfig, JournalStore, Reservation, Reserved,
    RowStatus, RowsQuery, Settled, Settlement, UsageQuery, UsageRow, Window,
};
use mainstay_metering::NanoUsd;
use mainstay_provider_core::{Subject, Usage};

pub const LIMIT: u64 = 20_000;
pub const FOREVER: Window = Window { start_ms: 0, end_ms: None, slice_ms: None };
pub const NOW: u64 = 1_795_262_400_000;

pub fn open(folder: &Path) -> JournalStore {
    JournalStore::open(JournalConfig::new(folder)).unwrap()
}

pub fn charges(take: u64) -> [Charge; 2] {
    ["user:a", "org:x"].map(|subject| {
        Charge::new(AccountKey::new(format!("{subject}|tokens|forever")), FOREVER, LIMIT, take)
    })
}

pub fn row(hold: HoldId, tokens: u64, status: RowStatus) -> Arc<UsageRow> {
    let mut row = UsageRow::new(hold, hold.made_ms());
    row.subjects = ["user:a", "org:x"].iter().filter_map(|name| Subject::parse(name)).collect();
    (row.provider, row.model) = ("openai".into(), "gpt-4o".into());
    (row.usage, row.cost, row.requests, row.status) =
        (Usage::new(tokens, 0), NanoUsd::from_nanos(tokens), 1, status);
    Arc::new(row)
}

pub async fn reserve(store: &JournalStore, hold: HoldId, take: u64) -> Reserved {
    let (charges, if_lost) = (charges(take), row(hold, take, RowStatus::Lost));
    let lease = Duration::from_secs(60);
    store
        .reserve(Reservation { hold, lease, charges: &charges, if_lost: &if_lost, now_ms: NOW })
        .await
        .unwrap()
}

pub async fn settle(store: &JournalStore, hold: HoldId, take: u64, actual: u64) -> Settled {
    let (charges, rows) = (charges(take), [row(hold, actual, RowStatus::Settled)]);
    let actual = [actual; 2];
    store
        .settle(Settlement { hold, charges: &charges, actual: &actual, rows: &rows, now_ms: NOW })
        .await
        .unwrap()
}

pub fn hold() -> HoldId {
    HoldId::new(NOW, fastrand::u128(..))
}

pub async fn balance(store: &JournalStore) -> Balance {
    let asked = charges(0).map(|charge| (charge.account, FOREVER));
    let balances = store.balances(&asked, NOW).await.unwrap();
    assert_eq!(balances[0], balances[1], "both accounts of each call change together");
    balances[0]
}

pub async fn rows(store: &JournalStore) -> Vec<Arc<UsageRow>> {
    store.rows(&RowsQuery { limit: usize::MAX, ..RowsQuery::default() }).await.unwrap().rows
}

/// M6: rows, totals and counters say the same, and nothing is held.
pub async fn assert_sound(store: &JournalStore) -> u64 {
    let Balance { spent, reserved } = balance(store).await;
    let in_rows: u64 = rows(store).await.iter().map(|row| row.usage.total()).sum();
    let totals = store.usage(&UsageQuery::default()).await.unwrap();
    let in_totals: u64 = totals.iter().map(|total| total.usage.total()).sum();
    assert_eq!((in_rows, in_totals, reserved), (spent, spent, 0));
    assert!(spent <= LIMIT);
    spent
}

//! Accounts, calls and rows for the tests of the shared stores, and what must hold of them.
#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::disallowed_methods, reason = "the time of day")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mainstay_budget::{
    AccountKey, Balance, BudgetStore, Charge, Draw, ExpiredHold, HoldId, Reservation, Reserved, RowStatus,
    RowsQuery, Settled, Settlement, StoreError, UsageQuery, UsageRow, Window,
};
use mainstay_provider_core::Subject;

pub(crate) const FOREVER: Window = Window { start_ms: 0, end_ms: None, slice_ms: None };
pub(crate) const LEASE: Duration = Duration::from_secs(60);

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64
}

pub(crate) fn hold() -> HoldId {
    HoldId::new(now_ms(), fastrand::u128(..))
}

/// The tokens of `user:NAME`, for ever.
pub(crate) fn account(name: &str) -> AccountKey {
    AccountKey::new(format!("user:{name}|tokens|forever"))
}

pub(crate) fn charge(name: &str, limit: u64, take: u64) -> Charge {
    Charge::new(account(name), FOREVER, limit, take)
}

/// A row of this hold that counts so many tokens for `user:NAME` of each name.
pub(crate) fn row(hold: HoldId, names: &[&str], tokens: u64, status: RowStatus) -> Arc<UsageRow> {
    let mut row = UsageRow::new(hold, hold.made_ms());
    row.subjects = names.iter().map(|name| Subject::new("user", name)).collect();
    (row.provider, row.model) = ("local".into(), "m".into());
    (row.usage.input, row.requests, row.status) = (tokens, 1, status);
    Arc::new(row)
}

/// Whom these charges are for.
fn names(charges: &[Charge]) -> Vec<&str> {
    let name = |charge: &'_ Charge| -> usize { charge.account.as_str().find('|').unwrap() };
    charges.iter().map(|charge| &charge.account.as_str()[5..name(charge)]).collect()
}

/// Reserves these; when lost, each is booked and written as taken.
pub(crate) async fn reserve(
    store: &dyn BudgetStore,
    hold: HoldId,
    lease: Duration,
    charges: &[Charge],
) -> Result<Reserved, StoreError> {
    let if_lost = row(hold, &names(charges), charges[0].take, RowStatus::Lost);
    store.reserve(Reservation { hold, lease, charges, if_lost: &if_lost, now_ms: hold.made_ms() }).await
}

/// Settles all of these at so many tokens, with one row.
pub(crate) async fn settle(
    store: &dyn BudgetStore,
    hold: HoldId,
    charges: &[Charge],
    tokens: u64,
) -> Result<Settled, StoreError> {
    let rows = [row(hold, &names(charges), tokens, RowStatus::Settled)];
    let actual = vec![tokens; charges.len()];
    store.settle(Settlement { hold, charges, actual: &actual, rows: &rows, now_ms: now_ms() }).await
}

pub(crate) async fn balance(store: &dyn BudgetStore, name: &str) -> Balance {
    store.balances(&[(account(name), FOREVER)], now_ms()).await.unwrap()[0]
}

pub(crate) fn is_granted(reserved: &Reserved) -> bool {
    matches!(reserved, Reserved::Granted(_))
}

/// Ends what is due until nothing is, for at most ten seconds, until so many are lost.
pub(crate) async fn expire(store: &dyn BudgetStore, count: usize) -> Vec<ExpiredHold> {
    let mut lost = Vec::new();
    for _ in 0..200 {
        lost.extend(store.expire(now_ms()).await.unwrap());
        if lost.len() >= count {
            return lost;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} of {count} holds are lost", lost.len());
}

/// Everything that is written.
pub(crate) async fn all_rows(store: &dyn BudgetStore) -> Vec<Arc<UsageRow>> {
    let (mut rows, mut query) = (Vec::new(), RowsQuery::default());
    loop {
        let page = store.rows(&query).await.unwrap();
        rows.extend(page.rows);
        let Some(next) = page.next else { return rows };
        query.after = Some(next);
    }
}

/// M6: what stands on each account is the sum of its rows and its total, and nothing is reserved any more.
pub(crate) async fn assert_books_agree(store: &dyn BudgetStore, names: &[&str]) {
    let rows = all_rows(store).await;
    let query = UsageQuery { by_subject: true, ..UsageQuery::default() };
    let totals = store.usage(&query).await.unwrap();
    for name in names {
        let subject = Subject::new("user", name);
        let of_it = rows.iter().filter(|row| row.subjects.contains(&subject));
        let sum: u64 = of_it.map(|row| row.usage.total()).sum();
        assert_eq!(balance(store, name).await, Balance { spent: sum, reserved: 0 }, "{name}");
        let total = totals.iter().find(|total| total.subject.as_ref() == Some(&subject));
        assert_eq!(total.map_or(0, |total| total.usage.total()), sum, "{name}");
    }
    let all = store.usage(&UsageQuery::default()).await.unwrap();
    let sum: u64 = rows.iter().map(|row| row.usage.total()).sum();
    assert_eq!(all.iter().map(|total| total.usage.total()).sum::<u64>(), sum);
    let ended: std::collections::HashSet<HoldId> = rows.iter().map(|row| row.hold).collect();
    assert_eq!(ended.len(), rows.len(), "each hold has one row");
}

/// What was settled from a lease is no longer reserved by it, and not lost with it.
pub(crate) async fn a_draw_lowers_its_lease(store: &dyn BudgetStore) {
    let lease = hold();
    assert!(is_granted(&reserve(store, lease, LEASE, &[charge("a", 100, 40)]).await.unwrap()));
    let left = row(lease, &["a"], 25, RowStatus::Lost);
    let spent = hold();
    let mut charges = [charge("a", 100, 15)];
    charges[0].from = Some(Draw { lease, left: 25, if_lost: left });
    let now = settle(store, spent, &charges, 15).await.unwrap();
    assert_eq!(now, Settled::Now(vec![Balance { spent: 15, reserved: 25 }]));
    // Once, however often it is told.
    assert_eq!(settle(store, spent, &charges, 15).await.unwrap(), Settled::Again);
    assert_eq!(balance(store, "a").await, Balance { spent: 15, reserved: 25 });
    store.renew(&[lease], Duration::from_millis(1), now_ms()).await.unwrap();
    let lost = expire(store, 1).await;
    assert_eq!(lost[0].row.usage.input, 25);
    assert_eq!(lost[0].booked, [(account("a"), 25, Balance { spent: 40, reserved: 0 })]);
    assert_eq!(all_rows(store).await.len(), 2);
    assert_books_agree(store, &["a"]).await;
}

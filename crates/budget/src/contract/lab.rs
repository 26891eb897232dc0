//! A store under test, with the words in which the promises are written.

use std::sync::Arc;
use std::time::Duration;

use mainstay_metering::NanoUsd;
use mainstay_provider_core::{Subject, Usage};

use crate::clock::system_ms;
use crate::row::{RowStatus, UsageRow};
use crate::store::{
    AccountKey, Balance, BudgetStore, Charge, ExpiredHold, HoldId, Reservation, Reserved, Settled,
    Settlement, StoreError, Window,
};
use crate::usage::RowsQuery;

/// A lease that does not pass in a test.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// A store under test.
#[derive(Debug)]
pub struct Lab<S> {
    pub(super) store: Arc<S>,
    pub(super) now: u64,
}

impl<S> Clone for Lab<S> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), now: self.now }
    }
}

pub(super) fn fail<T>(error: StoreError) -> T {
    panic!("the store failed: {error}: {:?}", std::error::Error::source(&error))
}

pub(super) fn hold_at(now_ms: u64) -> HoldId {
    HoldId::by_chance(now_ms)
}

/// All time, as one window.
pub(super) fn forever() -> Window {
    Window { start_ms: 0, end_ms: None, slice_ms: None }
}

pub(super) fn account(subject: &str) -> AccountKey {
    AccountKey::new(format!("{subject}|tokens|forever"))
}

pub(super) fn tokens(subject: &str, limit: u64, take: u64) -> Charge {
    Charge::new(account(subject), forever(), limit, take)
}

/// A row of so many tokens that these subjects pay for.
pub(super) fn row(hold: HoldId, subjects: &[&str], tokens: u64, status: RowStatus) -> Arc<UsageRow> {
    let mut row = UsageRow::new(hold, hold.made_ms());
    row.subjects = subjects.iter().filter_map(|subject| Subject::parse(subject)).collect();
    (row.provider, row.model, row.asked) = ("openai".into(), "gpt-4o".into(), "gpt-4o".into());
    row.usage = Usage::new(tokens, 0);
    row.cost = NanoUsd::from_nanos(tokens * 3);
    row.requests = 1;
    row.status = status;
    row.estimated = status == RowStatus::Lost;
    Arc::new(row)
}

/// The subjects of some charges.
pub(super) fn subjects(charges: &[Charge]) -> Vec<&str> {
    charges.iter().filter_map(|charge| charge.account.as_str().split('|').next()).collect()
}

impl<S: BudgetStore> Lab<S> {
    pub(super) fn new(store: S) -> Self {
        Self { store: Arc::new(store), now: system_ms() }
    }

    /// The same store, now.
    pub(super) fn fresh(&self) -> Self {
        Self { store: self.store.clone(), now: system_ms() }
    }

    pub(super) fn hold(&self) -> HoldId {
        hold_at(self.now)
    }

    pub(super) async fn reserve(&self, hold: HoldId, charges: &[Charge]) -> Reserved {
        self.reserve_for(LONG, hold, charges).await
    }

    pub(super) async fn reserve_for(&self, lease: Duration, hold: HoldId, charges: &[Charge]) -> Reserved {
        let lost = charges.first().map_or(0, |charge| charge.if_lost);
        let if_lost = &row(hold, &subjects(charges), lost, RowStatus::Lost);
        let ask = Reservation { hold, lease, charges, if_lost, now_ms: hold.made_ms() };
        self.store.reserve(ask).await.unwrap_or_else(fail)
    }

    /// Reserves; it must be granted.
    pub(super) async fn granted(&self, charges: &[Charge]) -> HoldId {
        let hold = self.hold();
        let reserved = self.reserve(hold, charges).await;
        assert!(matches!(reserved, Reserved::Granted(_)), "{reserved:?}");
        hold
    }

    /// Settles with so many tokens on each account, and one row for them.
    pub(super) async fn settle(&self, hold: HoldId, charges: &[Charge], actual: u64) -> Settled {
        let rows = [row(hold, &subjects(charges), actual, RowStatus::Settled)];
        let rows = if actual == 0 { &rows[..0] } else { &rows };
        self.settle_with(hold, charges, &vec![actual; charges.len()], rows).await
    }

    pub(super) async fn settle_with(
        &self,
        hold: HoldId,
        charges: &[Charge],
        actual: &[u64],
        rows: &[Arc<UsageRow>],
    ) -> Settled {
        let settlement = Settlement { hold, charges, actual, rows, now_ms: self.now };
        self.store.settle(settlement).await.unwrap_or_else(fail)
    }

    pub(super) async fn balance(&self, key: &AccountKey, window: Window) -> Balance {
        let asked = [(key.clone(), window)];
        let balances = self.store.balances(&asked, self.now).await.unwrap_or_else(fail);
        assert_eq!(balances.len(), 1);
        balances[0]
    }

    /// Spent and reserved of a subject's tokens.
    pub(super) async fn stands(&self, subject: &str) -> (u64, u64) {
        let Balance { spent, reserved } = self.balance(&account(subject), forever()).await;
        (spent, reserved)
    }

    /// Lets time pass, for the store's own clock and for ours.
    pub(super) async fn pass(&mut self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        self.now += millis;
    }

    pub(super) async fn expire(&self) -> Vec<ExpiredHold> {
        self.store.expire(self.now).await.unwrap_or_else(fail)
    }

    /// All rows, however many pages.
    pub(super) async fn all_rows(&self, mut query: RowsQuery) -> Vec<Arc<UsageRow>> {
        let mut all = Vec::new();
        loop {
            let page = self.store.rows(&query).await.unwrap_or_else(fail);
            all.extend(page.rows);
            match page.next {
                Some(next) => query.after = Some(next),
                None => return all,
            }
        }
    }

    /// The tokens in the rows of a subject.
    pub(super) async fn in_rows(&self, subject: &str) -> u64 {
        let subject = Subject::parse(subject);
        let rows = self.all_rows(RowsQuery { subject, ..RowsQuery::default() }).await;
        rows.iter().map(|row| row.usage.total()).sum()
    }
}

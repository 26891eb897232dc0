//! A store that is elsewhere, and fails as it is told.
#![allow(dead_code, unreachable_pub, reason = "a part of several tests")]

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_budget::{
    AccountKey, Answer, Balance, BudgetStore, ExpiredHold, HoldId, MemoryStore, Reservation, Reserved,
    RowsPage, RowsQuery, Settled, Settlement, StoreError, UsageQuery, UsageTotal, Window,
};
use tokio::time::{Instant, sleep};

use crate::common::NOON;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// It takes its time.
    Slow(Duration),
    /// It neither answers nor does anything.
    Frozen,
    /// It says that it failed.
    Refuses,
    /// It does what it is asked, and the answer is lost.
    AnswersLost,
}

/// A store that several processes share.
#[derive(Clone)]
pub struct Faulty(Arc<Inner>);

struct Inner {
    store: Arc<MemoryStore>,
    fault: Mutex<Fault>,
    born: Instant,
}

impl Faulty {
    pub fn new() -> Self {
        let (store, fault) = (Arc::new(MemoryStore::new()), Mutex::new(Fault::None));
        Self(Arc::new(Inner { store, fault, born: Instant::now() }))
    }

    pub fn set(&self, fault: Fault) {
        *self.0.fault.lock().unwrap() = fault;
    }

    /// What it keeps, whatever it answers.
    pub fn inside(&self) -> Arc<MemoryStore> {
        self.0.store.clone()
    }

    fn fault(&self) -> Fault {
        *self.0.fault.lock().unwrap()
    }

    /// The time of day, which passes as the test's time does.
    pub fn clock(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let born = self.0.born;
        move || NOON + u64::try_from(born.elapsed().as_millis()).unwrap()
    }

    /// What really stands there: spent and reserved.
    pub async fn balance(&self, account: &str) -> (u64, u64) {
        let day =
            Window { start_ms: NOON - 12 * 3_600_000, end_ms: Some(NOON + 12 * 3_600_000), slice_ms: None };
        let asked = [(AccountKey::new(account), day)];
        let balance = self.0.store.balances(&asked, NOON).await.unwrap()[0];
        (balance.spent, balance.reserved)
    }

    pub async fn tokens_in_rows(&self) -> u64 {
        let query = RowsQuery { limit: usize::MAX, ..RowsQuery::default() };
        let page = self.0.store.rows(&query).await.unwrap();
        page.rows.iter().map(|row| row.usage.total()).sum()
    }

    fn through<'a, T: Send + 'a>(
        &'a self,
        work: impl FnOnce(&'a MemoryStore) -> Answer<'a, Result<T, StoreError>> + Send + 'a,
    ) -> Answer<'a, Result<T, StoreError>> {
        Answer::later(async move {
            match self.fault() {
                Fault::None => {
                    tokio::task::yield_now().await;
                    work(&self.0.store).await
                }
                Fault::Slow(time) => {
                    sleep(time / 2).await;
                    let answer = work(&self.0.store).await;
                    sleep(time / 2).await;
                    answer
                }
                Fault::Frozen => pending().await,
                Fault::Refuses => Err(StoreError::Failed("it is told to fail".into())),
                Fault::AnswersLost => {
                    drop(work(&self.0.store).await);
                    pending().await
                }
            }
        })
    }
}

impl BudgetStore for Faulty {
    fn reserve<'a>(&'a self, ask: Reservation<'a>) -> Answer<'a, Result<Reserved, StoreError>> {
        self.through(move |store| store.reserve(ask))
    }

    fn settle<'a>(&'a self, settlement: Settlement<'a>) -> Answer<'a, Result<Settled, StoreError>> {
        self.through(move |store| store.settle(settlement))
    }

    fn renew<'a>(
        &'a self,
        holds: &'a [HoldId],
        lease: Duration,
        now_ms: u64,
    ) -> Answer<'a, Result<(), StoreError>> {
        self.through(move |store| store.renew(holds, lease, now_ms))
    }

    fn expire(&self, now_ms: u64) -> Answer<'_, Result<Vec<ExpiredHold>, StoreError>> {
        self.through(move |store| store.expire(now_ms))
    }

    fn balances<'a>(
        &'a self,
        accounts: &'a [(AccountKey, Window)],
        now_ms: u64,
    ) -> Answer<'a, Result<Vec<Balance>, StoreError>> {
        self.through(move |store| store.balances(accounts, now_ms))
    }

    fn usage<'a>(&'a self, query: &'a UsageQuery) -> Answer<'a, Result<Vec<UsageTotal>, StoreError>> {
        self.through(move |store| store.usage(query))
    }

    fn rows<'a>(&'a self, query: &'a RowsQuery) -> Answer<'a, Result<RowsPage, StoreError>> {
        self.through(move |store| store.rows(query))
    }

    fn ping(&self) -> Answer<'_, Result<(), StoreError>> {
        self.through(|_| Answer::ready(Ok(())))
    }
}

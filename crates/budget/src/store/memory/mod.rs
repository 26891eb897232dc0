//! The store in this process.

mod account;
mod accounts;
mod booking;
mod engine;
#[cfg(feature = "journal")]
mod engine_snapshot;
mod known;
mod locked;
#[cfg(all(test, loom))]
mod loom_tests;
mod rows;
mod shard;
#[cfg(all(test, not(loom)))]
mod tests;

use std::time::Duration;

#[cfg(feature = "journal")]
pub(crate) use self::account::Slice;
#[cfg(feature = "journal")]
pub(crate) use self::engine::Log;
use self::engine::NoLog;
pub(crate) use self::engine::{Engine, Kept};
#[cfg(feature = "journal")]
pub(crate) use self::rows::{Sum, Total};
#[cfg(feature = "journal")]
pub(crate) use self::shard::{Open, Snapshot};

use super::{
    AccountKey, Answer, Balance, BudgetStore, ExpiredHold, HoldId, Reservation, Reserved, Settled,
    Settlement, StoreError, Window,
};
use crate::usage::{RowsPage, RowsQuery, UsageQuery, UsageTotal};

/// The store in this process: exact for all its threads, and gone when it ends.
///
/// It keeps the last 10,000 rows and the totals of the last 62 days (fewer if there are more than a million of them), and
/// remembers the last 8,192 holds that have ended, of each thread.
#[derive(Debug, Default)]
pub struct MemoryStore(Engine<NoLog>);

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one that keeps so many rows, and totals of so many days.
    pub fn keeping(rows: usize, days: u32) -> Self {
        Self(Engine::new(NoLog, Kept { rows, days }))
    }
}

impl BudgetStore for MemoryStore {
    fn reserve<'a>(&'a self, ask: Reservation<'a>) -> Answer<'a, Result<Reserved, StoreError>> {
        Answer::ready(Ok(self.0.reserve(&ask)))
    }

    fn settle<'a>(&'a self, settlement: Settlement<'a>) -> Answer<'a, Result<Settled, StoreError>> {
        Answer::ready(Ok(self.0.settle(&settlement)))
    }

    fn renew<'a>(
        &'a self,
        holds: &'a [HoldId],
        lease: Duration,
        now_ms: u64,
    ) -> Answer<'a, Result<(), StoreError>> {
        self.0.renew(holds, lease, now_ms);
        Answer::ready(Ok(()))
    }

    fn expire(&self, now_ms: u64) -> Answer<'_, Result<Vec<ExpiredHold>, StoreError>> {
        Answer::ready(Ok(self.0.expire(now_ms)))
    }

    fn balances<'a>(
        &'a self,
        accounts: &'a [(AccountKey, Window)],
        _now_ms: u64,
    ) -> Answer<'a, Result<Vec<Balance>, StoreError>> {
        Answer::ready(Ok(self.0.balances(accounts)))
    }

    fn usage<'a>(&'a self, query: &'a UsageQuery) -> Answer<'a, Result<Vec<UsageTotal>, StoreError>> {
        Answer::ready(Ok(self.0.usage(query)))
    }

    fn rows<'a>(&'a self, query: &'a RowsQuery) -> Answer<'a, Result<RowsPage, StoreError>> {
        Answer::ready(Ok(self.0.rows(query)))
    }

    fn is_local(&self) -> bool {
        true
    }
}

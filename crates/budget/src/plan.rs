//! What a call takes, and of which accounts.

use std::sync::Arc;

use mainstay_metering::Reserve;
use mainstay_provider_core::Subject;

use crate::book::{Account, LimitBook};
use crate::limit::Unit;
use crate::store::{Charge, MOST};

/// What is done with what a call had reserved that nobody settled: its process crashed, or lost the store for longer than
/// the lease.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostHold {
    /// It is booked at its estimate: the call may have been made. The default.
    #[default]
    Settle,
    /// It is given back.
    Release,
}

/// How much of each unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    pub(crate) tokens: u64,
    pub(crate) nanos: u64,
    pub(crate) requests: u64,
}

impl Amounts {
    pub(crate) fn of(reserve: &Reserve) -> Self {
        Self { tokens: reserve.tokens(), nanos: reserve.cost.as_nanos(), requests: 1 }
    }

    /// What is reserved of a unit.
    fn reserved(&self, unit: Unit) -> u64 {
        if unit == Unit::Concurrent { 1 } else { self.spent(unit) }
    }

    /// What is booked of a unit: a place for a call at once is never used up.
    fn spent(&self, unit: Unit) -> u64 {
        let amount = match unit {
            Unit::Tokens => self.tokens,
            Unit::Usd => self.nanos,
            Unit::Requests => self.requests,
            Unit::Concurrent => 0,
        };
        amount.min(MOST)
    }
}

/// The accounts that a call is charged to.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) accounts: Vec<Arc<Account>>,
    pub(crate) charges: Vec<Charge>,
}

impl Plan {
    /// The accounts of these subjects; nothing is charged yet.
    pub(crate) fn of(book: &LimitBook, subjects: &[Subject]) -> Self {
        let mut accounts = Vec::with_capacity(subjects.len());
        for (place, subject) in subjects.iter().enumerate() {
            // Who is named twice pays once.
            if !subjects[..place].contains(subject) {
                accounts.extend(book.accounts(subject).iter().cloned());
            }
        }
        Self { accounts, charges: Vec::new() }
    }

    /// The accounts on which attempts are booked, not calls.
    pub(crate) fn of_usage(book: &LimitBook, subjects: &[Subject]) -> Self {
        let mut plan = Self::of(book, subjects);
        plan.accounts.retain(|account| account.limit.unit.is_of_usage());
        plan
    }

    /// Whether an estimate of tokens or money is needed.
    pub(crate) fn needs_estimate(&self) -> bool {
        self.accounts.iter().any(|account| account.limit.unit.is_of_usage())
    }

    /// Charges so much to each.
    pub(crate) fn charge(&mut self, amounts: Amounts, lost: LostHold, now_ms: u64) {
        self.charges.clear();
        self.charges.extend(self.accounts.iter().map(|account| {
            let unit = account.limit.unit;
            let if_lost = if lost == LostHold::Settle { amounts.spent(unit) } else { 0 };
            account.charge(amounts.reserved(unit), if_lost, now_ms)
        }));
    }

    /// What is booked on each.
    pub(crate) fn booked(&self, amounts: Amounts) -> Vec<u64> {
        self.accounts.iter().map(|account| amounts.spent(account.limit.unit)).collect()
    }
}

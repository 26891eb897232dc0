//! Who is told of what happens to budgets, each thing once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use mainstay_provider_core::{Event, Events, Severity};

use crate::book::Account;
use crate::forecast::exhausted_at;
use crate::refusal::written;
use crate::store::{AccountKey, Balance, BudgetStore, Charge, ExpiredHold, Window};

/// Sends the events of budgets.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    events: Events,
    told: Mutex<HashMap<(AccountKey, u64), Told>>,
}

/// What was told of an account in the period that begins then: a call of yesterday that is booked today says nothing of today. Rolling
/// periods have no beginning of their own, all are at 0.
#[derive(Debug, Clone, Copy)]
struct Told {
    until_ms: u64,
    what: u8,
}

/// So many periods of accounts are remembered, and those that are over while there is room; with one more, what was told may be told
/// again.
const MOST: usize = 100_000;

const SOFT: u8 = 1;
const HARD: u8 = 2;
const FORECAST: u8 = 4;

impl Teller {
    pub(crate) fn new(events: Events) -> Self {
        Self { events, told: Mutex::default() }
    }

    /// Something was booked: `spent` now stands there, of which `booked` is new. Who books over the line tells it, so over
    /// all processes it is told once.
    pub(crate) fn booked(
        &self,
        account: &Account,
        window: &Window,
        booked: u64,
        after: Balance,
        now_ms: u64,
    ) {
        let limit = &account.limit;
        let before = after.spent.saturating_sub(booked);
        if let Some(soft) = limit.soft_amount()
            && before < soft
            && after.spent >= soft
            && self.is_first(account, window, SOFT, now_ms)
        {
            self.send("budget.soft_limit", Severity::Warning, account, window, after.spent, None);
        }
        if limit.soft.is_some()
            && let Some(at) = exhausted_at(window, after.spent, limit.amount, now_ms)
            && after.spent < limit.amount
            && self.is_first(account, window, FORECAST, now_ms)
        {
            self.send("budget.forecast", Severity::Warning, account, window, after.spent, Some(at));
        }
    }

    /// A call was refused. `first`: the store has not refused any before on this account in this period.
    pub(crate) fn refused(
        &self,
        account: &Account,
        charge: &Charge,
        balance: Balance,
        first: bool,
        now_ms: u64,
    ) {
        if first && account.limit.soft.is_some() && self.is_first(account, &charge.window, HARD, now_ms) {
            self.send("budget.hard_limit", Severity::Alert, account, &charge.window, balance.spent, None);
        }
    }

    /// Holds were lost.
    pub(crate) fn lost(&self, holds: &[ExpiredHold]) {
        for lost in holds {
            self.events.send(|| {
                let row = &lost.row;
                Event::new("budget.hold_lost", Severity::Warning)
                    .with("hold", lost.hold.to_string())
                    .with("subjects", names(row.subjects.iter().map(|subject| subject.as_str())))
                    .with("tokens", row.usage.total().to_string())
                    .with("cost", row.cost.to_string())
            });
        }
    }

    /// A store may have found something wrong when it was opened.
    pub(crate) fn opened(&self, store: &dyn BudgetStore) {
        store.tell_found(&self.events);
    }

    /// Settlements could not be kept until the store is back.
    pub(crate) fn dropped(&self, hold: impl ToString) {
        self.events
            .send(|| Event::new("budget.settlement_dropped", Severity::Alert).with("hold", hold.to_string()));
    }

    fn send(
        &self,
        name: &'static str,
        severity: Severity,
        account: &Account,
        window: &Window,
        spent: u64,
        exhausted_at_ms: Option<u64>,
    ) {
        self.events.send(|| {
            let unit = account.limit.unit;
            let mut event = Event::new(name, severity)
                .with("subject", account.subject.to_string())
                .with("unit", unit.as_str())
                .with("limit", unit.show(account.limit.amount))
                .with("spent", unit.show(spent))
                .with("period", account.limit.period.to_string());
            if let Some(time) = window.end_ms.and_then(written) {
                event = event.with("resets_at", time);
            }
            if let Some(time) = exhausted_at_ms.and_then(written) {
                event = event.with("exhausted_at", time);
            }
            event
        });
    }

    /// Whether this was not told of this account in this period.
    fn is_first(&self, account: &Account, window: &Window, what: u8, now_ms: u64) -> bool {
        let (begins, until_ms) = match window.slice_ms {
            // A rolling period is always a new one: once in its length.
            Some(_) => (0, now_ms.saturating_add(now_ms.saturating_sub(window.start_ms))),
            None => (window.start_ms, window.end_ms.unwrap_or(u64::MAX)),
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let period = (account.key.clone(), begins);
        if told.len() >= MOST && !told.contains_key(&period) {
            told.retain(|_, told| told.until_ms > now_ms);
            if told.len() >= MOST {
                told.clear();
            }
        }
        let known = told.entry(period).or_insert(Told { until_ms, what: 0 });
        if window.slice_ms.is_some() && known.until_ms <= now_ms {
            *known = Told { until_ms, what: 0 };
        }
        let is_first = known.what & what == 0;
        known.what |= what;
        is_first
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(" ")
}

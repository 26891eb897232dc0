//! The handle: what remains, what was used, how things stand.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mainstay_metering::{NanoUsd, Reserve};
use mainstay_provider_core::{Call, Error, Subject};
use tokio::time::Instant;

use crate::book::{Account, LimitBook};
use crate::forecast::exhausted_at;
use crate::guard::Guard;
use crate::limit::Limit;
use crate::outbox::Behind;
use crate::plan::{Amounts, Plan};
use crate::refusal;
use crate::shared::Core;
use crate::store::{Answer, Balance, StoreError, Window};
use crate::usage::{RowsPage, RowsQuery, UsageQuery, UsageTotal};

/// A budget. A clone is the same budget.
#[derive(Clone)]
pub struct Budget(Arc<Core>);

/// How a subject stands with one of its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// Whose limit it is.
    pub subject: Subject,
    /// The limit.
    pub limit: Limit,
    /// What was spent of it in the period.
    pub spent: u64,
    /// What calls under way have reserved of it.
    pub reserved: u64,
    /// When the period ends, in milliseconds since 1970; none for a rolling period and for all time.
    pub resets_at_ms: Option<u64>,
    /// When it will be used up, in milliseconds since 1970, at the rate of the period so far; none if it lasts, and in the first
    /// twentieth of the period, which says nothing.
    pub exhausted_at_ms: Option<u64>,
}

impl Standing {
    /// What a call can reserve.
    pub fn remaining(&self) -> u64 {
        self.limit.amount.saturating_sub(self.spent).saturating_sub(self.reserved)
    }
}

/// Figures of a budget since its beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Calls that went through.
    pub admitted: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Calls under way that have something reserved: holds that are open now.
    pub held: u64,
    /// Calls that were booked.
    pub settled: u64,
    /// Calls that were booked after their lease had passed.
    pub late: u64,
    /// Holds whose lease passed, as this process saw it.
    pub lost: u64,
    /// Calls of which something was counted here, because a provider told no usage.
    pub estimated: u64,
    /// What calls of this process have cost at their end, booked or not yet; of models whose price is known.
    pub spent: NanoUsd,
    /// Calls that are not booked yet because the store is slow or away.
    pub owed: u64,
    /// For how long the oldest of them waits; zero if none does.
    pub owed_for: Duration,
    /// Calls that could not be kept until the store was back.
    pub dropped: u64,
    /// The same of the store, if it is not in this process.
    pub store: Option<StoreStats>,
}

/// Figures of a store that is not in this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Whether it is left alone just now, because it failed.
    pub is_away: bool,
    /// How often it came to be left alone.
    pub outages: u64,
    /// How often it failed.
    pub failures: u64,
    /// How often it did not answer in time.
    pub timeouts: u64,
    /// Of so many limits this process keeps a share for itself.
    pub leases: u64,
    /// Calls that spent from such a share while it was away.
    pub leased: u64,
    /// Calls that went through unchecked while it was away.
    pub opened: u64,
    /// Calls that were refused because it was away.
    pub closed: u64,
}

/// Settlements that were not booked in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{left} calls are not booked, because the store of the budgets does not answer")]
pub struct Unflushed {
    /// How many.
    pub left: usize,
}

impl Budget {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        core.teller.opened(&*core.store);
        Self(core)
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0
    }

    /// The limits.
    pub fn book(&self) -> &LimitBook {
        &self.0.book
    }

    /// How a subject stands with each of its limits.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn remaining(&self, subject: &Subject) -> Result<Vec<Standing>, StoreError> {
        let now_ms = self.0.clock.now_ms();
        let accounts = self.0.book.accounts(subject);
        let asked: Vec<_> =
            accounts.iter().map(|account| (account.key.clone(), account.calendar.window(now_ms))).collect();
        let balances = self.bounded(self.0.store.balances(&asked, now_ms)).await?;
        let each = accounts.iter().zip(&asked).zip(balances);
        Ok(each.map(|((account, (_, window)), balance)| standing(account, window, balance, now_ms)).collect())
    }

    /// When the first of a subject's limits will be used up, in milliseconds since 1970, at the rate of its period so far.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn forecast(&self, subject: &Subject) -> Result<Option<u64>, StoreError> {
        let standings = self.remaining(subject).await?;
        Ok(standings.iter().filter_map(|standing| standing.exhausted_at_ms).min())
    }

    /// Whether a call would have room now, and what it would reserve; nothing is reserved.
    ///
    /// # Errors
    /// That with which the call would be refused.
    pub async fn check(&self, call: &Call) -> Result<Reserve, Error> {
        let core = &self.0;
        let candidates = core.candidates.of(call.model());
        let named = candidates.iter().map(|(provider, model)| (&**provider, &**model));
        let reserve = core.meter.reserve(call.request(), named).map_err(refusal::unknown_price)?;
        let mut plan = Plan::of(&core.book, &call.context().subjects);
        let now_ms = core.clock.now_ms();
        plan.charge(Amounts::of(&reserve), core.lost, now_ms);
        let asked: Vec<_> =
            plan.charges.iter().map(|charge| (charge.account.clone(), charge.window)).collect();
        let balances = self.bounded(core.store.balances(&asked, now_ms)).await;
        let balances = balances.map_err(|error| refusal::store_away(None).with_source(error))?;
        for ((account, charge), balance) in plan.accounts.iter().zip(&plan.charges).zip(balances) {
            if balance.total().saturating_add(charge.take) > charge.limit {
                return Err(refusal::exceeded(account, charge, balance, now_ms));
            }
        }
        Ok(reserve)
    }

    /// Totals of what was used, by what the query names.
    ///
    /// # Errors
    /// The store does not answer within 30 s.
    pub async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageTotal>, StoreError> {
        report(self.0.store.usage(query)).await
    }

    /// The usage rows, page by page.
    ///
    /// # Errors
    /// The store does not answer within 30 s.
    pub async fn rows(&self, query: &RowsQuery) -> Result<RowsPage, StoreError> {
        report(self.0.store.rows(query)).await
    }

    /// Reaches the store, and makes what it needs there (PostgreSQL's tables take longer than a call may wait): at the start
    /// of a process. What is seen to from time to time is seen to from then on.
    ///
    /// # Errors
    /// The store does not answer within 2 s. It counts as away then, calls go their limits' ways, and it is looked at until it
    /// does.
    pub async fn ping(&self) -> Result<(), StoreError> {
        const LONGEST: Duration = Duration::from_secs(2);
        let reached = tokio::time::timeout(LONGEST, self.0.store.ping()).await;
        let reached = reached.unwrap_or(Err(StoreError::TimedOut));
        if let (Some(guard), Err(error)) = (&self.0.guard, &reached) {
            guard.missed(error);
        }
        self.0.keep();
        reached
    }

    /// Figures since the beginning.
    pub fn stats(&self) -> Stats {
        let core = &self.0;
        let get = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let Behind { owed, oldest, dropped } = core.outbox.behind();
        let store = core.guard.as_ref().map(|guard| {
            let counts = guard.counts();
            StoreStats {
                is_away: guard.is_open(),
                outages: get(&counts.outages),
                failures: get(&counts.failures),
                timeouts: get(&counts.timeouts),
                leases: guard.leases().len() as u64,
                leased: get(&counts.leased),
                opened: get(&counts.opened),
                closed: get(&counts.closed),
            }
        });
        Stats {
            admitted: get(&core.counts.admitted),
            refused: get(&core.counts.refused),
            held: get(&core.counts.held),
            settled: get(&core.counts.settled),
            late: get(&core.counts.late),
            lost: get(&core.counts.lost),
            estimated: get(&core.counts.estimated),
            spent: NanoUsd::from_nanos(get(&core.counts.spent)),
            owed: owed as u64,
            owed_for: oldest,
            dropped,
            store,
        }
    }

    /// Whether the store is left alone just now, because it failed; never if it is in this process. It costs no more than a lock: the
    /// gateway asks at each answer.
    pub fn is_store_away(&self) -> bool {
        self.0.guard.as_ref().is_some_and(Guard::is_open)
    }

    /// Books all that is not booked yet and gives back what this process keeps for itself: before the process ends, when no call
    /// is under way any more (G3).
    ///
    /// # Errors
    /// [`Unflushed`] if that takes longer than `longest`.
    pub async fn flush(&self, longest: Duration) -> Result<(), Unflushed> {
        let until = Instant::now() + longest;
        // A share that is being taken just now would be left behind.
        let _alone = tokio::time::timeout_at(until, self.0.keeping.lock()).await;
        if let Some(guard) = &self.0.guard {
            guard.leases().drain().into_iter().for_each(|lease| self.0.owe(lease.given_back()));
        }
        self.0.nudge();
        let left = self.0.outbox.emptied(until).await;
        if left > 0 {
            return Err(Unflushed { left });
        }
        match tokio::time::timeout_at(
            until.max(Instant::now() + Duration::from_millis(1)),
            self.0.store.flush(),
        )
        .await
        {
            Ok(Ok(())) => Ok(()),
            // What is not on disk is not known to be booked.
            _ => Err(Unflushed { left: 0 }),
        }
    }

    /// Sees to what is seen to from time to time, at once: renews leases, books the holds of the crashed.
    pub async fn maintain(&self) {
        self.0.maintain().await;
    }

    async fn bounded<T>(&self, answer: Answer<'_, Result<T, StoreError>>) -> Result<T, StoreError> {
        match &self.0.guard {
            Some(guard) => guard.bounded(answer).await,
            None => answer.await,
        }
    }
}

/// A report goes through many rows, and an operator waits for it.
async fn report<T>(answer: Answer<'_, Result<T, StoreError>>) -> Result<T, StoreError> {
    const LONGEST: Duration = Duration::from_secs(30);
    tokio::time::timeout(LONGEST, answer).await.unwrap_or(Err(StoreError::TimedOut))
}

fn standing(account: &Account, window: &Window, balance: Balance, now_ms: u64) -> Standing {
    Standing {
        subject: account.subject.clone(),
        limit: account.limit,
        spent: balance.spent,
        reserved: balance.reserved,
        resets_at_ms: window.end_ms,
        exhausted_at_ms: exhausted_at(window, balance.spent, account.limit.amount, now_ms),
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("book", &self.0.book).field("stats", &self.stats()).finish()
    }
}

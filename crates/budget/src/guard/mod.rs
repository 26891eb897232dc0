//! A store that is not in this process, so held that it cannot hurt: a timeout, a circuit, and for each limit what is done
//! while it is away (S1, S2).

mod leases;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mainstay_provider_core::{AskStore, Event, Events, Severity, StoreCircuit, StoreLook};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

pub(crate) use self::leases::{Lease, Leases};
use crate::limit::WhenStoreFails;
use crate::plan::Plan;
use crate::shared::one;
use crate::store::{Answer, BudgetStore, HoldId, Reserved, Settlement, StoreError};
use crate::ticket::Ticket;

/// What stands between the calls and a store that is elsewhere.
#[derive(Clone)]
pub(crate) struct Guard(Arc<Inner>);

struct Inner {
    store: Arc<dyn BudgetStore>,
    /// The most that anybody waits for it.
    longest: Duration,
    trip_after: u32,
    circuit: Mutex<StoreCircuit>,
    leases: Leases,
    /// The holds of this process that are open in the store: their leases are renewed.
    open: Mutex<HashSet<HoldId>>,
    /// There is something to do: the store is back, or gone, or an account wants a lease.
    wake: Notify,
    events: Events,
    counts: Counts,
}

/// Figures since the beginning.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) outages: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) leased: AtomicU64,
    pub(crate) opened: AtomicU64,
    pub(crate) closed: AtomicU64,
}

/// Where a call has its reservation.
#[derive(Debug)]
pub(crate) enum Way {
    /// In the store.
    Store,
    /// Nowhere, as the store was away: in these leases of ours, for each charge that has one.
    Away(Vec<Option<HoldId>>),
}

/// What came of asking for a reservation.
pub(crate) enum Verdict {
    /// The store said so.
    Asked(Reserved),
    /// The store is away and every limit of the call allows it all the same.
    Away(Vec<Option<HoldId>>),
    /// The store is away and this charge's limit does not allow it. `is_asked`: it was asked all the same, and may have
    /// reserved.
    Closed { index: usize, is_asked: bool },
}

impl Guard {
    pub(crate) fn new(
        store: Arc<dyn BudgetStore>,
        longest: Duration,
        trip_after: u32,
        events: Events,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            longest,
            trip_after,
            circuit: Mutex::new(StoreCircuit::new(trip_after)),
            leases: Leases::default(),
            open: Mutex::default(),
            wake: Notify::new(),
            events,
            counts: Counts::default(),
        }))
    }

    pub(crate) async fn reserve(&self, ticket: &Ticket, now_ms: u64) -> Verdict {
        let inner = &self.0;
        let mut was_first = false;
        // Of each of its limits we may hold something that it needs.
        let mut gives = ticket.plan.charges.len();
        loop {
            // Before the store hears of it: some do what they are asked before anybody waits for the answer.
            if !self.is_to_be_asked() {
                return self.away(ticket, false);
            }
            match self.timed(inner.store.reserve(ticket.reservation())).await {
                Ok(Reserved::Denied { index, first, .. })
                    if gives > 0 && self.gave_up(ticket, index, now_ms).await =>
                {
                    gives -= 1;
                    was_first |= first;
                }
                Ok(mut answer) => {
                    if let Reserved::Denied { first, .. } = &mut answer {
                        *first |= was_first;
                    }
                    self.answered(ticket, &answer);
                    return Verdict::Asked(answer);
                }
                Err(_) => return self.away(ticket, true),
            }
        }
    }

    fn answered(&self, ticket: &Ticket, answer: &Reserved) {
        if matches!(answer, Reserved::Granted(_)) {
            self.0.open().insert(ticket.hold);
        }
        let mut new = false;
        for account in &ticket.plan.accounts {
            new |= self.0.leases.seen(account);
        }
        if new {
            self.0.wake.notify_one();
        }
    }

    /// An account has no room: what we hold of it for ourselves is given back first. Says whether there was something.
    async fn gave_up(&self, ticket: &Ticket, index: usize, now_ms: u64) -> bool {
        let charge = ticket.plan.charges.get(index);
        let Some(lease) = charge.and_then(|charge| self.0.leases.give_up(charge)) else { return false };
        let mut giving = Giving { leases: &self.0.leases, lease: Some(lease) };
        let Some(Lease { hold, charge, .. }) = &giving.lease else { return false };
        let charges = std::slice::from_ref(charge);
        let settlement = Settlement { hold: *hold, charges, actual: &[0], rows: &[], now_ms };
        let is_given = self.bounded(self.0.store.settle(settlement)).await.is_ok();
        if is_given {
            giving.lease = None;
        }
        is_given
    }

    /// What each limit of the call says for the time when the store is away.
    fn away(&self, ticket: &Ticket, is_asked: bool) -> Verdict {
        let Plan { accounts, charges } = &ticket.plan;
        let mut drafts = Vec::with_capacity(charges.len());
        for (index, (account, charge)) in accounts.iter().zip(charges).enumerate() {
            let draft = match account.limit.when_store_fails {
                WhenStoreFails::Open => Ok(None),
                WhenStoreFails::Closed => Err(()),
                WhenStoreFails::Lease { .. } => self.0.leases.take(charge).map(Some).ok_or(()),
            };
            let Ok(draft) = draft else {
                self.finish(&ticket.plan, &drafts, &[]);
                one(&self.0.counts.closed);
                return Verdict::Closed { index, is_asked };
            };
            drafts.push(draft);
        }
        let leased = drafts.iter().any(Option::is_some);
        one(if leased { &self.0.counts.leased } else { &self.0.counts.opened });
        Verdict::Away(drafts)
    }

    /// Gives back what was taken from leases and notes what was spent of it; says for each charge where it was spent from.
    fn finish(
        &self,
        plan: &Plan,
        drafts: &[Option<HoldId>],
        actual: &[u64],
    ) -> Vec<Option<crate::store::Draw>> {
        let each = plan.charges.iter().zip(drafts).enumerate();
        each.map(|(index, (charge, draft))| {
            let spent = actual.get(index).copied().unwrap_or_default();
            draft.and_then(|hold| self.0.leases.finish(charge, hold, spent))
        })
        .collect()
    }

    /// A call has ended.
    pub(crate) fn ended(&self, hold: HoldId, plan: &mut Plan, actual: &[u64], way: Way) {
        self.0.open().remove(&hold);
        if let Way::Away(drafts) = way {
            let draws = self.finish(plan, &drafts, actual);
            for (charge, draw) in plan.charges.iter_mut().zip(draws) {
                charge.from = draw;
            }
        }
    }

    /// What the store answers, if it is asked and answers in time.
    pub(crate) async fn bounded<T>(&self, work: Answer<'_, Result<T, StoreError>>) -> Result<T, StoreError> {
        if !self.is_to_be_asked() {
            return Err(StoreError::LeftAlone);
        }
        self.timed(work).await
    }

    /// The same of a store that is to be asked.
    async fn timed<T>(&self, work: Answer<'_, Result<T, StoreError>>) -> Result<T, StoreError> {
        let done = match timeout(self.0.longest, work).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::TimedOut),
        };
        match &done {
            Ok(_) | Err(StoreError::Damaged(_)) => self.0.circuit().succeeded(),
            Err(error) => self.failed(error),
        }
        done
    }

    fn failed(&self, error: &StoreError) {
        self.failed_times(error, 1);
    }

    /// It was not reached by who had more time than a call: that is as good as all the failures after which it is left alone.
    pub(crate) fn missed(&self, error: &StoreError) {
        self.failed_times(error, self.0.trip_after);
    }

    fn failed_times(&self, error: &StoreError, times: u32) {
        let timed_out = matches!(error, StoreError::TimedOut);
        one(if timed_out { &self.0.counts.timeouts } else { &self.0.counts.failures });
        self.0.store.timed_out();
        let is_away = (0..times).any(|_| self.0.circuit().failed(Instant::now()));
        if is_away {
            one(&self.0.counts.outages);
            let reason = if timed_out { "timeout" } else { "failure" };
            self.0.events.send(|| Event::new("budget.store_down", Severity::Alert).with("reason", reason));
            self.0.wake.notify_one();
        }
    }

    fn is_back(&self) {
        self.0.events.send(|| Event::new("budget.store_back", Severity::Info));
        self.0.wake.notify_one();
    }

    fn is_to_be_asked(&self) -> bool {
        let ask = self.0.circuit().ask(Instant::now());
        if let AskStore::Look(look) = ask {
            self.look(look);
        }
        ask == AskStore::Yes
    }

    /// Sees whether the store answers again, in a task of its own: no caller waits for that.
    fn look(&self, look: StoreLook) {
        let Ok(runtime) = Handle::try_current() else {
            return self.0.circuit().looked_in_vain(look, Instant::now());
        };
        let guard = self.clone();
        // Made here: a runtime that ends may drop the task before it has begun.
        let looking = Looking(self.0.clone(), look);
        runtime.spawn(async move {
            if let Ok(Ok(())) = timeout(guard.0.longest, guard.0.store.ping()).await {
                let is_back = guard.0.circuit().look_succeeded(look);
                if is_back {
                    guard.is_back();
                }
            } else {
                guard.0.store.timed_out();
            }
            drop(looking);
        });
    }

    /// Waits until there is something to do, or for so long.
    pub(crate) async fn woken(&self, longest: Duration) {
        // Whether it was woken or the time is over: there is something to see to.
        let _woken = timeout(longest, self.0.wake.notified()).await;
    }

    /// The holds that are to be renewed, each group for its time; those of calls for `lease`.
    pub(crate) fn holds(&self, lease: Duration) -> BTreeMap<Duration, Vec<HoldId>> {
        let mut groups = BTreeMap::from([(lease, self.0.open().iter().copied().collect())]);
        for (hold, lives) in self.0.leases.holds() {
            groups.entry(lives).or_insert_with(Vec::new).push(hold);
        }
        groups
    }

    pub(crate) fn leases(&self) -> &Leases {
        &self.0.leases
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// Whether the store is left alone.
    pub(crate) fn is_open(&self) -> bool {
        self.0.circuit().is_open()
    }
}

impl Inner {
    fn circuit(&self) -> MutexGuard<'_, StoreCircuit> {
        // The machine is plain data: a panic elsewhere leaves it as good as it was.
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, HashSet<HoldId>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lease that is being given back. Where that fails, or the call that does it is dropped, it is done later.
struct Giving<'a> {
    leases: &'a Leases,
    lease: Option<Lease>,
}

impl Drop for Giving<'_> {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.leases.put_back(lease);
        }
    }
}

/// A look at the store that has not succeeded when this is dropped has failed, a panic included.
struct Looking(Arc<Inner>, StoreLook);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.circuit().looked_in_vain(self.1, Instant::now());
    }
}

//! What this process keeps reserved for itself of some limits, so that it can go on for a while when the store is away.
//!
//! A lease is a hold of its own in the store. What is spent from it while the store is away is booked when the store is back,
//! each call together with the lowering of the lease, so that nothing counts twice and nothing passes the limit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mainstay_metering::NanoUsd;
use mainstay_provider_core::Usage;
use tokio::time::Instant;

use crate::book::Account;
use crate::limit::{Unit, WhenStoreFails};
use crate::outbox::Owed;
use crate::period::{Calendar, Period};
use crate::plan::Plan;
use crate::row::{RowStatus, UsageRow};
use crate::store::{AccountKey, Balance, Charge, Draw, HoldId, Reservation, Window};

/// How long a lease lives without being renewed. Longer than an outage: one that is lost is booked whole, though it may be
/// spent from yet, and until that is put right it counts twice.
const LIVES: Duration = Duration::from_secs(60 * 60);
/// The same for calls at once: what a crashed process kept of them comes back sooner.
const PLACE_LIVES: Duration = Duration::from_secs(5 * 60);

/// Of so many periods that begin while a lease lives one is kept too: an outage that lasts into the next period finds it there.
const AHEAD: usize = 5;

/// Of so many accounts leases are kept.
const MOST: usize = 1_024;
/// An account that nobody asked for during this time has none any more.
const UNUSED: Duration = Duration::from_secs(600);

/// The leases of this process.
#[derive(Debug, Default)]
pub(crate) struct Leases(Mutex<HashMap<AccountKey, Entry>>);

#[derive(Debug)]
struct Entry {
    account: Arc<Account>,
    used_at: Instant,
    /// At most one for each period.
    leases: Vec<Lease>,
    /// Leases in whose place another was taken, from which calls still spend.
    old: Vec<Lease>,
}

impl Entry {
    fn of(account: &Arc<Account>) -> Self {
        Self { account: account.clone(), used_at: Instant::now(), leases: Vec::new(), old: Vec::new() }
    }

    fn all(&self) -> impl Iterator<Item = &Lease> {
        self.leases.iter().chain(&self.old)
    }
}

/// The period that this time is in, and those that begin soon.
fn windows(calendar: &Calendar, now_ms: u64) -> Vec<Window> {
    let soon = now_ms.saturating_add(u64::try_from(LIVES.as_millis()).unwrap_or(u64::MAX));
    let mut all = vec![calendar.window(now_ms)];
    while let Some(end) = all.last().and_then(|window| window.end_ms)
        && end <= soon
        && all.len() <= AHEAD
    {
        all.push(calendar.window(end));
    }
    all
}

/// A hold that this process keeps for itself.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub(crate) hold: HoldId,
    pub(crate) account: Arc<Account>,
    pub(crate) charge: Charge,
    row: Arc<UsageRow>,
    /// What was spent of it.
    used: u64,
    /// What calls under way have taken of it.
    pending: u64,
}

impl Lease {
    /// A lease of so much in this period, which may be to come; not taken yet.
    fn new(account: Arc<Account>, window: Window, amount: u64, now_ms: u64) -> Self {
        let hold = HoldId::by_chance(now_ms);
        let if_lost = if account.limit.unit == Unit::Concurrent { 0 } else { amount };
        let charge = Charge::new(account.key.clone(), window, account.limit.amount, amount);
        let charge = Charge { if_lost, ..charge };
        let row = lost_row(&account, hold, &window, if_lost);
        Self { hold, account, charge, row, used: 0, pending: 0 }
    }

    pub(crate) fn reservation(&self) -> Reservation<'_> {
        let (charges, lease) = (std::slice::from_ref(&self.charge), self.lives());
        Reservation { hold: self.hold, lease, charges, if_lost: &self.row, now_ms: self.hold.made_ms() }
    }

    fn lives(&self) -> Duration {
        if self.account.limit.unit == Unit::Concurrent { PLACE_LIVES } else { LIVES }
    }

    /// Gives back what is left of it.
    pub(crate) fn given_back(self) -> Owed {
        let plan = Plan { accounts: vec![self.account], charges: vec![self.charge] };
        Owed::new(self.hold, plan, vec![0], Vec::new())
    }

    fn left(&self) -> u64 {
        self.charge.take.saturating_sub(self.used)
    }

    fn free(&self) -> u64 {
        self.left().saturating_sub(self.pending)
    }

    fn is_in(&self, window: &Window) -> bool {
        window.has_slice(self.charge.window.slice_at(self.hold.made_ms()))
    }

    fn finish(&mut self, take: u64, actual: u64) -> Option<Draw> {
        self.pending = self.pending.saturating_sub(take);
        if actual == 0 {
            return None;
        }
        self.used = self.used.saturating_add(actual);
        let left = self.left();
        let if_lost = lost_row(&self.account, self.hold, &self.charge.window, left);
        Some(Draw { lease: self.hold, left, if_lost })
    }
}

/// The row that stands for what is left of a lease when it is lost: in the period that it is for.
fn lost_row(account: &Account, hold: HoldId, window: &Window, amount: u64) -> Arc<UsageRow> {
    let mut row = UsageRow::new(hold, hold.made_ms().max(window.start_ms));
    row.subjects = Arc::from([account.subject.clone()]);
    (row.status, row.estimated) = (RowStatus::Lost, true);
    match account.limit.unit {
        Unit::Tokens => row.usage = Usage::new(amount, 0),
        Unit::Usd => row.cost = NanoUsd::from_nanos(amount),
        Unit::Requests => row.requests = amount,
        Unit::Concurrent => {}
    }
    Arc::new(row)
}

impl Leases {
    /// An account was asked for; says whether it is one of those that a lease is kept of and has none yet.
    pub(crate) fn seen(&self, account: &Arc<Account>) -> bool {
        let WhenStoreFails::Lease { .. } = account.limit.when_store_fails else { return false };
        let mut all = self.lock();
        if let Some(entry) = all.get_mut(&account.key) {
            entry.used_at = Instant::now();
            // The limit may have changed.
            if !Arc::ptr_eq(&entry.account, account) {
                entry.account = account.clone();
            }
            return false;
        }
        if all.len() >= MOST {
            return false;
        }
        all.insert(account.key.clone(), Entry::of(account));
        true
    }

    /// Takes so much of the lease of an account, if it has one with so much left for this period.
    pub(crate) fn take(&self, charge: &Charge) -> Option<HoldId> {
        let mut all = self.lock();
        let leases = &mut all.get_mut(&charge.account)?.leases;
        let lease = leases.iter_mut().find(|lease| lease.is_in(&charge.window))?;
        if lease.free() < charge.take {
            return None;
        }
        lease.pending = lease.pending.saturating_add(charge.take);
        Some(lease.hold)
    }

    /// A call that has taken so much has used `actual` of it.
    pub(crate) fn finish(&self, charge: &Charge, hold: HoldId, actual: u64) -> Option<Draw> {
        let mut all = self.lock();
        let Entry { leases, old, .. } = all.get_mut(&charge.account)?;
        let lease = leases.iter_mut().chain(old).find(|lease| lease.hold == hold)?;
        lease.finish(charge.take, actual)
    }

    /// The lease of an account in a charge's period, to be given back because the account has no room otherwise.
    pub(crate) fn give_up(&self, charge: &Charge) -> Option<Lease> {
        let mut all = self.lock();
        let leases = &mut all.get_mut(&charge.account)?.leases;
        let is_idle = |lease: &Lease| lease.is_in(&charge.window) && lease.pending == 0 && lease.used == 0;
        leases.iter().position(is_idle).map(|place| leases.remove(place))
    }

    /// All that nobody spends from, to be given back.
    pub(crate) fn drain(&self) -> Vec<Lease> {
        let mut all = self.lock();
        let mut idle = Vec::new();
        for Entry { leases, old, .. } in all.values_mut() {
            idle.extend(leases.extract_if(.., |lease| lease.pending == 0));
            idle.extend(old.extract_if(.., |lease| lease.pending == 0));
        }
        all.retain(|_, entry| entry.all().next().is_some());
        idle
    }

    /// The holds to renew, and for how long.
    pub(crate) fn holds(&self) -> Vec<(HoldId, Duration)> {
        self.lock().values().flat_map(Entry::all).map(|lease| (lease.hold, lease.lives())).collect()
    }

    /// Of how many accounts there are some.
    pub(crate) fn len(&self) -> usize {
        self.lock().values().filter(|entry| !entry.leases.is_empty()).count()
    }

    /// The accounts that want leases, in the periods for which they do.
    pub(crate) fn wanted(&self, now_ms: u64) -> Vec<(AccountKey, Window)> {
        let mut known = HashMap::new();
        let mut wanted = Vec::new();
        for (key, Entry { account, .. }) in self.lock().iter() {
            let of_period =
                known.entry(account.limit.period).or_insert_with(|| windows(&account.calendar, now_ms));
            wanted.extend(of_period.iter().map(|window| (key.clone(), *window)));
        }
        wanted
    }

    /// What is to be done about one account in one period, where its balance is known: leases to give back, and one to take.
    pub(crate) fn review(
        &self,
        key: &AccountKey,
        window: &Window,
        balance: Balance,
        now_ms: u64,
    ) -> (Vec<Lease>, Option<Lease>) {
        let mut all = self.lock();
        let Some(entry) = all.get_mut(key) else { return (Vec::new(), None) };
        let is_wanted = entry.used_at.elapsed() < UNUSED;
        let own = entry.leases.iter().find(|lease| lease.is_in(window)).map_or(0, Lease::left);
        let share = if is_wanted { share(&entry.account, balance, own) } else { 0 };
        let is_over = |lease: &Lease| {
            if lease.is_in(window) {
                !lease.is_good(&entry.account, share, now_ms)
            } else {
                // Of a period that is over.
                window.start_ms <= now_ms && lease.charge.window.start_ms < window.start_ms
            }
        };
        entry.old.extend(entry.leases.extract_if(.., |lease| is_over(lease)));
        let idle: Vec<_> = entry.old.extract_if(.., |lease| lease.pending == 0).collect();
        let is_missing = !entry.leases.iter().any(|lease| lease.is_in(window));
        let new =
            (is_missing && share > 0).then(|| Lease::new(entry.account.clone(), *window, share, now_ms));
        if !is_wanted && entry.all().next().is_none() {
            all.remove(key);
        }
        (idle, new)
    }

    /// A lease was taken in the store. It comes back if nobody wants it any more: it is to be given back.
    pub(crate) fn taken(&self, lease: Lease) -> Option<Lease> {
        match self.lock().get_mut(&lease.charge.account) {
            Some(entry) => {
                entry.leases.push(lease);
                None
            }
            None => Some(lease),
        }
    }

    /// A lease could not be given back: it is kept alive until it is.
    pub(crate) fn put_back(&self, lease: Lease) {
        let mut all = self.lock();
        let entry = all.entry(lease.charge.account.clone()).or_insert_with(|| Entry::of(&lease.account));
        entry.old.push(lease);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountKey, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Whether it need not be replaced: unspent, and of about the right size.
    fn is_good(&self, account: &Account, share: u64, now_ms: u64) -> bool {
        let is_young = match account.limit.period {
            // It counts as long as its slice is in the window.
            Period::Rolling(length) => {
                u128::from(now_ms.saturating_sub(self.hold.made_ms())) * 2 < length.as_millis()
            }
            _ => true,
        };
        let amount = self.charge.take;
        is_young
            && self.used == 0
            && self.charge.limit == account.limit.amount
            && amount >= share / 2
            && amount <= share.saturating_add(share / 2)
    }
}

/// The share of what is free of a limit, what this process already holds of it included.
fn share(account: &Account, balance: Balance, own: u64) -> u64 {
    let WhenStoreFails::Lease { share } = account.limit.when_store_fails else { return 0 };
    let taken = balance.total().saturating_sub(own);
    let free = u128::from(account.limit.amount.saturating_sub(taken));
    u64::try_from(free * u128::from(share) / 1_000).unwrap_or(u64::MAX)
}

//! Reservations and settlements over accounts in memory.
//!
//! Locks are taken in one order everywhere: parts of the holds by their number, then accounts by theirs. An operation holds all
//! that it touches from the first look to the last change, so it is one step for everybody else.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::account::{Cell, Slices};
use super::shard::{Held, Hold, SHARDS, Shard, Taken};
use crate::row::UsageRow;
use crate::store::{
    AccountKey, Balance, Charge, Draw, ENDED_KEPT, ExpiredHold, HoldId, Reservation, Reserved, Settled,
    Settlement, Window,
};
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering, RwLock, lock};
use crate::usage::{RowsPage, RowsQuery, UsageQuery, UsageTotal};

/// How much is kept for reports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) rows: usize,
    pub(crate) days: u32,
}

impl Default for Kept {
    fn default() -> Self {
        Self { rows: 100_000, days: 62 }
    }
}

/// What is told of each change, in the step in which it is made: changes of one hold come in their order.
pub(crate) trait Log: Send + Sync + 'static {
    fn reserved(&self, ask: &Reservation<'_>);
    fn settled(&self, settlement: &Settlement<'_>);
    fn lost(&self, hold: HoldId);
}

/// Nobody is told.
#[derive(Debug, Default)]
pub(crate) struct NoLog;

impl Log for NoLog {
    fn reserved(&self, _: &Reservation<'_>) {}
    fn settled(&self, _: &Settlement<'_>) {}
    fn lost(&self, _: HoldId) {}
}

/// Accounts, holds and rows in memory.
#[derive(Debug)]
pub(crate) struct Engine<L> {
    pub(super) accounts: RwLock<HashMap<AccountKey, Arc<Cell>>>,
    pub(super) shards: Vec<Mutex<Shard>>,
    /// The number of the next row.
    pub(super) next_row: AtomicU64,
    kept: Kept,
    pub(crate) log: L,
}

type Guard<'a> = MutexGuard<'a, Slices>;

impl<L: Default + Log> Default for Engine<L> {
    fn default() -> Self {
        Self::new(L::default(), Kept::default())
    }
}

impl<L: Log> Engine<L> {
    pub(crate) fn new(log: L, kept: Kept) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect();
        Self { accounts: RwLock::new(HashMap::new()), shards, next_row: AtomicU64::new(1), kept, log }
    }

    pub(crate) fn reserve(&self, ask: &Reservation<'_>) -> Reserved {
        let mut shard = lock(&self.shards[shard_of(ask.hold)]);
        match shard.holds.get(&ask.hold) {
            Some(Held::Open(_)) => return Reserved::Granted(self.balances_of(ask.charges)),
            Some(_) => return Reserved::Ended,
            None => {}
        }
        let taken: Vec<Taken> = self.taken(ask.charges, ask.hold);
        let mut accounts = lock_all(&taken);
        for (index, (charge, account)) in ask.charges.iter().zip(&mut accounts).enumerate() {
            let balance = account.balance(&charge.window);
            if balance.total().saturating_add(charge.take) > charge.limit {
                let first = account.refuse(taken[index].slice);
                return Reserved::Denied { index, balance, first };
            }
        }
        let mut after = Vec::with_capacity(taken.len());
        for ((charge, account), taken) in ask.charges.iter().zip(&mut accounts).zip(&taken) {
            account.forget(ask.now_ms);
            let slice = account.at(taken.slice, charge.window.forgotten_at(ask.hold.made_ms()));
            slice.reserved = slice.reserved.saturating_add(charge.take);
            after.push(account.balance(&charge.window));
        }
        drop(accounts);
        self.log.reserved(ask);
        let lease_until = ask.now_ms.saturating_add(millis(ask.lease));
        shard.holds.insert(ask.hold, Held::Open(Hold { taken, lease_until, if_lost: ask.if_lost.clone() }));
        Reserved::Granted(after)
    }

    pub(crate) fn settle(&self, settlement: &Settlement<'_>) -> Settled {
        let draws = settlement.charges.iter().any(|charge| charge.from.is_some());
        let mut shards = self.lock_shards(settlement, draws);
        let place = shards.place(settlement.hold);
        let (taken, lost) = match shards.at(place).holds.remove(&settlement.hold) {
            Some(Held::Ended) => {
                shards.at(place).holds.insert(settlement.hold, Held::Ended);
                return Settled::Again;
            }
            Some(Held::Open(hold)) => (hold.taken, None),
            Some(Held::Lost(hold)) => (hold.taken, Some(hold.if_lost)),
            // Its reservation never came: nothing is to be given back.
            None => (self.booked_only(settlement), None),
        };
        let mut accounts = lock_all(&taken);
        for ((taken, account), actual) in taken.iter().zip(&mut accounts).zip(settlement.actual) {
            let (reserved, booked) = if lost.is_some() { (0, taken.if_lost) } else { (taken.take, 0) };
            // What is too old to be known any longer is asked for by nobody.
            let Some(slice) = account.known(taken.slice) else { continue };
            slice.reserved = slice.reserved.saturating_sub(reserved);
            slice.spent = slice.spent.saturating_sub(booked).saturating_add(*actual);
        }
        if draws {
            for (index, charge) in settlement.charges.iter().enumerate() {
                if let (Some(draw), Some(account)) = (&charge.from, accounts.get_mut(index)) {
                    shards.draw(draw, account);
                }
            }
        }
        let windows = settlement.charges.iter().map(|charge| &charge.window);
        let after = accounts.iter().zip(windows).map(|(account, window)| account.balance(window)).collect();
        drop(accounts);
        self.log.settled(settlement);
        let shard = shards.at(place);
        if let Some(row) = &lost {
            shard.rows.take_back(row);
        }
        settlement.rows.iter().for_each(|row| self.write(shard, row.clone()));
        shard.end(settlement.hold);
        if lost.is_some() { Settled::Late(after) } else { Settled::Now(after) }
    }

    pub(crate) fn renew(&self, holds: &[HoldId], lease: Duration, now_ms: u64) {
        for hold in holds {
            let mut shard = lock(&self.shards[shard_of(*hold)]);
            if let Some(Held::Open(open)) = shard.holds.get_mut(hold) {
                open.lease_until = now_ms.saturating_add(millis(lease));
            }
        }
    }

    pub(crate) fn expire(&self, now_ms: u64) -> Vec<ExpiredHold> {
        const MOST: usize = 1_000;
        let mut expired = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            let mut due = Vec::new();
            shard.holds.retain(|id, held| match held {
                Held::Open(hold) => {
                    if hold.lease_until <= now_ms {
                        due.push(*id);
                    }
                    true
                }
                Held::Lost(hold) => hold.lease_until.saturating_add(millis(ENDED_KEPT)) > now_ms,
                Held::Ended => true,
            });
            due.truncate(MOST - expired.len());
            expired.extend(due.into_iter().filter_map(|hold| self.lose(&mut shard, hold)));
        }
        expired
    }

    /// Books what is booked for a hold that is lost, if it is open.
    fn lose(&self, shard: &mut Shard, id: HoldId) -> Option<ExpiredHold> {
        let held = shard.holds.get_mut(&id)?;
        let Held::Open(hold) = std::mem::replace(held, Held::Ended) else { return None };
        let mut booked = Vec::with_capacity(hold.taken.len());
        for taken in &hold.taken {
            let mut account = taken.cell.lock();
            let balance = account.known(taken.slice).map_or_else(Balance::default, |slice| {
                slice.reserved = slice.reserved.saturating_sub(taken.take);
                slice.spent = slice.spent.saturating_add(taken.if_lost);
                Balance { spent: slice.spent, reserved: slice.reserved }
            });
            booked.push((taken.cell.key.clone(), taken.if_lost, balance));
        }
        self.log.lost(id);
        let row = hold.if_lost.clone();
        *held = Held::Lost(hold);
        self.write(shard, row.clone());
        Some(ExpiredHold { hold: id, row, booked })
    }

    /// As if the leases of all open holds had passed: after a crash nobody settles them.
    #[cfg(feature = "journal")]
    pub(crate) fn lose_all(&self) -> Vec<ExpiredHold> {
        let mut expired = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            let is_open = |(id, held): (&HoldId, &Held)| matches!(held, Held::Open(_)).then_some(*id);
            let open: Vec<_> = shard.holds.iter().filter_map(is_open).collect();
            expired.extend(open.into_iter().filter_map(|hold| self.lose(&mut shard, hold)));
        }
        expired
    }

    #[cfg(feature = "journal")]
    pub(crate) fn lose_one(&self, hold: HoldId) {
        self.lose(&mut lock(&self.shards[shard_of(hold)]), hold);
    }

    pub(crate) fn balances(&self, accounts: &[(AccountKey, Window)]) -> Vec<Balance> {
        let known = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        let balance = |(key, window): &(AccountKey, Window)| {
            known.get(key).map_or_else(Balance::default, |cell| cell.lock().balance(window))
        };
        accounts.iter().map(balance).collect()
    }

    pub(crate) fn usage(&self, query: &UsageQuery) -> Vec<UsageTotal> {
        let mut found = BTreeMap::new();
        for shard in self.lock_every_shard() {
            shard.rows.answer(query, &mut found);
        }
        found.retain(|_, sum| !sum.is_nothing());
        found.into_iter().map(|(group, sum)| group.total(sum)).collect()
    }

    pub(crate) fn rows(&self, query: &RowsQuery) -> RowsPage {
        let after = query.after.as_deref().and_then(|after| after.parse::<u64>().ok()).unwrap_or(0);
        let wanted = |(number, row): &&(u64, Arc<UsageRow>)| {
            *number > after
                && (query.from_ms..query.to_ms).contains(&row.at_ms)
                && query.subject.as_ref().is_none_or(|subject| row.subjects.contains(subject))
        };
        let mut found = Vec::new();
        for shard in self.lock_every_shard() {
            found.extend(shard.rows.kept().filter(wanted).cloned());
        }
        found.sort_by_key(|(number, _)| *number);
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        let next = found.last().filter(|_| more).map(|(number, _)| number.to_string());
        RowsPage { rows: found.into_iter().map(|(_, row)| row).collect(), next }
    }

    fn write(&self, shard: &mut Shard, row: Arc<UsageRow>) {
        let number = self.next_row.fetch_add(1, Ordering::Relaxed);
        shard.rows.write(number, row, (self.kept.rows / SHARDS).max(1), self.kept.days);
    }

    /// The accounts of these charges, in the slices that they are counted in; new ones are opened.
    pub(super) fn taken(&self, charges: &[Charge], hold: HoldId) -> Vec<Taken> {
        let made = hold.made_ms();
        let known = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        let of = |charge: &Charge| {
            let cell = known.get(&charge.account)?.clone();
            let slice = charge.window.slice_at(made);
            Some(Taken { cell, slice, take: charge.take, if_lost: charge.if_lost })
        };
        let taken: Option<Vec<_>> = charges.iter().map(of).collect();
        drop(known);
        taken.unwrap_or_else(|| {
            self.open(charges);
            self.taken(charges, hold)
        })
    }

    fn open(&self, charges: &[Charge]) {
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        for charge in charges {
            let number = accounts.len() as u64;
            accounts
                .entry(charge.account.clone())
                .or_insert_with(|| Arc::new(Cell::new(number, charge.account.clone())));
        }
    }

    /// What a settlement without a reservation books to: slices that are there from now on.
    fn booked_only(&self, settlement: &Settlement<'_>) -> Vec<Taken> {
        let made = settlement.hold.made_ms();
        let mut taken = self.taken(settlement.charges, settlement.hold);
        for (taken, charge) in taken.iter_mut().zip(settlement.charges) {
            taken.take = 0;
            taken.cell.lock().at(taken.slice, charge.window.forgotten_at(made));
        }
        taken
    }

    fn balances_of(&self, charges: &[Charge]) -> Vec<Balance> {
        let accounts: Vec<_> = charges.iter().map(|charge| (charge.account.clone(), charge.window)).collect();
        self.balances(&accounts)
    }

    pub(super) fn lock_every_shard(&self) -> Vec<MutexGuard<'_, Shard>> {
        self.shards.iter().map(lock).collect()
    }

    /// The parts that a settlement touches: its own, and those of the leases that it draws from.
    fn lock_shards(&self, settlement: &Settlement<'_>, draws: bool) -> Shards<'_> {
        let own = shard_of(settlement.hold);
        if !draws {
            return Shards::One(lock(&self.shards[own]));
        }
        let leases = settlement.charges.iter().filter_map(|charge| charge.from.as_ref());
        let mut numbers: Vec<_> = leases.map(|draw| shard_of(draw.lease)).chain([own]).collect();
        numbers.sort_unstable();
        numbers.dedup();
        Shards::Some(numbers.into_iter().map(|number| (number, lock(&self.shards[number]))).collect())
    }
}

/// Parts of the holds, locked.
enum Shards<'a> {
    One(MutexGuard<'a, Shard>),
    Some(Vec<(usize, MutexGuard<'a, Shard>)>),
}

impl Shards<'_> {
    /// Where among them the part of a hold is.
    fn place(&self, hold: HoldId) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Some(all) => {
                all.iter().position(|(number, _)| *number == shard_of(hold)).unwrap_or_default()
            }
        }
    }

    fn at(&mut self, place: usize) -> &mut Shard {
        match self {
            Self::One(shard) => shard,
            Self::Some(all) => &mut all[place].1,
        }
    }

    /// Lowers a lease, whose account is locked, to what is left of it.
    fn draw(&mut self, draw: &Draw, account: &mut Slices) {
        let place = self.place(draw.lease);
        let Some(Held::Open(lease)) = self.at(place).holds.get_mut(&draw.lease) else { return };
        let [taken] = lease.taken.as_mut_slice() else { return };
        let left = draw.left;
        // Draws may come in any order: the one that leaves the least counts.
        if left >= taken.take {
            return;
        }
        if let Some(slice) = account.known(taken.slice) {
            slice.reserved = slice.reserved.saturating_sub(taken.take - left);
        }
        (taken.take, taken.if_lost) = (left, left);
        lease.if_lost = draw.if_lost.clone();
    }
}

/// Locks the accounts in the order of their numbers; gives them in the order of the charges.
fn lock_all(taken: &[Taken]) -> Vec<Guard<'_>> {
    let mut order: Vec<usize> = (0..taken.len()).collect();
    order.sort_unstable_by_key(|index| taken[*index].cell.number);
    let mut locked: Vec<Option<Guard<'_>>> = taken.iter().map(|_| None).collect();
    for index in order {
        locked[index] = Some(taken[index].cell.lock());
    }
    locked.into_iter().flatten().collect()
}

pub(super) fn shard_of(hold: HoldId) -> usize {
    (hold.0 as usize) % SHARDS
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

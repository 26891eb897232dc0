//! Reservations and settlements over accounts in memory.
//!
//! Locks are taken in one order everywhere: parts of the holds by their number, then the accounts. An operation holds all that it
//! touches from the first look to the last change, so it is one step for everybody else.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64 as Count;
use std::time::Duration;

use super::account::Accounts;
use super::shard::{Held, Hold, SHARDS, Shard, Taken};
use crate::row::UsageRow;
use crate::store::{
    AccountKey, Balance, Charge, Draw, ENDED_KEPT, ExpiredHold, HoldId, Reservation, Reserved, Settled,
    Settlement, Window,
};
use crate::sync::{Mutex, MutexGuard, lock};
use crate::usage::{RowsPage, RowsQuery, UsageQuery, UsageTotal};

/// How much is kept for reports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) rows: usize,
    pub(crate) days: u32,
}

impl Default for Kept {
    fn default() -> Self {
        Self { rows: 10_000, days: 62 }
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
    pub(super) shards: Vec<Mutex<Shard>>,
    pub(super) accounts: Mutex<Accounts>,
    /// How many totals of subjects there are in all parts.
    pub(super) totals: Count,
    kept: Kept,
    pub(crate) log: L,
}

impl<L: Default + Log> Default for Engine<L> {
    fn default() -> Self {
        Self::new(L::default(), Kept::default())
    }
}

impl<L: Log> Engine<L> {
    pub(crate) fn new(log: L, kept: Kept) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect();
        let accounts = Mutex::new(Accounts::default());
        Self { shards, accounts, totals: Count::new(0), kept, log }
    }

    pub(crate) fn reserve(&self, ask: &Reservation<'_>) -> Reserved {
        let mut shard = lock(&self.shards[shard_of(ask.hold)]);
        let place = match shard.holds.entry(ask.hold) {
            Entry::Vacant(place) => place,
            Entry::Occupied(known) if matches!(known.get(), Held::Open(_)) => {
                let accounts = lock(&self.accounts);
                let balance = |charge: &Charge| accounts.balance(&charge.account, &charge.window);
                return Reserved::Granted(ask.charges.iter().map(balance).collect());
            }
            Entry::Occupied(_) => return Reserved::Ended,
        };
        let mut taken = Vec::with_capacity(ask.charges.len());
        let mut after = Vec::with_capacity(ask.charges.len());
        let made = ask.hold.made_ms();
        let mut accounts = lock(&self.accounts);
        for (index, charge) in ask.charges.iter().enumerate() {
            let (account, slice) = (accounts.place(&charge.account, made), charge.window.slice_at(made));
            let balance = accounts.at(account).balance(&charge.window);
            if balance.total().saturating_add(charge.take) > charge.limit {
                let first = accounts.at(account).refuse(slice);
                return Reserved::Denied { index, balance, first };
            }
            taken.push(Taken { account, slice, take: charge.take, if_lost: charge.if_lost });
            after.push(Balance { reserved: balance.reserved.saturating_add(charge.take), ..balance });
        }
        for (charge, taken) in ask.charges.iter().zip(&taken) {
            let account = accounts.at(taken.account);
            account.holds += 1;
            let slice = account.slice(taken.slice, charge.window.forgotten_at(made), ask.now_ms);
            slice.reserved = slice.reserved.saturating_add(charge.take);
        }
        drop(accounts);
        self.log.reserved(ask);
        let lease_until = ask.now_ms.saturating_add(millis(ask.lease));
        place.insert(Held::Open(Hold { taken, lease_until, if_lost: ask.if_lost.clone() }));
        Reserved::Granted(after)
    }

    pub(crate) fn settle(&self, settlement: &Settlement<'_>) -> Settled {
        let draws = settlement.charges.iter().any(|charge| charge.from.is_some());
        let mut shards = self.lock_shards(settlement, draws);
        let place = shards.place(settlement.hold);
        let held = match shards.at(place).holds.entry(settlement.hold) {
            Entry::Occupied(mut known) => Some(std::mem::replace(known.get_mut(), Held::Ended)),
            Entry::Vacant(unknown) => {
                unknown.insert(Held::Ended);
                None
            }
        };
        let mut accounts = lock(&self.accounts);
        let (hold, lost) = match held {
            Some(Held::Ended) => return Settled::Again,
            Some(Held::Open(hold)) => (hold.taken, None),
            Some(Held::Lost(hold)) => (hold.taken, Some(hold.if_lost)),
            // Its reservation never came: nothing is to be given back.
            None => (booked_only(&mut accounts, settlement), None),
        };
        for (taken, actual) in hold.iter().zip(settlement.actual) {
            let (reserved, booked) = if lost.is_some() { (0, taken.if_lost) } else { (taken.take, 0) };
            let account = accounts.at(taken.account);
            account.holds -= 1;
            // What is too old to be known any longer is asked for by nobody.
            let Some(slice) = account.known(taken.slice) else { continue };
            slice.reserved = slice.reserved.saturating_sub(reserved);
            slice.spent = slice.spent.saturating_sub(booked).saturating_add(*actual);
        }
        for draw in settlement.charges.iter().filter_map(|charge| charge.from.as_ref()) {
            shards.draw(draw, &mut accounts);
        }
        let balance = |(taken, charge): (&Taken, &Charge)| accounts.at(taken.account).balance(&charge.window);
        let after = hold.iter().zip(settlement.charges).map(balance).collect();
        let numbers = accounts.number_rows(settlement.rows.len());
        drop(accounts);
        self.log.settled(settlement);
        let shard = shards.at(place);
        if let Some(row) = &lost {
            shard.rows.take_back(row);
        }
        numbers.zip(settlement.rows).for_each(|(number, row)| self.write(shard, number, row.clone()));
        shard.has_ended(settlement.hold);
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
        let (mut expired, mut over) = (Vec::new(), Vec::new());
        let oldest = self.oldest_row();
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.rows.forget_before(oldest);
            let mut due = Vec::new();
            shard.holds.retain(|id, held| match held {
                Held::Open(hold) => {
                    if hold.lease_until <= now_ms {
                        due.push(*id);
                    }
                    true
                }
                Held::Lost(hold) => {
                    let is_kept = hold.lease_until.saturating_add(millis(ENDED_KEPT)) > now_ms;
                    if !is_kept {
                        over.append(&mut hold.taken);
                    }
                    is_kept
                }
                Held::Ended => true,
            });
            due.truncate(MOST - expired.len());
            expired.extend(due.into_iter().filter_map(|hold| self.lose(&mut shard, hold)));
        }
        let mut accounts = lock(&self.accounts);
        over.iter().for_each(|taken: &Taken| accounts.at(taken.account).holds -= 1);
        drop(accounts);
        expired
    }

    /// Books what is booked for a hold that is lost, if it is open.
    fn lose(&self, shard: &mut Shard, id: HoldId) -> Option<ExpiredHold> {
        let held = shard.holds.get_mut(&id)?;
        let Held::Open(hold) = std::mem::replace(held, Held::Ended) else { return None };
        let mut booked = Vec::with_capacity(hold.taken.len());
        let mut accounts = lock(&self.accounts);
        for taken in &hold.taken {
            let account = accounts.at(taken.account);
            let balance = account.known(taken.slice).map_or_else(Balance::default, |slice| {
                slice.reserved = slice.reserved.saturating_sub(taken.take);
                slice.spent = slice.spent.saturating_add(taken.if_lost);
                Balance { spent: slice.spent, reserved: slice.reserved }
            });
            booked.push((account.key.clone(), taken.if_lost, balance));
        }
        let number = accounts.number_rows(1).start;
        drop(accounts);
        self.log.lost(id);
        let row = hold.if_lost.clone();
        *held = Held::Lost(hold);
        self.write(shard, number, row.clone());
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

    pub(crate) fn balances(&self, asked: &[(AccountKey, Window)]) -> Vec<Balance> {
        let accounts = lock(&self.accounts);
        asked.iter().map(|(key, window)| accounts.balance(key, window)).collect()
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
        let oldest = self.oldest_row();
        let wanted = |(number, row): &&(u64, Arc<UsageRow>)| {
            *number > after
                && *number >= oldest
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

    fn write(&self, shard: &mut Shard, number: u64, row: Arc<UsageRow>) {
        shard.rows.write(number, row, self.kept, &self.totals);
    }

    /// The number of the oldest row that is kept. A part that nobody writes to has older ones for a while.
    fn oldest_row(&self) -> u64 {
        self.oldest_row_of(&lock(&self.accounts))
    }

    pub(super) fn oldest_row_of(&self, accounts: &Accounts) -> u64 {
        accounts.next_row.saturating_sub(self.kept.rows as u64)
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

    /// Lowers a lease to what is left of it.
    fn draw(&mut self, draw: &Draw, accounts: &mut Accounts) {
        let place = self.place(draw.lease);
        let Some(Held::Open(lease)) = self.at(place).holds.get_mut(&draw.lease) else { return };
        let [taken] = lease.taken.as_mut_slice() else { return };
        let left = draw.left;
        // Draws may come in any order: the one that leaves the least counts.
        if left >= taken.take {
            return;
        }
        if let Some(slice) = accounts.at(taken.account).known(taken.slice) {
            slice.reserved = slice.reserved.saturating_sub(taken.take - left);
        }
        (taken.take, taken.if_lost) = (left, left);
        lease.if_lost = draw.if_lost.clone();
    }
}

/// What a settlement without a reservation books to: slices that are there from now on.
fn booked_only(accounts: &mut Accounts, settlement: &Settlement<'_>) -> Vec<Taken> {
    let made = settlement.hold.made_ms();
    let open = |charge: &Charge| {
        let (place, slice) = (accounts.place(&charge.account, made), charge.window.slice_at(made));
        let account = accounts.at(place);
        account.holds += 1;
        account.slice(slice, charge.window.forgotten_at(made), settlement.now_ms);
        Taken { account: place, slice, take: 0, if_lost: 0 }
    };
    settlement.charges.iter().map(open).collect()
}

pub(super) fn shard_of(hold: HoldId) -> usize {
    hold.thread() % SHARDS
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

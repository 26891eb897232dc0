//! Reservations and settlements over accounts in memory.
//!
//! Locks are taken in one order everywhere: parts of the holds by their number, then that of the table of accounts, which is let
//! go of before the next, then accounts by their number. An operation holds all that it touches from the first look to the last
//! change, so it is one step for everybody else. Who changes an account holds a part as well: who has all parts locked sees all
//! accounts at rest.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64 as Count;
use std::time::Duration;

use super::accounts::Accounts;
use super::booking::{Drawn, Found};
use super::known::Known;
use super::locked::Locked;
use super::rows::Numbers;
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
    pub(super) numbers: Numbers,
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
        Self { shards, accounts, numbers: Numbers::default(), totals: Count::new(0), kept, log }
    }

    pub(crate) fn reserve(&self, ask: &Reservation<'_>) -> Reserved {
        let mut shard = lock(&self.shards[shard_of(ask.hold)]);
        let Shard { holds, known, .. } = &mut *shard;
        let place = match holds.entry(ask.hold) {
            Entry::Vacant(place) => place,
            Entry::Occupied(held) if matches!(held.get(), Held::Open(_)) => {
                let asked = ask.charges.iter().map(|charge| (&charge.account, &charge.window));
                return Reserved::Granted(self.balances_of(asked));
            }
            Entry::Occupied(_) => return Reserved::Ended,
        };
        let taken = self.places(known, ask.charges, ask.hold.made_ms());
        let reserved = known.take(ask, &taken);
        if matches!(reserved, Reserved::Granted(_)) {
            known.hold(&taken);
            self.log.reserved(ask);
            let lease_until = ask.now_ms.saturating_add(millis(ask.lease));
            place.insert(Held::Open(Hold { taken, lease_until, if_lost: ask.if_lost.clone() }));
        }
        reserved
    }

    pub(crate) fn settle(&self, settlement: &Settlement<'_>) -> Settled {
        let draws = settlement.charges.iter().filter_map(|charge| charge.from.as_ref());
        let mut shards = self.lock_shards(settlement, draws.clone().next().is_some());
        let place = shards.place(settlement.hold);
        let held = match shards.at(place).holds.entry(settlement.hold) {
            Entry::Occupied(mut known) => Some(std::mem::replace(known.get_mut(), Held::Ended)),
            Entry::Vacant(unknown) => {
                unknown.insert(Held::Ended);
                None
            }
        };
        if matches!(held, Some(Held::Ended)) {
            return Settled::Again;
        }
        let drawn: Vec<_> = draws.filter_map(|draw| shards.draw(draw)).collect();
        let shard = shards.at(place);
        let (taken, found, lost) = match held {
            Some(Held::Open(hold)) => (hold.taken, Found::Open, None),
            Some(Held::Lost(hold)) => (hold.taken, Found::Lost, Some(hold.if_lost)),
            _ => {
                let made = settlement.hold.made_ms();
                (self.places(&mut shard.known, settlement.charges, made), Found::Nothing, None)
            }
        };
        let after = shard.known.book(settlement, found, &taken, &drawn);
        if found != Found::Nothing {
            shard.known.release(&taken);
        }
        self.log.settled(settlement);
        if let Some(row) = &lost {
            shard.rows.take_back(row);
        }
        let numbers = self.numbers.next(settlement.rows.len());
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
        let mut expired = Vec::new();
        let oldest = self.oldest_row();
        for shard in &self.shards {
            let mut shard = lock(shard);
            let Shard { holds, known, rows, .. } = &mut *shard;
            rows.forget_before(oldest);
            let mut due = Vec::new();
            holds.retain(|id, held| match held {
                Held::Open(hold) => {
                    if hold.lease_until <= now_ms {
                        due.push(*id);
                    }
                    true
                }
                Held::Lost(hold) => {
                    let is_kept = hold.lease_until.saturating_add(millis(ENDED_KEPT)) > now_ms;
                    if !is_kept {
                        known.release(&hold.taken);
                    }
                    is_kept
                }
                Held::Ended => true,
            });
            // A part that nobody asks any longer has accounts at hand that nobody else needs.
            known.forget();
            due.truncate(MOST - expired.len());
            expired.extend(due.into_iter().filter_map(|hold| self.lose(&mut shard, hold)));
        }
        expired
    }

    /// Books what is booked for a hold that is lost, if it is open.
    fn lose(&self, shard: &mut Shard, id: HoldId) -> Option<ExpiredHold> {
        let held = shard.holds.get_mut(&id)?;
        let Held::Open(mut hold) = std::mem::replace(held, Held::Ended) else { return None };
        if hold.lease_until == u64::MAX {
            // As a journal is read: its lease is not known, and it would be remembered for ever.
            hold.lease_until = id.made_ms().saturating_add(millis(ENDED_KEPT));
        }
        let booked = shard.known.book_lost(&hold);
        self.log.lost(id);
        let row = hold.if_lost.clone();
        *held = Held::Lost(hold);
        let number = self.numbers.next(1).start;
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
        self.balances_of(asked.iter().map(|(key, window)| (key, window)))
    }

    /// What stands on accounts at one moment.
    fn balances_of<'a>(&self, asked: impl Iterator<Item = (&'a AccountKey, &'a Window)>) -> Vec<Balance> {
        let (mut found, table) = (Vec::new(), lock(&self.accounts));
        let find = |(key, window): (&AccountKey, &'a Window)| {
            let place = table.find(key).map(|account| {
                found.push(account);
                found.len() - 1
            });
            (place, window)
        };
        let asked: Vec<_> = asked.map(find).collect();
        drop(table);
        let mut accounts = Locked::new(&found.iter().map(|account| &**account).collect::<Vec<_>>());
        let balance = |(place, window): (Option<usize>, &Window)| {
            place.map_or_else(Balance::default, |place| accounts.at(place).balance(window))
        };
        asked.into_iter().map(balance).collect()
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
        let shards = self.lock_every_shard();
        let oldest = self.oldest_row();
        let wanted = |(number, row): &&(u64, Arc<UsageRow>)| {
            *number > after
                && *number >= oldest
                && (query.from_ms..query.to_ms).contains(&row.at_ms)
                && query.subject.as_ref().is_none_or(|subject| row.subjects.contains(subject))
        };
        let mut found = Vec::new();
        for shard in &shards {
            found.extend(shard.rows.kept().filter(wanted).cloned());
        }
        drop(shards);
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
    pub(super) fn oldest_row(&self) -> u64 {
        self.numbers.peek().saturating_sub(self.kept.rows as u64)
    }

    /// Where a part has the accounts of these charges at hand from now on, in the order in which they are locked.
    fn places(&self, known: &mut Known, charges: &[Charge], made: u64) -> Vec<Taken> {
        known.make_room();
        let place = |(index, charge): (usize, &Charge)| Taken {
            charge: index,
            account: known.place(&charge.account, &self.accounts, made),
            slice: charge.window.slice_at(made),
            take: charge.take,
            if_lost: charge.if_lost,
        };
        let mut taken: Vec<_> = charges.iter().enumerate().map(place).collect();
        known.sort(&mut taken);
        taken
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

    /// Lowers a lease to what is left of it. Says what is to be given back to its account.
    fn draw(&mut self, draw: &Draw) -> Option<Drawn> {
        let place = self.place(draw.lease);
        let shard = self.at(place);
        let Some(Held::Open(lease)) = shard.holds.get_mut(&draw.lease) else { return None };
        let [taken] = lease.taken.as_mut_slice() else { return None };
        let left = draw.left;
        // Draws may come in any order: the one that leaves the least counts.
        if left >= taken.take {
            return None;
        }
        let account = shard.known.at(taken.account).clone();
        let drawn = Drawn { account, slice: taken.slice, amount: taken.take - left };
        (taken.take, taken.if_lost) = (left, left);
        lease.if_lost = draw.if_lost.clone();
        Some(drawn)
    }
}

pub(super) fn shard_of(hold: HoldId) -> usize {
    hold.thread() % SHARDS
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

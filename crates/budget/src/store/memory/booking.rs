//! What is done to the accounts of a call, as one step.

use std::sync::Arc;

use super::account::Account;
use super::known::Known;
use super::locked::Locked;
use super::shard::{Hold, Taken};
use crate::store::{AccountKey, Balance, Reservation, Reserved, Settlement};

/// What a settlement finds of its hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Open,
    /// What is booked if it is lost was booked.
    Lost,
    /// Its reservation never came: nothing is to be given back.
    Nothing,
}

/// What is given back of a lease.
pub(super) struct Drawn {
    pub(super) account: Arc<Account>,
    pub(super) slice: u64,
    pub(super) amount: u64,
}

impl Known {
    /// Takes from all accounts of a reservation, or says which has no room.
    pub(super) fn take(&self, ask: &Reservation<'_>, taken: &[Taken]) -> Reserved {
        // Made before anything is locked: who holds an account keeps others waiting.
        let mut after = vec![Balance::default(); taken.len()];
        let mut accounts = Locked::in_order(self.of(taken));
        // The first charge that lacks room, and where its account is.
        let mut full: Option<(usize, usize)> = None;
        for (place, taken) in taken.iter().enumerate() {
            let charge = &ask.charges[taken.charge];
            let balance = accounts.at(place).balance(&charge.window);
            if balance.total().saturating_add(charge.take) > charge.limit
                && full.is_none_or(|(first, _)| taken.charge < first)
            {
                full = Some((taken.charge, place));
            }
            after[taken.charge] = balance;
        }
        if let Some((index, place)) = full {
            let first = accounts.at(place).refuse(taken[place].slice);
            return Reserved::Denied { index, balance: after[index], first };
        }
        let made = ask.hold.made_ms();
        for (place, taken) in taken.iter().enumerate() {
            let until = ask.charges[taken.charge].window.forgotten_at(made);
            let slice = accounts.at(place).slice(taken.slice, until, ask.now_ms);
            slice.reserved = slice.reserved.saturating_add(taken.take);
            let after = &mut after[taken.charge];
            after.reserved = after.reserved.saturating_add(taken.take);
        }
        Reserved::Granted(after)
    }

    /// Books what was used in the place of what was taken. Says what stands on the accounts then.
    pub(super) fn book(
        &self,
        settlement: &Settlement<'_>,
        found: Found,
        taken: &[Taken],
        drawn: &[Drawn],
    ) -> Vec<Balance> {
        let mut after = vec![Balance::default(); taken.len().min(settlement.charges.len())];
        let mut accounts = if drawn.is_empty() {
            Locked::in_order(self.of(taken))
        } else {
            let of_leases = drawn.iter().map(|drawn| &*drawn.account);
            Locked::new(&self.of(taken).chain(of_leases).collect::<Vec<_>>())
        };
        for (index, drawn) in drawn.iter().enumerate() {
            if let Some(slice) = accounts.at(taken.len() + index).known(drawn.slice) {
                slice.reserved = slice.reserved.saturating_sub(drawn.amount);
            }
        }
        let made = settlement.hold.made_ms();
        for (place, taken) in taken.iter().enumerate() {
            let account = accounts.at(place);
            let charge = settlement.charges.get(taken.charge);
            let (reserved, booked) = match found {
                Found::Open => (taken.take, 0),
                Found::Lost => (0, taken.if_lost),
                Found::Nothing => {
                    let until = charge.and_then(|charge| charge.window.forgotten_at(made));
                    account.slice(taken.slice, until, settlement.now_ms);
                    (0, 0)
                }
            };
            let Some(actual) = settlement.actual.get(taken.charge) else { continue };
            // What is too old to be known any longer is asked for by nobody.
            if let Some(slice) = account.known(taken.slice) {
                slice.reserved = slice.reserved.saturating_sub(reserved);
                slice.spent = slice.spent.saturating_sub(booked).saturating_add(*actual);
            }
            if let Some(charge) = charge {
                after[taken.charge] = account.balance(&charge.window);
            }
        }
        after
    }

    /// Books what is booked for a hold that is lost: on each account, in the order of its charges, with what stands there then.
    pub(super) fn book_lost(&self, hold: &Hold) -> Vec<(AccountKey, u64, Balance)> {
        let taken = hold.in_order();
        let mut accounts = Locked::new(&self.of(&taken).collect::<Vec<_>>());
        let book = |(index, (taken, account)): (usize, (&Taken, &Account))| {
            let balance = accounts.at(index).known(taken.slice).map_or_else(Balance::default, |slice| {
                slice.reserved = slice.reserved.saturating_sub(taken.take);
                slice.spent = slice.spent.saturating_add(taken.if_lost);
                Balance { spent: slice.spent, reserved: slice.reserved }
            });
            (account.key().clone(), taken.if_lost, balance)
        };
        taken.iter().zip(self.of(&taken)).enumerate().map(book).collect()
    }

    fn of(&self, taken: &[Taken]) -> impl Iterator<Item = &Account> {
        taken.iter().map(|taken| &**self.at(taken.account))
    }
}

//! The accounts that a part of the holds has at hand.

use std::collections::HashMap;
use std::sync::Arc;

use super::account::Account;
use super::accounts::Accounts;
use super::shard::Taken;
use crate::hash::Seeded;
use crate::store::AccountKey;
use crate::sync::{Mutex, lock};

/// So many are at hand before those that are not used are looked for. loom has few.
const FEW: usize = if cfg!(loom) { 1 } else { 1_024 };
/// With so many, those that no hold is on are not kept although they are used.
const MANY: usize = 4_096;

/// Accounts, each at a place, so that neither looking one up nor holding it touches what other threads use.
#[derive(Debug, Default)]
pub(super) struct Known {
    places: HashMap<AccountKey, usize, Seeded>,
    all: Vec<Place>,
    free: Vec<usize>,
    /// When there are so many, the unused ones are looked for.
    look_at: usize,
}

#[derive(Debug)]
struct Place {
    /// None if it is free.
    account: Option<Arc<Account>>,
    /// How many holds have it.
    holds: usize,
    /// Whether it was asked for again since the unused ones were last looked for.
    is_used: bool,
}

impl Known {
    /// Before places are asked for: those that were given out and are not held yet are not let go of meanwhile.
    pub(super) fn make_room(&mut self) {
        if self.places.len() >= self.look_at.max(FEW) {
            self.forget();
        }
    }

    /// The place of an account, which is opened if need be.
    pub(super) fn place(&mut self, key: &AccountKey, accounts: &Mutex<Accounts>, now_ms: u64) -> usize {
        if let Some(place) = self.places.get(key) {
            self.all[*place].is_used = true;
            return *place;
        }
        let account = Some(lock(accounts).open(key, now_ms));
        let new = Place { account, holds: 0, is_used: false };
        let place = match self.free.pop() {
            Some(place) => {
                self.all[place] = new;
                place
            }
            None => {
                self.all.push(new);
                self.all.len() - 1
            }
        };
        self.places.insert(key.clone(), place);
        place
    }

    pub(super) fn at(&self, place: usize) -> &Arc<Account> {
        self.all[place]
            .account
            .as_ref()
            .expect("a place is asked for while it is held, or was just given out")
    }

    /// Puts them into the order in which their accounts are locked.
    pub(super) fn sort(&self, taken: &mut [Taken]) {
        let number = |taken: &Taken| self.at(taken.account).number();
        // As they mostly are: accounts are numbered as they are first asked for.
        if !taken.is_sorted_by_key(number) {
            taken.sort_unstable_by_key(number);
        }
    }

    /// A hold has these accounts from now on.
    pub(super) fn hold(&mut self, taken: &[Taken]) {
        taken.iter().for_each(|taken| self.all[taken.account].holds += 1);
    }

    /// A hold has them no longer.
    pub(super) fn release(&mut self, taken: &[Taken]) {
        taken.iter().for_each(|taken| self.all[taken.account].holds -= 1);
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Lets go of those that no hold is on and that were not asked for since the last time.
    pub(super) fn forget(&mut self) {
        let are_many = self.places.len() >= MANY;
        let (all, free) = (&mut self.all, &mut self.free);
        self.places.retain(|_, place| {
            let known = &mut all[*place];
            let is_used = std::mem::take(&mut known.is_used) && !are_many;
            let is_kept = is_used || known.holds > 0;
            if !is_kept {
                known.account = None;
                free.push(*place);
            }
            is_kept
        });
        self.look_at = self.places.len() * 2;
    }
}

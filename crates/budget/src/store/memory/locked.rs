//! The accounts of a call, all locked at once.

use super::account::{Account, Slices};
use crate::sync::MutexGuard;

/// A call has so many accounts or fewer as a rule: then nothing is allocated here.
const FEW: usize = 4;

/// Accounts that are locked from the first look to the last change, so that a step over all of them is one for everybody else.
///
/// They are locked in the order of their numbers, so no two calls wait for each other. One that is named twice is locked once.
#[derive(Default)]
pub(super) struct Locked<'a> {
    /// None where it is the same account as before.
    few: [Option<MutexGuard<'a, Slices>>; FEW],
    more: Vec<Option<MutexGuard<'a, Slices>>>,
    /// Where each account is among them, if they were not asked for in the order of their numbers.
    places: Vec<usize>,
}

impl<'a> Locked<'a> {
    /// Accounts in the order of their numbers.
    pub(super) fn in_order(accounts: impl Iterator<Item = &'a Account>) -> Self {
        let mut locked = Self::default();
        let mut last = 0;
        for (index, account) in accounts.enumerate() {
            debug_assert!(last <= account.number(), "{} is asked for after {last}", account.number());
            let guard = (account.number() != last).then(|| account.lock());
            last = account.number();
            match locked.few.get_mut(index) {
                Some(place) => *place = guard,
                None => locked.more.push(guard),
            }
        }
        locked
    }

    /// Accounts in any order.
    pub(super) fn new(accounts: &[&'a Account]) -> Self {
        let mut order: Vec<_> = (0..accounts.len()).collect();
        order.sort_by_key(|index| accounts[*index].number());
        let mut places = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, index)| places[*index] = place);
        Self { places, ..Self::in_order(order.iter().map(|index| accounts[*index])) }
    }

    /// The account that was asked for as this, from 0.
    pub(super) fn at(&mut self, index: usize) -> &mut Slices {
        let mut place = if self.places.is_empty() { index } else { self.places[index] };
        while self.guard(place).is_none() {
            place -= 1;
        }
        self.guard(place).as_mut().expect("the loop ended at one that is there")
    }

    fn guard(&mut self, place: usize) -> &mut Option<MutexGuard<'a, Slices>> {
        match place.checked_sub(FEW) {
            None => &mut self.few[place],
            Some(place) => &mut self.more[place],
        }
    }
}

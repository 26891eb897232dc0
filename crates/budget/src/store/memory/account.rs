//! One account: its slices of time.

use crate::store::{AccountKey, Balance, Window};
use crate::sync::{Mutex, MutexGuard, lock};

/// An account.
#[derive(Debug)]
pub(super) struct Cell {
    /// The order in which accounts are locked.
    pub(super) number: u64,
    pub(super) key: AccountKey,
    slices: Mutex<Slices>,
}

impl Cell {
    pub(super) fn new(number: u64, key: AccountKey) -> Self {
        Self { number, key, slices: Mutex::new(Slices::default()) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Slices> {
        lock(&self.slices)
    }
}

/// What stands on an account, by slice, oldest first. A calendar period is one slice.
#[derive(Debug, Default)]
pub(super) struct Slices {
    all: Vec<Slice>,
    /// The slice of the last refusal that was told to be the first.
    refused: Option<u64>,
}

/// What was booked and reserved in a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Its beginning.
    pub(crate) start: u64,
    /// When nobody asks for it any longer.
    pub(crate) until: Option<u64>,
    pub(crate) spent: u64,
    pub(crate) reserved: u64,
}

impl Slices {
    /// What stands in a window.
    pub(super) fn balance(&self, window: &Window) -> Balance {
        let mut sum = Balance::default();
        for slice in self.all.iter().rev().filter(|slice| window.has_slice(slice.start)) {
            sum.spent = sum.spent.saturating_add(slice.spent);
            sum.reserved = sum.reserved.saturating_add(slice.reserved);
        }
        sum
    }

    /// The slice that begins there, new if need be.
    pub(super) fn at(&mut self, start: u64, until: Option<u64>) -> &mut Slice {
        let place = match self.all.iter().rposition(|slice| slice.start <= start) {
            Some(place) if self.all[place].start == start => return &mut self.all[place],
            Some(place) => place + 1,
            None => 0,
        };
        self.all.insert(place, Slice { start, until, spent: 0, reserved: 0 });
        &mut self.all[place]
    }

    /// The slice that begins there, if it is still known.
    pub(super) fn known(&mut self, start: u64) -> Option<&mut Slice> {
        self.all.iter_mut().rev().find(|slice| slice.start == start)
    }

    /// Forgets what nobody asks for any longer: a while later than that, since a clock may be behind.
    pub(super) fn forget(&mut self, now_ms: u64) {
        let is_over = |slice: &Slice| {
            slice.until.is_some_and(|until| until.saturating_add(until.saturating_sub(slice.start)) < now_ms)
        };
        if self.all.first().is_some_and(is_over) {
            self.all.retain(|slice| !is_over(slice));
        }
    }

    /// Whether a refusal in this slice is the first.
    pub(super) fn refuse(&mut self, start: u64) -> bool {
        self.refused.replace(start) != Some(start)
    }

    #[cfg(feature = "journal")]
    pub(super) fn all(&self) -> &[Slice] {
        &self.all
    }

    #[cfg(feature = "journal")]
    pub(super) fn restore(&mut self, all: Vec<Slice>) {
        self.all = all;
    }
}

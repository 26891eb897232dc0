//! An account, with its slices of time.

use std::sync::PoisonError;

use crate::store::{AccountKey, Balance, Window};
use crate::sync::{Mutex, MutexGuard, lock_soon};

/// An account. What every call changes is in one line of the processor's cache, its lock included: it wanders from thread to
/// thread.
#[derive(Debug)]
#[repr(C, align(128))]
pub(super) struct Account {
    slices: Mutex<Slices>,
    /// Locks are taken in the order of these numbers.
    number: u64,
    key: AccountKey,
}

impl Account {
    pub(super) fn new(key: AccountKey, number: u64) -> Self {
        Self { slices: Mutex::new(Slices::default()), number, key }
    }

    pub(super) fn key(&self) -> &AccountKey {
        &self.key
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Slices> {
        lock_soon(&self.slices)
    }

    /// For the only one who has it: whether anything stands there that anybody may ask for.
    pub(super) fn is_used(&mut self, now_ms: u64) -> bool {
        let slices = self.slices.get_mut().unwrap_or_else(PoisonError::into_inner);
        slices.forget(now_ms);
        !slices.is_empty()
    }
}

/// What stands on an account, by slice. A calendar period is one slice.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Slices {
    /// None only if there is no slice at all.
    newest: Option<Slice>,
    /// The slice of the last refusal that was told to be the first.
    refused: Option<u64>,
    /// Those before the newest, oldest first.
    older: Vec<Slice>,
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
    /// Oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Slice> {
        self.older.iter().chain(&self.newest)
    }

    /// What stands in a window.
    pub(super) fn balance(&self, window: &Window) -> Balance {
        let mut sum = Balance::default();
        for slice in self.all().filter(|slice| window.has_slice(slice.start)) {
            sum.spent = sum.spent.saturating_add(slice.spent);
            sum.reserved = sum.reserved.saturating_add(slice.reserved);
        }
        sum
    }

    /// The slice that begins there, new if need be; those that nobody asks for any longer are forgotten.
    #[inline]
    pub(super) fn slice(&mut self, start: u64, until: Option<u64>, now_ms: u64) -> &mut Slice {
        if !self.older.is_empty() || self.newest.as_ref().is_none_or(|newest| newest.start != start) {
            self.forget(now_ms);
        }
        self.at(start, until)
    }

    /// The slice that begins there, if it is still known.
    pub(super) fn known(&mut self, start: u64) -> Option<&mut Slice> {
        let Self { newest, older, .. } = self;
        newest.iter_mut().chain(older.iter_mut().rev()).find(|slice| slice.start == start)
    }

    /// Whether a refusal in this slice is the first.
    pub(super) fn refuse(&mut self, start: u64) -> bool {
        self.refused.replace(start) != Some(start)
    }

    /// Whether nothing stands there.
    pub(super) fn is_empty(&self) -> bool {
        self.newest.is_none()
    }

    #[cfg(feature = "journal")]
    pub(super) fn restore(&mut self, mut slices: Vec<Slice>) {
        self.newest = slices.pop();
        self.older = slices;
    }

    fn at(&mut self, start: u64, until: Option<u64>) -> &mut Slice {
        let new = Slice { start, until, spent: 0, reserved: 0 };
        if self.newest.as_ref().is_none_or(|newest| newest.start < start) {
            self.older.extend(self.newest.take());
        }
        let newest = self.newest.get_or_insert(new);
        if newest.start == start {
            return newest;
        }
        let place = match self.older.iter().rposition(|slice| slice.start <= start) {
            Some(place) if self.older[place].start == start => return &mut self.older[place],
            Some(place) => place + 1,
            None => 0,
        };
        self.older.insert(place, new);
        &mut self.older[place]
    }

    /// Forgets what nobody asks for any longer: a while later than that, since a clock may be behind.
    pub(super) fn forget(&mut self, now_ms: u64) {
        let is_over = |slice: &Slice| {
            slice.until.is_some_and(|until| until.saturating_add(until.saturating_sub(slice.start)) < now_ms)
        };
        // The oldest are first.
        if self.older.first().is_some_and(is_over) {
            self.older.retain(|slice| !is_over(slice));
        }
        if self.older.is_empty() {
            self.newest.take_if(|newest| is_over(newest));
        }
    }
}

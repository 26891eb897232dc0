//! Accounts, each with its slices of time.

use std::collections::HashMap;
use std::ops::Range;

use crate::hash::Seeded;
use crate::store::{AccountKey, Balance, Window};

/// The accounts that were ever used, but for those that nobody asks for any longer. One lock is around all: what is done
/// under it is short. Who waits for the lock looks at it all the time: nothing else is in its line of the processor's cache.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Accounts {
    /// The number of the next row: here, as every step that writes one has this lock anyway.
    pub(super) next_row: u64,
    places: HashMap<AccountKey, usize, Seeded>,
    all: Vec<Account>,
    free: Vec<usize>,
    /// When there are so many, the unused ones are looked for.
    look_at: usize,
}

/// An account. What every call changes is in one line of the processor's cache, which wanders from thread to thread.
#[derive(Debug)]
#[repr(C, align(128))]
pub(super) struct Account {
    /// How many holds know its place.
    pub(super) holds: usize,
    slices: Slices,
    pub(super) key: AccountKey,
}

impl Default for Accounts {
    fn default() -> Self {
        Self { next_row: 1, places: HashMap::default(), all: Vec::new(), free: Vec::new(), look_at: 0 }
    }
}

impl Accounts {
    /// The place of an account, which is opened if need be.
    pub(super) fn place(&mut self, key: &AccountKey, now_ms: u64) -> usize {
        if let Some(place) = self.places.get(key) {
            return *place;
        }
        self.forget(now_ms);
        let account = Account { key: key.clone(), slices: Slices::default(), holds: 0 };
        let place = match self.free.pop() {
            Some(place) => {
                self.all[place] = account;
                place
            }
            None => {
                self.all.push(account);
                self.all.len() - 1
            }
        };
        self.places.insert(key.clone(), place);
        place
    }

    /// The numbers of so many rows more.
    pub(super) fn number_rows(&mut self, count: usize) -> Range<u64> {
        let first = self.next_row;
        self.next_row += count as u64;
        first..self.next_row
    }

    pub(super) fn at(&mut self, place: usize) -> &mut Account {
        &mut self.all[place]
    }

    pub(super) fn balance(&self, key: &AccountKey, window: &Window) -> Balance {
        self.places.get(key).map_or_else(Balance::default, |place| self.all[*place].balance(window))
    }

    /// Lets go of accounts on which nothing stands any more: a caller may invent subjects without end.
    fn forget(&mut self, now_ms: u64) {
        const FEW: usize = 10_000;
        if self.places.len() < self.look_at.max(FEW) {
            return;
        }
        let (all, free) = (&mut self.all, &mut self.free);
        self.places.retain(|_, place| {
            let account = &mut all[*place];
            account.slices.forget(now_ms);
            let is_used = account.holds > 0 || account.slices.newest.is_some();
            if !is_used {
                free.push(*place);
            }
            is_used
        });
        self.look_at = self.places.len() * 2;
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// What a snapshot has of each.
    #[cfg(feature = "journal")]
    pub(super) fn slices(&self) -> impl Iterator<Item = (AccountKey, Vec<Slice>)> + '_ {
        let slices = |place: usize| self.all[place].slices.all().copied().collect();
        self.places.iter().map(move |(key, place)| (key.clone(), slices(*place)))
    }

    #[cfg(feature = "journal")]
    pub(super) fn restore(&mut self, key: &AccountKey, mut slices: Vec<Slice>) {
        let place = self.place(key, 0);
        let known = &mut self.all[place].slices;
        known.newest = slices.pop();
        known.older = slices;
    }
}

impl Account {
    /// What stands in a window.
    pub(super) fn balance(&self, window: &Window) -> Balance {
        self.slices.balance(window)
    }

    /// The slice that begins there, new if need be; those that nobody asks for any longer are forgotten.
    pub(super) fn slice(&mut self, start: u64, until: Option<u64>, now_ms: u64) -> &mut Slice {
        self.slices.forget(now_ms);
        self.slices.at(start, until)
    }

    /// The slice that begins there, if it is still known.
    pub(super) fn known(&mut self, start: u64) -> Option<&mut Slice> {
        let Slices { newest, older, .. } = &mut self.slices;
        newest.iter_mut().chain(older.iter_mut().rev()).find(|slice| slice.start == start)
    }

    /// Whether a refusal in this slice is the first.
    pub(super) fn refuse(&mut self, start: u64) -> bool {
        self.slices.refused.replace(start) != Some(start)
    }
}

/// What stands on an account, by slice. A calendar period is one slice.
#[derive(Debug, Default)]
#[repr(C)]
struct Slices {
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
    fn all(&self) -> impl Iterator<Item = &Slice> {
        self.older.iter().chain(&self.newest)
    }

    fn balance(&self, window: &Window) -> Balance {
        let mut sum = Balance::default();
        for slice in self.all().filter(|slice| window.has_slice(slice.start)) {
            sum.spent = sum.spent.saturating_add(slice.spent);
            sum.reserved = sum.reserved.saturating_add(slice.reserved);
        }
        sum
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
    fn forget(&mut self, now_ms: u64) {
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

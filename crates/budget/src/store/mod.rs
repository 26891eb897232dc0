//! Where accounts are kept: what a store is asked, and what it answers.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mainstay_provider_core::{BoxError, Events};

use crate::hash::Seeded;
use crate::row::UsageRow;
use crate::threads;
use crate::usage::{RowsPage, RowsQuery, UsageQuery, UsageTotal};

#[cfg(feature = "journal")]
pub(crate) mod journal;
pub(crate) mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;

/// The largest limit, and the largest amount that a store is ever asked to take or book: 2^53 − 1, some 9 million dollars
/// in nano-dollars. Larger limits are refused, larger actual amounts are booked as this: every whole number up to it
/// is exact wherever a store reckons, a Lua script included.
pub const MOST: u64 = (1 << 53) - 1;

/// Where accounts are kept.
///
/// An account is a [`AccountKey`] and, for each of its [slices](Window::slice_at) of time, two numbers: `spent` and
/// `reserved`. A hold is what one call has reserved, in one slice of each of its accounts, until it is settled.
///
/// Every store keeps these promises, and the contract suite of feature `test-kit` checks them:
/// - `reserve`, `settle`, `renew` and `expire` are each one atomic step. At any moment, for each account and window,
///   `spent + reserved` is at most the limit that the last reservation named (amounts booked without a reservation,
///   and actual amounts above what was reserved, come on top: they are spent, whatever the limit says).
/// - A reservation takes from all its accounts or from none, and is refused only if one of them really lacks room: never
///   because of another reservation that is refused itself.
/// - A hold is taken once, settled once, and lost at most once, however often the store is told and in whatever order it
///   hears of it. Of a hold that has ended it remembers that much for [`ENDED_KEPT`](crate::store::ENDED_KEPT) at least.
/// - Counters and usage rows change in the same step: `spent` of an account in a window is always the sum of the rows
///   of its subject in that window (M6).
/// - An operation that fails or is dropped half way may have been carried out or not, never in part; asking again is safe.
pub trait BudgetStore: Send + Sync + 'static {
    /// Reserves, or says which account has no room. The same hold again takes nothing more and is granted again.
    fn reserve<'a>(&'a self, ask: Reservation<'a>) -> Answer<'a, Result<Reserved, StoreError>>;

    /// Ends a hold: gives back what it reserved, books what was used, and writes the rows.
    ///
    /// - An open hold: [`Settled::Now`].
    /// - One that is lost: what was booked for it and its `lost` row are taken back, and the settlement is booked in their
    ///   place: [`Settled::Late`].
    /// - One that was settled before: nothing happens: [`Settled::Again`].
    /// - One that the store has never seen (its reservation was lost on the way, or was made without the store): it is
    ///   booked to the accounts in the settlement, whatever their limits, in their slices at [`HoldId::made_ms`]:
    ///   [`Settled::Now`]. A reservation of this hold that arrives after that takes nothing ([`Reserved::Ended`]).
    ///
    /// A charge with [`from`](Charge::from) lowers another hold in the same step, see [`Draw`].
    fn settle<'a>(&'a self, settlement: Settlement<'a>) -> Answer<'a, Result<Settled, StoreError>>;

    /// Lets these open holds live for `lease` from now. One that is not open is passed over.
    fn renew<'a>(
        &'a self,
        holds: &'a [HoldId],
        lease: Duration,
        now_ms: u64,
    ) -> Answer<'a, Result<(), StoreError>>;

    /// Ends open holds whose lease has passed: books [`Charge::if_lost`] and writes [`Reservation::if_lost`]. Some at a time
    /// (at most 1,000): the caller asks again until none is left. Several processes that ask at once get each hold
    /// once, together.
    fn expire(&self, now_ms: u64) -> Answer<'_, Result<Vec<ExpiredHold>, StoreError>>;

    /// What stands on these accounts, in the same order; zeros for an account that nobody has used.
    fn balances<'a>(
        &'a self,
        accounts: &'a [(AccountKey, Window)],
        now_ms: u64,
    ) -> Answer<'a, Result<Vec<Balance>, StoreError>>;

    /// Totals of the rows, by what the query names. Totals are kept longer than rows.
    fn usage<'a>(&'a self, query: &'a UsageQuery) -> Answer<'a, Result<Vec<UsageTotal>, StoreError>>;

    /// The rows, oldest first, page by page.
    fn rows<'a>(&'a self, query: &'a RowsQuery) -> Answer<'a, Result<RowsPage, StoreError>>;

    /// Whether it answers.
    fn ping(&self) -> Answer<'_, Result<(), StoreError>> {
        Answer::ready(Ok(()))
    }

    /// Puts to disk what it holds back, if it holds anything back.
    fn flush(&self) -> Answer<'_, Result<(), StoreError>> {
        Answer::ready(Ok(()))
    }

    /// Whether it lives in this process and answers at once: then nothing is put around it.
    fn is_local(&self) -> bool {
        false
    }

    /// The caller has waited for an answer for too long: what it waited on, a connection for instance, is not to be
    /// relied on.
    fn timed_out(&self) {}

    /// Tells an operator of what is wrong with what it found when it was opened. It is asked when a budget is built over it.
    fn tell_found(&self, _events: &Events) {}
}

/// For how long a store remembers that a hold has ended, at least: 24 hours from its end. A store in this process, which
/// is never asked twice because an answer was lost, may remember the last 8,192 of each thread instead.
pub const ENDED_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// What a call asks for.
#[derive(Debug, Clone, Copy)]
pub struct Reservation<'a> {
    /// Its hold.
    pub hold: HoldId,
    /// How long the hold lives without being renewed. A shared store counts it on its own clock.
    pub lease: Duration,
    /// What to take; at most one charge for each account, at least one in all.
    pub charges: &'a [Charge],
    /// The row that is written if the hold is lost: with what [`Charge::if_lost`] books.
    pub if_lost: &'a Arc<UsageRow>,
    /// Now, in milliseconds since 1970, on the caller's clock: also when the hold was made ([`HoldId::made_ms`]), and so the
    /// slice that it is counted in.
    pub now_ms: u64,
}

/// How a call ended.
#[derive(Debug, Clone, Copy)]
pub struct Settlement<'a> {
    /// Its hold.
    pub hold: HoldId,
    /// The charges that were reserved, in the same order.
    pub charges: &'a [Charge],
    /// What was used of each, in the same order; zeros give everything back.
    pub actual: &'a [u64],
    /// The rows to write; may be none.
    pub rows: &'a [Arc<UsageRow>],
    /// Now, in milliseconds since 1970, on the caller's clock.
    pub now_ms: u64,
}

/// What is taken of one account.
#[derive(Debug, Clone, PartialEq)]
pub struct Charge {
    /// The account.
    pub account: AccountKey,
    /// The time that its limit is for, as of the reservation.
    pub window: Window,
    /// Its limit; at most [`MOST`].
    pub limit: u64,
    /// How much is reserved.
    pub take: u64,
    /// How much is booked if the hold is lost: what was taken, or less (a place for a concurrent call is never spent).
    pub if_lost: u64,
    /// Only in a settlement: where it was spent from while the store was away.
    pub from: Option<Draw>,
}

/// What was spent from a lease: a hold with one charge, which a process keeps of an account so that it can go on for a while
/// when the store is away.
///
/// In the step in which the settlement is booked, and only if it is booked, the lease is lowered by what was spent from it, so
/// that nothing counts twice and `spent + reserved` stays within the limit: if the lease is open and has reserved more than
/// `left`, its charge's `take` and `if_lost` become `left`, and its lost row becomes `if_lost`. If it is not open, or has no
/// more than that, nothing happens to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// The lease.
    pub lease: HoldId,
    /// What is left of it then.
    pub left: u64,
    /// The row that is written if what is left is lost.
    pub if_lost: Arc<UsageRow>,
}

impl Charge {
    /// A charge that books what it took if its hold is lost.
    pub fn new(account: AccountKey, window: Window, limit: u64, take: u64) -> Self {
        Self { account, window, limit, take, if_lost: take, from: None }
    }
}

/// The name of an account: `subject|unit|period`, such as `user:alice|usd|month`. Stores use it as it is, as a part of their
/// own keys; windows and slices are apart from it. A clone copies a pointer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountKey {
    name: Arc<str>,
    /// Reckoned once: accounts are looked up for each call.
    hash: u64,
}

impl AccountKey {
    /// The account of this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        Self { hash: Seeded::default().hash_one(&*name), name }
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

impl Hash for AccountKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The time that a limit is for.
///
/// A calendar period is one slice, from `start_ms` to `end_ms`. A rolling one is many: a reservation is counted in the
/// slice in which it is made, and the window is every slice that begins at `start_ms` or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Its beginning, in milliseconds since 1970; 0 for one without a beginning. Of a rolling one: the beginning of its oldest
    /// slice.
    pub start_ms: u64,
    /// Its end; none for one without an end and for a rolling one.
    pub end_ms: Option<u64>,
    /// How long a slice of a rolling one is; none for the others.
    pub slice_ms: Option<u64>,
}

impl Window {
    /// The beginning of the slice that something at `now_ms` is counted in: what a store keeps its two numbers under.
    pub fn slice_at(&self, now_ms: u64) -> u64 {
        match self.slice_ms {
            Some(slice) if slice > 0 => (now_ms / slice * slice).max(self.start_ms),
            _ => self.start_ms,
        }
    }

    /// Whether a slice that begins there is in it.
    pub fn has_slice(&self, start_ms: u64) -> bool {
        if self.slice_ms.is_some() { start_ms >= self.start_ms } else { start_ms == self.start_ms }
    }

    /// When nobody asks any longer for what is counted at `now_ms`, so that a store may forget it; none: never.
    pub fn forgotten_at(&self, now_ms: u64) -> Option<u64> {
        match self.slice_ms {
            // The oldest slice counts as long as the window reaches into it.
            Some(slice) => {
                let length = now_ms.saturating_sub(self.start_ms).saturating_add(slice.saturating_mul(2));
                Some(self.slice_at(now_ms).saturating_add(length))
            }
            None => self.end_ms,
        }
    }
}

/// The name of a hold, unique over all processes: 48 bits of time and 80 of chance.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HoldId(pub u128);

impl HoldId {
    /// A new one at this time; `chance` gives the rest.
    pub fn new(now_ms: u64, chance: u128) -> Self {
        Self((u128::from(now_ms) << 80) | (chance & ((1 << 80) - 1)))
    }

    /// A new one at this time, by chance. Those that one thread makes have six bits in common: a store in this process keeps
    /// them in one place, which no other thread has to wait for.
    pub fn by_chance(now_ms: u64) -> Self {
        let thread = u128::from(threads::number()) << (80 - threads::BITS);
        let rest = (1 << (80 - threads::BITS)) - 1;
        Self::new(now_ms, thread | (fastrand::u128(..) & rest))
    }

    /// The number of the thread that made it, if it was made [by chance](Self::by_chance).
    pub(crate) fn thread(self) -> usize {
        (self.0 >> (80 - threads::BITS)) as usize % (1 << threads::BITS)
    }

    /// When it was made, in milliseconds since 1970.
    pub fn made_ms(self) -> u64 {
        (self.0 >> 80) as u64
    }

    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok().map(Self))?
    }
}

/// As 32 hexadecimal digits, which sort by time.
impl fmt::Display for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What stands on an account in a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Balance {
    /// What was booked.
    pub spent: u64,
    /// What open holds have reserved.
    pub reserved: u64,
}

impl Balance {
    /// Both together.
    pub fn total(self) -> u64 {
        self.spent.saturating_add(self.reserved)
    }
}

/// What came of a reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// It is reserved. The balances after it, in the order of the charges.
    Granted(Vec<Balance>),
    /// One account lacks room; nothing was taken of any.
    Denied {
        /// Which charge it is: the first that lacks room.
        index: usize,
        /// What stands on its account.
        balance: Balance,
        /// Whether it is the first refusal of this account in this slice, as far as the store can tell: for the alert that is
        /// raised once, over all processes.
        first: bool,
    },
    /// The hold has ended before (it was settled, or lost): nothing was taken.
    Ended,
}

/// What came of a settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It is booked. The balances after it, in the order of the charges.
    Now(Vec<Balance>),
    /// It is booked in the place of what was booked when its lease passed. The balances after it.
    Late(Vec<Balance>),
    /// It was settled before; nothing happened.
    Again,
}

/// A hold whose lease has passed.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpiredHold {
    /// Which one.
    pub hold: HoldId,
    /// The row that was written for it.
    pub row: Arc<UsageRow>,
    /// What was booked on each of its accounts, and what stands there now in the hold's slice (in its whole window, where the
    /// store can tell).
    pub booked: Vec<(AccountKey, u64, Balance)>,
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached, or failed.
    #[error("the store of the budgets failed")]
    Failed(#[source] BoxError),
    /// It did not answer in time.
    #[error("the store of the budgets did not answer in time")]
    TimedOut,
    /// What it holds cannot be read.
    #[error("the store of the budgets holds something that cannot be read: {0}")]
    Damaged(String),
    /// It is left alone for a while because it failed.
    #[error("the store of the budgets is left alone for a while, because it failed")]
    LeftAlone,
}

/// What a store answers: there already, or later. One that is there costs no allocation.
#[must_use = "nothing is done before it is awaited"]
pub enum Answer<'a, T> {
    /// It is there.
    Ready(std::future::Ready<T>),
    /// It will be.
    Later(Pin<Box<dyn Future<Output = T> + Send + 'a>>),
}

impl<'a, T> Answer<'a, T> {
    /// It is there.
    pub fn ready(value: T) -> Self {
        Self::Ready(std::future::ready(value))
    }

    /// It will be.
    pub fn later(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self::Later(Box::pin(future))
    }

    /// What is there already. If it has to be waited for it is dropped: ask again, and wait.
    pub fn now(self) -> Option<T> {
        match self {
            Self::Ready(ready) => Some(ready.into_inner()),
            Self::Later(_) => None,
        }
    }
}

impl<T> Future for Answer<'_, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<T> {
        match self.get_mut() {
            Self::Ready(ready) => Pin::new(ready).poll(task),
            Self::Later(later) => later.as_mut().poll(task),
        }
    }
}

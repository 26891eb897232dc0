//! What the attempts of one call have used: the ledger that the attempt meter writes and the budget settles.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_metering::{Meter, NanoUsd, Tokens};
use mainstay_provider_core::Usage;

use crate::further::Cover;
use crate::row::RowStatus;
use crate::ticket::Ticket;

/// What a call has spent, for whoever wants to know it after the call's end.
///
/// Put one into [`ContextData::extensions`](mainstay_provider_core::ContextData::extensions) before the call and keep a
/// clone: the budget fills it in at the end of the answer. It is for one call; the budget makes one of its own where there
/// is none.
#[derive(Debug, Clone, Default)]
pub struct Spending(Arc<Mutex<State>>);

/// What a call has used in all its attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spent {
    /// Tokens by kind.
    pub usage: Usage,
    /// What they cost.
    pub cost: NanoUsd,
    /// Whether any of it was counted here, because a provider told no usage.
    pub estimated: bool,
}

impl Spent {
    /// Input and output tokens together.
    pub fn tokens(&self) -> u64 {
        self.usage.total()
    }
}

#[derive(Debug, Default)]
struct State {
    /// What counts the tokens of an attempt that tells no usage; set when a budget has begun the call.
    meter: Option<Meter>,
    legs: Vec<Leg>,
    spent: Option<Spent>,
    /// What covers further attempts; none for a call that no limit of tokens or money is on, and after its end.
    cover: Option<Cover>,
}

/// One attempt.
#[derive(Debug, Clone)]
pub(crate) struct Leg {
    pub(crate) provider: Arc<str>,
    pub(crate) model: Arc<str>,
    pub(crate) deployment: Option<Arc<str>>,
    /// What it used; none while it runs.
    pub(crate) end: Option<LegEnd>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LegEnd {
    pub(crate) status: RowStatus,
    pub(crate) tokens: Tokens,
    pub(crate) estimated: bool,
}

impl Leg {
    /// Whether it has used anything, or still can.
    fn may_use(&self) -> bool {
        self.end.is_none_or(|end| end.tokens != Tokens::default())
    }
}

impl Spending {
    /// Nothing is spent yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was spent; none before the end of the answer.
    pub fn spent(&self) -> Option<Spent> {
        self.lock().spent
    }

    /// Takes it for a call; no if it was taken for one before.
    pub(crate) fn claim(&self, meter: &Meter) -> bool {
        let mut state = self.lock();
        let is_free = state.meter.is_none();
        if is_free {
            state.meter = Some(meter.clone());
        }
        is_free
    }

    /// The meter of the budget that has taken it.
    pub(crate) fn meter(&self) -> Option<Meter> {
        self.lock().meter.clone()
    }

    /// How further attempts are covered.
    pub(crate) fn cover(&self, cover: Cover) {
        self.lock().cover = Some(cover);
    }

    /// An attempt begins; says which it is. Gives what is to be reserved for it first, if what the call has reserved is for
    /// others, which may use it up.
    pub(crate) fn begin(&self, leg: Leg) -> (usize, Option<Box<Ticket>>) {
        let mut state = self.lock();
        let State { legs, cover, .. } = &mut *state;
        let others = legs.iter().filter(|leg| leg.may_use()).count();
        legs.push(leg);
        (legs.len() - 1, cover.as_mut().and_then(|cover| cover.of_another(others)))
    }

    /// What was reserved for a further attempt is given back at the end of the call, or was refused.
    pub(crate) fn keep(&self, ticket: Option<Box<Ticket>>) {
        let mut state = self.lock();
        // None: the call is over, and with it what it reserved.
        if let Some(cover) = &mut state.cover {
            cover.keep(ticket);
        }
    }

    /// The call is over: what was reserved for further attempts.
    pub(crate) fn uncover(&self) -> Vec<Ticket> {
        self.lock().cover.take().map(Cover::into_tickets).unwrap_or_default()
    }

    /// An attempt has ended.
    pub(crate) fn end(&self, leg: usize, end: LegEnd) {
        if let Some(leg) = self.lock().legs.get_mut(leg) {
            leg.end = Some(end);
        }
    }

    /// Whether attempts are noted here.
    pub(crate) fn has_legs(&self) -> bool {
        !self.lock().legs.is_empty()
    }

    pub(crate) fn legs(&self) -> Vec<Leg> {
        self.lock().legs.clone()
    }

    pub(crate) fn tell(&self, spent: Spent) {
        self.lock().spent = Some(spent);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

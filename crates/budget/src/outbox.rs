//! Settlements that are to be booked in a store which does not answer at once, or not at all for a while: they are kept here
//! and repeated until they are booked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::plan::Plan;
use crate::row::UsageRow;
use crate::shared::Core;
use crate::store::{HoldId, Settlement, StoreError};

/// A settlement that is to be booked.
#[derive(Debug)]
pub(crate) struct Owed {
    pub(crate) hold: HoldId,
    pub(crate) plan: Plan,
    pub(crate) actual: Vec<u64>,
    pub(crate) rows: Vec<Arc<UsageRow>>,
    /// Whether it is of a time when the store was away.
    pub(crate) is_late: bool,
    /// Whether the store was asked before: it may have booked it, though nobody heard of that.
    pub(crate) is_tried: bool,
    /// Whether it was reserved for a further attempt of a call, which is settled itself.
    pub(crate) is_further: bool,
    /// Since when it waits; none before it does.
    since: Option<Instant>,
}

impl Owed {
    pub(crate) fn new(hold: HoldId, plan: Plan, actual: Vec<u64>, rows: Vec<Arc<UsageRow>>) -> Self {
        Self { hold, plan, actual, rows, is_late: false, is_tried: false, is_further: false, since: None }
    }

    pub(crate) fn further(self, is_further: bool) -> Self {
        Self { is_further, ..self }
    }

    pub(crate) fn settlement(&self, now_ms: u64) -> Settlement<'_> {
        let Self { hold, plan, actual, rows, .. } = self;
        Settlement { hold: *hold, charges: &plan.charges, actual, rows, now_ms }
    }
}

/// The settlements that are not booked yet.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Told whenever all is booked.
    empty: Notify,
    most: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Owed>,
    /// Tasks that book.
    workers: usize,
    /// What they have in their hands: since when each waits.
    in_hand: Vec<Option<Instant>>,
    /// How many of them are late.
    late: usize,
    /// Since when the oldest waits of those that came back last, because the store refused them.
    refused: Option<Instant>,
    dropped: u64,
}

/// How much is not booked yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behind {
    pub(crate) owed: usize,
    /// For how long the oldest of it waits.
    pub(crate) oldest: Duration,
    /// How much was dropped since the beginning.
    pub(crate) dropped: u64,
}

const MOST_WORKERS: usize = 16;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Outbox {
    /// Keeps at most so many.
    pub(crate) fn new(most: usize) -> Self {
        Self { state: Mutex::default(), empty: Notify::new(), most }
    }

    /// Takes one to be booked; gives back the oldest if there are too many.
    fn put(&self, mut owed: Owed) -> (bool, Option<Owed>) {
        owed.since = Some(Instant::now());
        let mut state = self.lock();
        state.late += usize::from(owed.is_late);
        state.waiting.push_back(owed);
        let too_many = state.waiting.len() > self.most;
        let dropped = if too_many { state.waiting.pop_front() } else { None };
        state.dropped += u64::from(too_many);
        state.late -= usize::from(dropped.as_ref().is_some_and(|dropped| dropped.is_late));
        if let Some(dropped) = &dropped {
            state.is_gone(dropped);
        }
        (state.wants_worker(), dropped)
    }

    /// The next one for a worker; without one, the worker is done.
    fn next(&self) -> Option<Owed> {
        let mut state = self.lock();
        let next = state.waiting.pop_front();
        match &next {
            Some(owed) => state.in_hand.push(owed.since),
            None => state.workers -= 1,
        }
        next
    }

    fn is_booked(&self, owed: &Owed) {
        let mut state = self.lock();
        state.leaves_hand(owed);
        state.is_gone(owed);
        state.late -= usize::from(owed.is_late);
        if state.owed() == 0 {
            drop(state);
            self.empty.notify_waiters();
        }
    }

    /// One that could not be booked comes first again, or last if the store has refused it: perhaps it will for ever, and the others
    /// must not wait for that. Says whether the worker goes on: one alone tries while the store is away.
    fn put_back(&self, mut owed: Owed, error: &StoreError) -> bool {
        let mut state = self.lock();
        state.late += usize::from(!std::mem::replace(&mut owed.is_late, true));
        owed.is_tried |= !matches!(error, StoreError::LeftAlone);
        if matches!(error, StoreError::LeftAlone | StoreError::TimedOut) {
            state.comes_back(owed);
        } else {
            state.leaves_hand(&owed);
            state.refused = [state.refused, owed.since].into_iter().flatten().min();
            state.waiting.push_back(owed);
        }
        let goes_on = state.workers == 1;
        state.workers -= usize::from(!goes_on);
        goes_on
    }

    /// How much is not booked yet.
    pub(crate) fn behind(&self) -> Behind {
        let state = self.lock();
        // Each worker may have put one back; those behind them are in their order, but for those that were refused. This is asked at
        // each reply, so not all are looked at.
        let waiting = state.waiting.iter().take(MOST_WORKERS).map(|owed| owed.since);
        let oldest = waiting.chain(state.in_hand.iter().copied()).chain([state.refused]).flatten().min();
        Behind {
            owed: state.owed(),
            oldest: oldest.map_or(Duration::ZERO, |since| since.elapsed()),
            dropped: state.dropped,
        }
    }

    /// Whether something is not booked yet that is of a time when the store was away. A process that is busy always has
    /// something that is on its way.
    pub(crate) fn is_behind(&self) -> bool {
        self.lock().late > 0
    }

    /// Waits until all is booked; says how many were not by then.
    pub(crate) async fn emptied(&self, until: Instant) -> usize {
        loop {
            let told = self.empty.notified();
            let left = self.lock().owed();
            if left == 0 || timeout_at(until, told).await.is_err() {
                return self.lock().owed();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn owed(&self) -> usize {
        self.waiting.len() + self.in_hand.len()
    }

    fn leaves_hand(&mut self, owed: &Owed) {
        if let Some(place) = self.in_hand.iter().position(|since| *since == owed.since) {
            self.in_hand.swap_remove(place);
        }
    }

    /// One less waits. If it was the oldest of the refused, another is now.
    fn is_gone(&mut self, owed: &Owed) {
        if self.refused.is_some() && self.refused == owed.since {
            let refused = self.waiting.iter().filter(|owed| owed.is_tried).map(|owed| owed.since);
            self.refused = refused.chain(self.in_hand.iter().copied()).flatten().min();
        }
    }

    /// From a hand, to be the first again.
    fn comes_back(&mut self, owed: Owed) {
        self.leaves_hand(&owed);
        self.waiting.push_front(owed);
    }

    /// Counts one worker more if there is work for it.
    fn wants_worker(&mut self) -> bool {
        let wanted = self.workers < MOST_WORKERS.min(self.waiting.len());
        self.workers += usize::from(wanted);
        wanted
    }
}

impl Core {
    /// Books a settlement when it can be booked.
    pub(crate) fn owe(self: &Arc<Self>, mut owed: Owed) {
        owed.is_late = self.guard.as_ref().is_some_and(|guard| guard.is_open());
        let (wants_worker, dropped) = self.outbox.put(owed);
        if let Some(dropped) = dropped {
            self.teller.dropped(dropped.hold);
        }
        if wants_worker {
            self.start_worker();
        }
    }

    /// Sees to it that somebody books what is there.
    pub(crate) fn nudge(self: &Arc<Self>) {
        let wants_worker = self.outbox.lock().wants_worker();
        if wants_worker {
            self.start_worker();
        }
    }

    fn start_worker(self: &Arc<Self>) {
        // If nobody can book now, the worker is dropped; the next call will find somebody.
        let worker = Worker { core: self.clone(), is_counted: true };
        if let Some(runtime) = self.runtime() {
            runtime.spawn(worker.work());
        }
    }
}

/// Books one settlement after the other.
struct Worker {
    core: Arc<Core>,
    is_counted: bool,
}

impl Worker {
    async fn work(mut self) {
        let core = self.core.clone();
        let mut pause = FIRST_PAUSE;
        while let Some(owed) = core.outbox.next() {
            let hand = InHand { outbox: &core.outbox, owed: Some(owed) };
            let Err(error) = core.book(hand.owed()).await else {
                hand.booked();
                pause = FIRST_PAUSE;
                continue;
            };
            if !hand.put_back(&error) {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        // The last look at the outbox has counted it out.
        self.is_counted = false;
    }
}

/// One that is torn down with its runtime.
impl Drop for Worker {
    fn drop(&mut self) {
        if self.is_counted {
            self.core.outbox.lock().workers -= 1;
        }
    }
}

/// What a worker books. If the worker is torn down in the middle of it, the settlement goes back.
struct InHand<'a> {
    outbox: &'a Outbox,
    owed: Option<Owed>,
}

impl InHand<'_> {
    fn owed(&self) -> &Owed {
        self.owed.as_ref().expect("it is in hand until it is booked or put back")
    }

    fn booked(mut self) {
        if let Some(owed) = self.owed.take() {
            self.outbox.is_booked(&owed);
        }
    }

    fn put_back(mut self, error: &StoreError) -> bool {
        self.owed.take().is_some_and(|owed| self.outbox.put_back(owed, error))
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        if let Some(owed) = self.owed.take() {
            self.outbox.lock().comes_back(owed);
        }
    }
}

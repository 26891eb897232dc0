//! The limiter, shared: one short lock, and a queue in front of it.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use mainstay_provider_core::{Call, Error, ErrorKind, RateLimits};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::RateLimitConfig;
use crate::cost::Amounts;
use crate::limiter::{Ask, Limiter, Spent, Ticket};

/// One limiter, and those who wait for it.
pub(crate) struct Gate {
    config: RateLimitConfig,
    shared: Mutex<Shared>,
    /// What the headroom was when somebody last looked, for a look while the lock is taken.
    headroom: AtomicU32,
    pub(crate) counts: Counts,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limiter: Limiter,
    queue: VecDeque<Waiter>,
    /// What those in the queue cost together.
    queued: Amounts,
    next_id: u64,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    cost: Amounts,
    waker: Option<Waker>,
}

/// What became of calls that did not just go through.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) admitted: AtomicU64,
    pub(crate) waited: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) left: AtomicU64,
}

/// What becomes of a call that comes.
pub(crate) enum Entry {
    /// It goes now.
    Now(Reservation),
    /// It waits its turn.
    Later(Waiting),
    Refused(Error),
}

impl Gate {
    pub(crate) fn new(config: RateLimitConfig) -> Arc<Self> {
        let chance = config.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let limiter = Limiter::new(config.rules, chance, Instant::now());
        let shared = Shared { limiter, queue: VecDeque::new(), queued: Amounts::default(), next_id: 0 };
        Arc::new(Self {
            config,
            shared: Mutex::new(shared),
            headroom: AtomicU32::new(1_f32.to_bits()),
            counts: Counts::default(),
        })
    }

    pub(crate) fn config(&self) -> &RateLimitConfig {
        &self.config
    }

    /// Asks for a place.
    pub(crate) fn enter(self: &Arc<Self>, call: &Call) -> Entry {
        let request = call.request();
        let ask = Ask {
            input: self.config.estimator.input_tokens(call),
            output: request.max_output_tokens(),
            choices: request.n.map_or(1, u64::from),
        };
        let now = Instant::now();
        let mut until = now + self.config.max_wait;
        if let Some(deadline) = call.context().deadline {
            until = until.min(deadline);
        }
        let mut shared = self.lock();
        shared.limiter.advance(now);
        let cost = shared.limiter.cost(ask);
        let wait = shared.limiter.wait(&shared.queued, &cost, now);
        // That there is a place for all who wait too makes it no jump of the queue.
        if wait.is_zero() {
            let ticket = shared.limiter.take(cost, now);
            self.free(shared);
            self.counts.admitted.fetch_add(1, Ordering::Relaxed);
            return Entry::Now(Reservation { gate: self.clone(), ticket: Some(ticket), sent: false });
        }
        if now + wait > until || shared.queue.len() >= self.config.max_queue {
            self.free(shared);
            return Entry::Refused(self.refused(wait));
        }
        let id = shared.next_id;
        shared.next_id += 1;
        shared.queued.add(&cost);
        shared.queue.push_back(Waiter { id, cost, waker: None });
        self.free(shared);
        Entry::Later(Waiting { gate: self.clone(), id, until, alarm: None, done: false })
    }

    /// Takes in what the headers of an answer say that is still to come.
    fn heard(&self, ticket: &Ticket, limits: &RateLimits) {
        let now = Instant::now();
        let mut shared = self.lock();
        shared.limiter.advance(now);
        shared.limiter.observe(ticket, limits, now);
        self.changed(shared);
    }

    fn settle(&self, ticket: &Ticket, limits: Option<&RateLimits>, spent: Spent, refusal: Option<&Error>) {
        let now = Instant::now();
        let mut shared = self.lock();
        shared.limiter.advance(now);
        if let Some(limits) = limits {
            shared.limiter.observe(ticket, limits, now);
        }
        if let Some(error) = refusal {
            shared.limiter.throttled(ticket, error, now);
        }
        shared.limiter.settle(ticket, spent);
        self.changed(shared);
    }

    /// Ends a change: the first of the queue looks again.
    fn changed(&self, mut shared: MutexGuard<'_, Shared>) {
        let waker = shared.queue.front_mut().and_then(|first| first.waker.take());
        self.free(shared);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Frees the lock, and sends the events that came up.
    fn free(&self, mut shared: MutexGuard<'_, Shared>) {
        let told = if shared.limiter.has_told() { shared.limiter.take_told() } else { Vec::new() };
        drop(shared);
        for told in told {
            self.config.events.send(|| told.event(&self.config.deployment));
        }
    }

    /// The error for a call without a place, which is counted.
    fn refused(&self, wait: Duration) -> Error {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        let message = "the deployment's rate limit leaves no place for the call in time";
        let mut error = Error::new(ErrorKind::LimitReached, message).with_retry_after(wait);
        if !self.config.deployment.is_empty() {
            error = error.with_deployment(self.config.deployment.clone());
        }
        error
    }

    pub(crate) fn headroom(&self, now: Instant) -> f32 {
        let mut shared = match self.shared.try_lock() {
            Ok(shared) => shared,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Somebody changes it just now: what it was a moment ago will do.
            Err(TryLockError::WouldBlock) => return f32::from_bits(self.headroom.load(Ordering::Relaxed)),
        };
        shared.limiter.advance(now);
        let headroom =
            if shared.queue.is_empty() { shared.limiter.headroom(&shared.queued, now) } else { 0.0 };
        self.headroom.store(headroom.to_bits(), Ordering::Relaxed);
        self.free(shared);
        headroom
    }

    /// Looks at the limiter as it is at `now`, and at how many wait.
    pub(crate) fn look<T>(&self, now: Instant, look: impl FnOnce(&Limiter, u64) -> T) -> T {
        let mut shared = self.lock();
        shared.limiter.advance(now);
        let seen = look(&shared.limiter, shared.queue.len() as u64);
        self.free(shared);
        seen
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Only the limiter's own code runs under the lock, and each of its steps leaves it whole.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn find(&self, id: u64) -> Option<usize> {
        // They stand in the order of their ids.
        self.queue.binary_search_by_key(&id, |waiter| waiter.id).ok()
    }

    fn leave(&mut self, at: usize) {
        if let Some(waiter) = self.queue.remove(at) {
            self.queued.take_away(&waiter.cost);
        }
    }
}

/// A call that waits its turn. Dropped, it leaves the queue.
pub(crate) struct Waiting {
    gate: Arc<Gate>,
    id: u64,
    /// Until when it may wait.
    until: Instant,
    alarm: Option<Pin<Box<Sleep>>>,
    done: bool,
}

impl Waiting {
    /// Whether its turn has come, or when to look again.
    fn look(&mut self, task: &TaskContext<'_>) -> Result<Result<Reservation, Error>, Instant> {
        let now = Instant::now();
        let mut shared = self.gate.lock();
        shared.limiter.advance(now);
        let Some(at) = shared.find(self.id) else {
            drop(shared);
            return Ok(Err(Error::new(ErrorKind::Internal, "a waiting call lost its place in the queue")));
        };
        let cost = shared.queue[at].cost;
        let mut ahead = Amounts::default();
        if at > 0 {
            // Only the first goes; the others look again when the first is gone, or when their time is up.
            if now < self.until {
                shared.queue[at].waker = Some(task.waker().clone());
                return Err(self.until);
            }
            shared.queue.iter().take(at).for_each(|waiter| ahead.add(&waiter.cost));
        }
        let wait = shared.limiter.wait(&ahead, &cost, now);
        // As for one that comes, it is no jump of the queue.
        if wait.is_zero() {
            shared.leave(at);
            let ticket = shared.limiter.take(cost, now);
            self.done = true;
            self.gate.changed(shared);
            self.gate.counts.admitted.fetch_add(1, Ordering::Relaxed);
            self.gate.counts.waited.fetch_add(1, Ordering::Relaxed);
            return Ok(Ok(Reservation { gate: self.gate.clone(), ticket: Some(ticket), sent: false }));
        }
        let turn = now + wait;
        if turn > self.until || now >= self.until {
            shared.leave(at);
            self.done = true;
            self.gate.changed(shared);
            return Ok(Err(self.gate.refused(wait)));
        }
        shared.queue[at].waker = Some(task.waker().clone());
        Err(turn)
    }
}

impl Future for Waiting {
    type Output = Result<Reservation, Error>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            let again = match this.look(task) {
                Ok(turn) => return Poll::Ready(turn),
                Err(again) => again,
            };
            let alarm = this.alarm.get_or_insert_with(|| Box::pin(sleep_until(again)));
            if alarm.deadline() != again {
                alarm.as_mut().reset(again);
            }
            std::task::ready!(alarm.as_mut().poll(task));
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.done {
            let mut shared = self.gate.lock();
            if let Some(at) = shared.find(self.id) {
                shared.leave(at);
            }
            self.gate.counts.left.fetch_add(1, Ordering::Relaxed);
            self.gate.changed(shared);
        }
    }
}

/// What a call holds until its end. Dropped without one, it is given back if the call was not sent, and kept if it was.
pub(crate) struct Reservation {
    gate: Arc<Gate>,
    ticket: Option<Ticket>,
    sent: bool,
}

impl Reservation {
    /// The call is on its way.
    pub(crate) fn sent(&mut self) {
        self.sent = true;
    }

    /// The head of the answer is here, its end is to come.
    pub(crate) fn heard(&self, limits: &RateLimits) {
        if let Some(ticket) = &self.ticket {
            self.gate.heard(ticket, limits);
        }
    }

    pub(crate) fn settle(mut self, limits: Option<&RateLimits>, spent: Spent, refusal: Option<&Error>) {
        if let Some(ticket) = self.ticket.take() {
            self.gate.settle(&ticket, limits, spent, refusal);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let spent = if self.sent { Spent::Reserved } else { Spent::Nothing };
            self.gate.settle(&ticket, None, spent, None);
        }
    }
}

//! The machine, shared: one lock for what is decided, one word for what is only read.

use std::time::Duration;

use mainstay_provider_core::{Availability, Error, ErrorKind};
use tokio::time::Instant;

use crate::config::BreakerConfig;
use crate::handle::BreakerStats;
use crate::pool::Seat;
use crate::state::{Entry, Gate, Machine, State, Ticket, Verdict};
use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering};
use crate::transition::Transition;

/// One breaker.
///
/// A refusal and a router's look read `gate` and take no lock. It is written under the lock after each change, so it
/// is at most one change old; an admission is always decided under the lock.
#[derive(Debug)]
pub(crate) struct Circuit {
    deployment: std::sync::Arc<str>,
    config: std::sync::Arc<BreakerConfig>,
    born: Instant,
    /// [`Gate`] in one word: nanoseconds from `born`, and the [`Entry`] in the lowest two bits.
    gate: AtomicU64,
    refused: AtomicU64,
    machine: Mutex<Machine>,
}

impl Circuit {
    pub(crate) fn new(config: std::sync::Arc<BreakerConfig>, deployment: std::sync::Arc<str>) -> Arc<Self> {
        let seat = config.pool.as_ref().map_or_else(Seat::default, |pool| pool.join());
        let chance = config.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let born = Instant::now();
        let machine = Mutex::new(Machine::new(config.rules, seat, chance, born));
        let (gate, refused) = (AtomicU64::new(CALL), AtomicU64::new(0));
        Arc::new(Self { deployment, config, born, gate, refused, machine })
    }

    pub(crate) fn deployment(&self) -> &std::sync::Arc<str> {
        &self.deployment
    }

    /// Whether a call is refused at `now`, by the word alone.
    fn refuses(&self, now: Instant) -> Option<Refusal> {
        let word = self.gate.load(Ordering::Acquire);
        let wait = match self.read(word) {
            Gate::Never => None,
            Gate::From { at, entry } => {
                let wait = at.map(|at| at.saturating_duration_since(now)).filter(|wait| !wait.is_zero())?;
                Some(if entry == Entry::PlaceOfAProbe { wait.min(A_PROBE_IS_OUT) } else { wait })
            }
        };
        Some(Refusal { wait })
    }

    /// Whether calls are refused just now.
    pub(crate) fn is_refusing(&self) -> bool {
        // The usual case needs no clock.
        self.gate.load(Ordering::Acquire) != CALL && self.refuses(Instant::now()).is_some()
    }

    /// The error for a refusal, which is counted.
    fn refused(&self, refusal: Refusal) -> Error {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let message = "the deployment takes no calls just now and was not asked";
        let mut error = Error::new(ErrorKind::Unavailable, message);
        if !self.deployment.is_empty() {
            error = error.with_deployment(self.deployment.clone());
        }
        match refusal.wait {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        }
    }

    pub(crate) fn availability(&self, now: Instant) -> Availability {
        match self.read(self.gate.load(Ordering::Acquire)) {
            Gate::Never => Availability::Unavailable { until: None },
            Gate::From { at: Some(at), .. } if at > now => Availability::Unavailable { until: Some(at) },
            Gate::From { entry: Entry::Call, .. } => Availability::Ready,
            Gate::From { .. } => Availability::HalfOpen,
        }
    }

    /// Changes the machine, and tells what came of it when the lock is free again.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Machine) -> (T, Option<Transition>)) -> T {
        let (result, told) = {
            let mut machine = self.lock();
            let result = change(&mut machine);
            self.gate.store(self.write(machine.gate()), Ordering::Release);
            result
        };
        if let Some(transition) = told {
            self.config.events.send(|| transition.event(&self.deployment));
        }
        result
    }

    pub(crate) fn state(&self, now: Instant) -> State {
        self.lock().state(now)
    }

    pub(crate) fn stats(&self, now: Instant) -> BreakerStats {
        let refused = self.refused.load(Ordering::Relaxed);
        BreakerStats::of(&mut self.lock(), refused, now)
    }

    /// Whether nothing would be lost with it: closed, nothing counted against it, no call under way.
    pub(crate) fn is_at_rest(&self, now: Instant) -> bool {
        let mut machine = self.lock();
        machine.state(now) == State::Closed
            && machine.failures_in_a_row() == 0
            && machine.counts().in_flight == 0
            && machine.window(now).failed == 0
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        // Only the machine's own code runs under the lock, and each of its steps leaves it whole.
        self.machine.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self, gate: Gate) -> u64 {
        let Gate::From { at, entry } = gate else { return NEVER };
        let nanoseconds = at.map_or(0, |at| at.saturating_duration_since(self.born).as_nanos());
        let entry = match entry {
            Entry::Call => CALL,
            Entry::Probe => PROBE,
            Entry::PlaceOfAProbe => PLACE_OF_A_PROBE,
        };
        // 62 bits of nanoseconds are 146 years.
        u64::try_from(nanoseconds).unwrap_or(LAST).min(LAST) << 2 | entry
    }

    fn read(&self, word: u64) -> Gate {
        let entry = match word & 0b11 {
            CALL => Entry::Call,
            PROBE => Entry::Probe,
            PLACE_OF_A_PROBE => Entry::PlaceOfAProbe,
            _ => return Gate::Never,
        };
        let at = (word >> 2 > 0).then(|| self.born + Duration::from_nanos(word >> 2));
        Gate::From { at, entry }
    }
}

const CALL: u64 = 0;
const PROBE: u64 = 1;
const PLACE_OF_A_PROBE: u64 = 2;
const NEVER: u64 = u64::MAX;
const LAST: u64 = u64::MAX >> 3;

/// When all probes are out, one may be back at any moment.
const A_PROBE_IS_OUT: Duration = Duration::from_secs(1);

/// A call that is not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refusal {
    /// How long until the next half-open; `None` when only an operator's act ends it.
    wait: Option<Duration>,
}

/// Leave to call the deployment. It must be settled with a verdict; dropped without one, whatever the reason, it gives
/// back what it held and says nothing of the deployment (B2).
#[derive(Debug)]
#[must_use]
pub(crate) struct Permit {
    circuit: Arc<Circuit>,
    ticket: Option<Ticket>,
}

impl Permit {
    /// Asks for leave.
    ///
    /// # Errors
    /// The refusal, counted.
    pub(crate) fn ask(circuit: Arc<Circuit>, now: Instant, deadline: Option<Instant>) -> Result<Self, Error> {
        if let Some(refusal) = circuit.refuses(now) {
            return Err(circuit.refused(refusal));
        }
        match circuit.change(|machine| machine.admit(now, deadline)) {
            Some(ticket) => Ok(Self { circuit, ticket: Some(ticket) }),
            None => {
                // The last place went between the look and the lock, and may be free again by now.
                let refusal = circuit.refuses(now).unwrap_or(Refusal { wait: Some(A_PROBE_IS_OUT) });
                Err(circuit.refused(refusal))
            }
        }
    }

    pub(crate) fn config(&self) -> &BreakerConfig {
        &self.circuit.config
    }

    pub(crate) fn settle(mut self, verdict: Verdict, now: Instant) {
        self.end(verdict, now);
    }

    fn end(&mut self, verdict: Verdict, now: Instant) {
        if let Some(ticket) = self.ticket.take() {
            self.circuit.change(|machine| ((), machine.settle(ticket, verdict, now)));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            self.end(Verdict::Unseen, Instant::now());
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests;

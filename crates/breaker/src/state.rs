//! The machine: what is decided, and nothing else. It takes `now`, waits for nothing and touches nothing.

use std::time::Duration;

use mainstay_provider_core::ErrorKind;
use tokio::time::Instant;

use crate::allowed::Allowed;
use crate::config::Rules;
use crate::pool::Seat;
use crate::probes::Probes;
use crate::transition::{To, Transition, Why};
use crate::window::{Bucket, Window};

/// What a breaker does with calls, as a reader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Calls go through.
    Closed,
    /// The deployment asked for a pause (429); the breaker itself is closed.
    Cooling {
        /// Until when.
        until: Instant,
    },
    /// Calls are refused.
    Open {
        /// Until when.
        until: Instant,
    },
    /// Probes go through, all other calls are refused.
    HalfOpen,
    /// The account cannot be used; calls are refused.
    Parked {
        /// Until when; `None` until the key is changed or the breaker reset.
        until: Option<Instant>,
    },
    /// An operator keeps it open.
    ForcedOpen,
    /// An operator keeps it closed.
    ForcedClosed,
}

impl State {
    /// The state's name as it stands in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Cooling { .. } => "cooling",
            Self::Open { .. } => "open",
            Self::HalfOpen => "half_open",
            Self::Parked { .. } => "parked",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
        }
    }
}

/// How a call ended, as far as the breaker cares. Success is said of an answer that is complete, and of nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Success,
    Failure,
    /// It came, and too slowly.
    Slow,
    RateLimited {
        wait: Option<Duration>,
    },
    Account {
        kind: ErrorKind,
        wait: Option<Duration>,
    },
    /// An error that says nothing of the deployment.
    Nobody,
    /// Nobody saw the end: dropped, panicked, forgotten.
    Unseen,
}

/// What an admitted call carries, to be given back with its verdict.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    generation: u64,
    /// The bucket of the window.
    tick: u64,
    /// The lease, if it is a probe.
    probe: Option<u64>,
}

/// From when on calls are taken, and as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Never,
    From { at: Option<Instant>, entry: Entry },
}

/// As what the next call is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// As any other.
    Call,
    /// As a probe.
    Probe,
    /// As a probe, when a place comes back; at the latest when a lease ends.
    PlaceOfAProbe,
}

/// What was counted since the breaker was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) admitted: u64,
    pub(crate) in_flight: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) slow: u64,
    pub(crate) rate_limited: u64,
    pub(crate) account_errors: u64,
    pub(crate) not_counted: u64,
    pub(crate) unseen: u64,
    pub(crate) late: u64,
    pub(crate) opened: u64,
    pub(crate) held_closed: u64,
    pub(crate) probes: u64,
    pub(crate) leases_expired: u64,
}

#[derive(Debug)]
enum Phase {
    /// Opens by failures; parks by an account error.
    Closed { in_a_row: u32 },
    /// Half-open by time.
    Open { until: Instant, trips: u32 },
    /// Closes by as many successes as probes were wanted; opens by a failure; parks by an account error.
    HalfOpen { probes: Probes, trips: u32 },
    /// Half-open by time, if there is one.
    Parked { until: Option<Instant>, kind: ErrorKind },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forced {
    Open,
    Closed,
}

#[derive(Debug)]
pub(crate) struct Machine {
    rules: Rules,
    phase: Phase,
    forced: Option<Forced>,
    /// Until when the deployment asked for a pause.
    cooling: Option<Instant>,
    /// Changes with each change of phase: a verdict from before says nothing of now (B4).
    generation: u64,
    allowed: Option<Allowed>,
    window: Option<Window>,
    seat: Seat,
    counts: Counts,
    chance: fastrand::Rng,
}

type Told = Option<Transition>;

impl Machine {
    pub(crate) fn new(rules: Rules, seat: Seat, chance: fastrand::Rng, now: Instant) -> Self {
        Self {
            rules,
            phase: Phase::Closed { in_a_row: 0 },
            forced: None,
            cooling: None,
            generation: 0,
            allowed: rules.allowed_fails.map(Allowed::new),
            window: rules.rate.map(|rate| Window::new(rate, now)),
            seat,
            counts: Counts::default(),
            chance,
        }
    }

    /// Whether a call goes through. One that does not is told by [`Machine::gate`] when to come again.
    pub(crate) fn admit(&mut self, now: Instant, deadline: Option<Instant>) -> (Option<Ticket>, Told) {
        match self.gate() {
            Gate::Never => return (None, None),
            Gate::From { at: Some(at), .. } if at > now => return (None, None),
            Gate::From { .. } => {}
        }
        if self.forced.is_some() {
            return (Some(self.ticket(now, None)), None);
        }
        let told = match self.phase {
            Phase::Open { trips, .. } => Some(self.half_open(trips)),
            Phase::Parked { .. } => Some(self.half_open(0)),
            Phase::Closed { .. } | Phase::HalfOpen { .. } => None,
        };
        let lease = self.lease(now, deadline);
        let Phase::HalfOpen { probes, .. } = &mut self.phase else {
            return (Some(self.ticket(now, None)), told);
        };
        self.counts.leases_expired += u64::from(probes.expire(now));
        let id = self.counts.probes;
        if !probes.lend(id, lease) {
            return (None, told);
        }
        self.counts.probes += 1;
        (Some(self.ticket(now, Some(id))), told)
    }

    /// Takes the verdict on an admitted call.
    pub(crate) fn settle(&mut self, ticket: Ticket, verdict: Verdict, now: Instant) -> Told {
        self.count(verdict);
        if ticket.generation != self.generation {
            self.counts.late += 1;
            return None;
        }
        if self.forced.is_some() {
            return None;
        }
        match &mut self.phase {
            Phase::Closed { in_a_row } => match verdict {
                Verdict::Success => {
                    *in_a_row = 0;
                    None
                }
                Verdict::Failure | Verdict::Slow => {
                    *in_a_row = in_a_row.saturating_add(1);
                    self.book(&ticket, now);
                    self.judge(now)
                }
                Verdict::RateLimited { wait: None } => {
                    self.book(&ticket, now);
                    self.judge_rate(now)
                }
                verdict => {
                    if let Some(window) = &mut self.window {
                        window.forget(ticket.tick, now);
                    }
                    self.not_a_failure(verdict, now)
                }
            },
            Phase::HalfOpen { probes, trips } => {
                if !ticket.probe.is_some_and(|id| probes.end(id)) {
                    self.counts.late += 1;
                    return None;
                }
                match verdict {
                    Verdict::Success => probes.succeed().then(|| self.close(To::Closed, now)),
                    Verdict::Failure | Verdict::Slow | Verdict::RateLimited { wait: None } => {
                        let trips = trips.saturating_add(1);
                        Some(self.open(Why::ProbeFailed, trips, now))
                    }
                    verdict => {
                        probes.give_back();
                        self.not_a_failure(verdict, now)
                    }
                }
            }
            // Whoever is admitted in these phases changes them first.
            Phase::Open { .. } | Phase::Parked { .. } => None,
        }
    }

    /// From when on calls are taken.
    pub(crate) fn gate(&self) -> Gate {
        match self.forced {
            Some(Forced::Open) => return Gate::Never,
            Some(Forced::Closed) => return Gate::From { at: None, entry: Entry::Call },
            None => {}
        }
        let (at, entry) = match &self.phase {
            Phase::Closed { .. } => (None, Entry::Call),
            Phase::Open { until, .. } => (Some(*until), Entry::Probe),
            Phase::Parked { until: Some(until), .. } => (Some(*until), Entry::Probe),
            Phase::Parked { until: None, .. } => return Gate::Never,
            Phase::HalfOpen { probes, .. } => match probes.free_from() {
                None => (None, Entry::Probe),
                taken => (taken, Entry::PlaceOfAProbe),
            },
        };
        Gate::From { at: at.max(self.cooling), entry }
    }

    pub(crate) fn state(&self, now: Instant) -> State {
        let cooling = self.cooling.filter(|until| *until > now);
        match (self.forced, &self.phase) {
            (Some(Forced::Open), _) => State::ForcedOpen,
            (Some(Forced::Closed), _) => State::ForcedClosed,
            (None, Phase::Parked { until, .. }) if until.is_none_or(|until| until > now) => {
                State::Parked { until: *until }
            }
            (None, Phase::Open { until, .. }) if *until > now => {
                State::Open { until: cooling.map_or(*until, |cooling| cooling.max(*until)) }
            }
            (None, phase) => match (cooling, phase) {
                (Some(until), _) => State::Cooling { until },
                (None, Phase::Closed { .. }) => State::Closed,
                (None, _) => State::HalfOpen,
            },
        }
    }

    pub(crate) fn account_error(&self) -> Option<ErrorKind> {
        match (self.forced, &self.phase) {
            (None, Phase::Parked { kind, .. }) => Some(*kind),
            _ => None,
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn failures_in_a_row(&self) -> u32 {
        if let Phase::Closed { in_a_row } = self.phase { in_a_row } else { 0 }
    }

    pub(crate) fn window(&mut self, now: Instant) -> Bucket {
        self.window.as_mut().map(|window| window.total(now)).unwrap_or_default()
    }

    pub(crate) fn force_open(&mut self) -> Told {
        self.force(Forced::Open, To::ForcedOpen)
    }

    pub(crate) fn force_closed(&mut self) -> Told {
        self.force(Forced::Closed, To::ForcedClosed)
    }

    /// Ends a forced state; the breaker begins anew.
    pub(crate) fn release(&mut self, now: Instant) -> Told {
        self.forced.take()?;
        Some(self.close(To::Released, now))
    }

    /// Forgets everything but a forced state and the counters.
    pub(crate) fn reset(&mut self, now: Instant) -> Told {
        self.cooling = None;
        Some(self.close(To::Reset, now))
    }

    /// The key was changed or the account put right.
    pub(crate) fn unpark(&mut self, now: Instant) -> Told {
        matches!(self.phase, Phase::Parked { .. }).then(|| self.close(To::Unparked, now))
    }

    fn ticket(&mut self, now: Instant, probe: Option<u64>) -> Ticket {
        self.counts.admitted += 1;
        self.counts.in_flight += 1;
        let closed = matches!(self.phase, Phase::Closed { .. });
        let tick = match &mut self.window {
            Some(window) if closed => window.send(now),
            _ => 0,
        };
        Ticket { generation: self.generation, tick, probe }
    }

    /// A probe keeps its place until its deadline, if that is sooner. Not less than a second: callers with no time left
    /// must not hand the place on among themselves.
    fn lease(&self, now: Instant, deadline: Option<Instant>) -> Instant {
        let longest = now + self.rules.lease;
        let shortest = now + self.rules.lease.min(Duration::from_secs(1));
        deadline.map_or(longest, |deadline| deadline.clamp(shortest, longest))
    }

    fn count(&mut self, verdict: Verdict) {
        let counts = &mut self.counts;
        counts.in_flight -= 1;
        let counter = match verdict {
            Verdict::Success => &mut counts.succeeded,
            Verdict::Failure => &mut counts.failed,
            Verdict::Slow => &mut counts.slow,
            Verdict::RateLimited { .. } => &mut counts.rate_limited,
            Verdict::Account { .. } => &mut counts.account_errors,
            Verdict::Nobody => &mut counts.not_counted,
            Verdict::Unseen => &mut counts.unseen,
        };
        *counter += 1;
    }

    fn book(&mut self, ticket: &Ticket, now: Instant) {
        if let Some(window) = &mut self.window {
            window.fail(ticket.tick, now);
        }
    }

    fn judge(&mut self, now: Instant) -> Told {
        let in_a_row = self.failures_in_a_row();
        if self.rules.failures.is_some_and(|most| in_a_row >= most) {
            return self.trip(Why::FailuresInARow, now);
        }
        if self.allowed.as_mut().is_some_and(|allowed| allowed.is_over_with(now)) {
            return self.trip(Why::FailuresAMinute, now);
        }
        self.judge_rate(now)
    }

    fn judge_rate(&mut self, now: Instant) -> Told {
        let over = self.window.as_ref().is_some_and(Window::is_over);
        if over { self.trip(Why::FailureRate, now) } else { None }
    }

    /// Opens, if its pool can spare it (B11).
    fn trip(&mut self, why: Why, now: Instant) -> Told {
        if !self.seat.take() {
            self.counts.held_closed += 1;
            return None;
        }
        Some(self.open(why, 1, now))
    }

    fn open(&mut self, why: Why, trips: u32, now: Instant) -> Transition {
        let doubled = self.rules.recovery.saturating_mul(1 << trips.saturating_sub(1).min(20));
        let recovery = doubled.min(self.rules.max_recovery);
        self.counts.opened += 1;
        // A deployment that was parked has no seat yet if the pool was full.
        self.seat.claim();
        self.enter(Phase::Open { until: now + recovery, trips }, To::Opened { why, recovery })
    }

    fn half_open(&mut self, trips: u32) -> Transition {
        let probes = Probes::new(self.rules.probes);
        self.enter(Phase::HalfOpen { probes, trips }, To::HalfOpen)
    }

    fn close(&mut self, to: To, now: Instant) -> Transition {
        self.seat.leave();
        if let Some(allowed) = &mut self.allowed {
            allowed.clear();
        }
        if let Some(window) = &mut self.window {
            window.clear(now);
        }
        self.enter(Phase::Closed { in_a_row: 0 }, to)
    }

    fn force(&mut self, forced: Forced, to: To) -> Told {
        if self.forced.replace(forced) == Some(forced) {
            return None;
        }
        self.generation += 1;
        Some(Transition { to, generation: self.generation })
    }

    fn enter(&mut self, phase: Phase, to: To) -> Transition {
        self.phase = phase;
        self.generation += 1;
        Transition { to, generation: self.generation }
    }

    fn not_a_failure(&mut self, verdict: Verdict, now: Instant) -> Told {
        match verdict {
            Verdict::RateLimited { wait: Some(wait) } => self.cool(wait, now),
            Verdict::Account { kind, wait } => {
                let recheck = wait.or(self.rules.park_recheck);
                self.seat.claim();
                let until = recheck.and_then(|wait| now.checked_add(wait));
                Some(self.enter(Phase::Parked { until, kind }, To::Parked { kind }))
            }
            _ => None,
        }
    }

    /// Leaves the deployment alone for as long as it asked (B7). A pause is never made shorter by a later, shorter hint.
    fn cool(&mut self, wait: Duration, now: Instant) -> Told {
        let wait = self.jittered(wait);
        let until = now + wait;
        let was_cooling = self.cooling.is_some_and(|until| until > now);
        self.cooling = self.cooling.max(Some(until));
        (!was_cooling).then_some(Transition { to: To::Cooling { wait }, generation: self.generation })
    }

    /// Up to a tenth longer, so that not all callers come back at once, and never beyond the cap. A hint beyond the cap is
    /// not obeyed to the letter anyway: there the tenth is taken off.
    fn jittered(&mut self, wait: Duration) -> Duration {
        let cap = self.rules.max_cooldown;
        let share = self.chance.f64() * 0.1;
        if wait >= cap { cap - cap.mul_f64(share) } else { (wait + wait.mul_f64(share)).min(cap) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

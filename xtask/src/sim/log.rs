//! What happened in a world: every call, every attempt, and a trace that is the same for the same seed.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mainstay_provider_core::{Call, End, Error, ErrorKind, Event, Events, Outcome};
use tokio::time::Instant;

use super::amplification::Amplification;
use super::chance::{FNV_OFFSET, FNV_PRIME};
use super::fault::Fault;
use super::plan::Prefill;

/// The log of one world. Cloning copies a pointer.
#[derive(Clone)]
pub(super) struct Log(Arc<Mutex<Inner>>);

struct Inner {
    began: Instant,
    hash: u64,
    prints: bool,
    calls: Vec<CallLog>,
    jumps: Vec<(Instant, Duration)>,
    amplification: Amplification,
    violations: Vec<Violation>,
    seen: BTreeMap<&'static str, u64>,
}

/// A promise that was not kept.
#[derive(Debug, Clone)]
pub(super) struct Violation {
    pub(super) invariant: Invariant,
    pub(super) what: String,
}

/// What must hold in every world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Invariant {
    /// Nothing is held when nothing is under way.
    LostPermit,
    /// A breaker is closed again some time after the faults have stopped.
    StuckOpen,
    /// Extra attempts stay within the budget.
    Amplification,
    /// Each call and each attempt ends exactly once, and the attempts of a call not after it.
    OneEnd,
    /// What ends without an error is the whole answer, once.
    WholeAnswer,
    /// Every error is one that the faults explain.
    ExplainedError,
    /// No call lasts longer than its timers and waits allow.
    Bounded,
    /// Some failures end the matter, for their deployment or for the call.
    AskedAgain,
    /// After the faults have stopped every call succeeds.
    Liveness,
    /// The same seed gives the same trace.
    Determinism,
    /// Who is called was found ready.
    Readiness,
}

impl Invariant {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::LostPermit => "no lost permit",
            Self::StuckOpen => "no stuck breaker",
            Self::Amplification => "amplification bound (T1)",
            Self::OneEnd => "exactly one end",
            Self::WholeAnswer => "the whole answer once",
            Self::ExplainedError => "every error is explained",
            Self::Bounded => "no call outlasts its bound",
            Self::AskedAgain => "not asked again in vain",
            Self::Liveness => "served again after the faults",
            Self::Determinism => "the same seed, the same trace",
            Self::Readiness => "only who is ready is called",
        }
    }
}

/// One call.
#[derive(Debug, Clone, Default)]
pub(super) struct CallLog {
    pub(super) began: Option<Instant>,
    pub(super) attempts: Vec<AttemptLog>,
    /// The place of the model that was asked last.
    pub(super) place: usize,
    /// Whether a limit of ours refused it since it last came to a provider.
    pub(super) is_refused: bool,
    /// The kinds of errors that its attempts explain.
    pub(super) explained: Vec<ErrorKind>,
    /// Whether a provider panicked in it.
    pub(super) panics: bool,
    /// How often the stack beneath the rescue was asked.
    pub(super) legs: u32,
    /// Whether a reply was given.
    pub(super) replied: bool,
    /// How the reply ended, as its hook was told.
    pub(super) ends: Vec<HowEnded>,
    /// For how long the caller did not read.
    pub(super) paused: Duration,
    /// What gates and breakers had refused when it began.
    pub(super) limited_before: u64,
    pub(super) refused_before: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HowEnded {
    Complete,
    Failed(ErrorKind),
    Dropped,
}

/// One attempt, as the provider saw it.
#[derive(Debug, Clone)]
pub(super) struct AttemptLog {
    pub(super) deployment: usize,
    pub(super) fault: Fault,
    pub(super) began: Instant,
    pub(super) messages: usize,
    pub(super) is_prefill: bool,
    pub(super) variant: u32,
    /// Which time it was that the stack beneath the rescue was asked, from 1.
    pub(super) leg: u32,
    /// How often and how it was settled.
    pub(super) settled: u32,
    pub(super) how: Option<Settled>,
    pub(super) ended: Option<Instant>,
    /// Whether it gave a reply, and how often that ended.
    pub(super) replied: bool,
    pub(super) ends: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Done,
    Failed(ErrorKind),
    Dropped,
    Panicked,
}

/// What an attempt brings.
pub(super) struct Asked {
    pub(super) call: usize,
    pub(super) deployment: usize,
    /// The place of its model among those that the call may go to; 0 is the model asked for.
    pub(super) place: usize,
    pub(super) messages: usize,
    pub(super) is_prefill: bool,
}

/// An attempt's place in the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttemptId {
    pub(super) call: usize,
    pub(super) attempt: usize,
}

impl Log {
    pub(super) fn new(amplification: Amplification, prints: bool) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            began: Instant::now(),
            hash: FNV_OFFSET,
            prints,
            calls: Vec::new(),
            jumps: Vec::new(),
            amplification,
            violations: Vec::new(),
            seen: BTreeMap::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A provider that panics does so without the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line of the trace.
    pub(super) fn tell(&self, line: fmt::Arguments<'_>) {
        self.lock().tell(line);
    }

    /// Since the beginning of the world.
    pub(super) fn now(&self) -> Duration {
        self.lock().began.elapsed()
    }

    pub(super) fn violate(&self, invariant: Invariant, what: String) {
        self.lock().violate(invariant, what);
    }

    /// Counts something that was seen.
    pub(super) fn saw(&self, what: &'static str) {
        *self.lock().seen.entry(what).or_default() += 1;
    }

    /// Where the layers send their events.
    pub(super) fn events(&self) -> Events {
        let log = self.clone();
        Events::to(move |Event { name, attributes, .. }| {
            let mut inner = log.lock();
            *inner.seen.entry(name).or_default() += 1;
            inner.tell(format_args!("{name} {attributes:?}"));
        })
    }

    pub(super) fn call_begins(&self, call: usize, limited: u64, refused: u64) {
        let mut inner = self.lock();
        if inner.calls.len() <= call {
            inner.calls.resize(call + 1, CallLog::default());
        }
        let log = &mut inner.calls[call];
        log.began = Some(Instant::now());
        (log.limited_before, log.refused_before) = (limited, refused);
        inner.amplification.call();
    }

    pub(super) fn leg_begins(&self, call: usize) {
        let mut inner = self.lock();
        inner.calls[call].legs += 1;
        let legs = inner.calls[call].legs;
        if legs > 1 {
            inner.amplification.leg(call);
            inner.tell(format_args!("call {call}: leg {legs}"));
        }
    }

    /// A rate limit or a bulkhead refused it.
    pub(super) fn refused(&self, call: usize, error: &Error) {
        let mut inner = self.lock();
        inner.calls[call].is_refused = true;
        inner.tell(format_args!("call {call}: {error}"));
    }

    pub(super) fn replied(&self, call: usize) {
        self.lock().calls[call].replied = true;
    }

    /// The outermost hook was called.
    pub(super) fn call_ended(&self, call: usize, end: &End) {
        let how = match &end.outcome {
            Outcome::Complete => HowEnded::Complete,
            Outcome::Failed(error) => HowEnded::Failed(error.kind()),
            _ => HowEnded::Dropped,
        };
        let mut inner = self.lock();
        inner.tell(format_args!("call {call}: end {how:?}, {} chunks, {:?}", end.content_chunks, end.usage));
        let open = inner.calls[call].open_attempts();
        if open > 0 {
            let what = format!("call {call}: told its end while {open} of its attempts were under way");
            inner.violate(Invariant::OneEnd, what);
        }
        inner.calls[call].ends.push(how);
    }

    pub(super) fn paused(&self, call: usize, time: Duration) {
        self.lock().calls[call].paused += time;
    }

    /// A provider is asked.
    pub(super) fn attempt_begins(&self, asked: &Asked, fault: Fault, variant: u32) -> AttemptId {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let Asked { call, deployment, messages, is_prefill, .. } = *asked;
        *inner.seen.entry(fault.name()).or_default() += 1;
        let before = inner.amplification.extra();
        let bounded = inner.amplification.attempt(asked, &mut inner.calls[call]);
        let (extra, left) = (inner.amplification.extra(), inner.amplification.left());
        inner.tell(format_args!(
            "call {call}: attempt at {deployment}, {messages} messages{}: {}{}",
            if is_prefill { ", to go on" } else { "" },
            fault.name(),
            if extra > before {
                format!(" (beyond the first: {extra}; left: {left})")
            } else {
                String::new()
            },
        ));
        if let Err(what) = bounded {
            inner.violate(Invariant::Amplification, what);
        }
        let leg = inner.calls[call].legs;
        let attempts = &mut inner.calls[call].attempts;
        attempts.push(AttemptLog {
            leg,
            deployment,
            fault,
            began: Instant::now(),
            messages,
            is_prefill,
            variant,
            settled: 0,
            how: None,
            ended: None,
            replied: false,
            ends: 0,
        });
        AttemptId { call, attempt: attempts.len() - 1 }
    }

    /// What the caller may get to see of an attempt.
    pub(super) fn explains(&self, id: AttemptId, kinds: &[ErrorKind], panics: bool) {
        let mut inner = self.lock();
        let call = &mut inner.calls[id.call];
        call.explained.extend(kinds);
        call.panics |= panics;
    }

    pub(super) fn settle(&self, id: AttemptId, how: Settled) {
        let mut inner = self.lock();
        inner.tell(format_args!("call {}: attempt {} {how:?}", id.call, id.attempt + 1));
        let attempt = &mut inner.calls[id.call].attempts[id.attempt];
        attempt.settled += 1;
        attempt.how = Some(how);
        attempt.ended = Some(Instant::now());
    }

    pub(super) fn attempt_replied(&self, id: AttemptId) {
        self.lock().calls[id.call].attempts[id.attempt].replied = true;
    }

    /// The innermost hook was called.
    pub(super) fn attempt_ended(&self, id: AttemptId) {
        self.lock().calls[id.call].attempts[id.attempt].ends += 1;
    }

    pub(super) fn jumped(&self, by: Duration) {
        let mut inner = self.lock();
        inner.tell(format_args!("the clock jumps by {by:?}"));
        inner.jumps.push((Instant::now(), by));
    }

    /// How far the clock has jumped since then.
    pub(super) fn jumped_since(&self, since: Instant) -> Duration {
        self.lock().jumps.iter().filter(|(at, _)| *at >= since).map(|(_, by)| *by).sum()
    }

    pub(super) fn call(&self, call: usize) -> CallLog {
        self.lock().calls[call].clone()
    }

    /// Looks at all calls.
    pub(super) fn look<T>(&self, look: impl FnOnce(&[CallLog]) -> T) -> T {
        look(&self.lock().calls)
    }

    pub(super) fn finish(&self) -> Report {
        let inner = self.lock();
        let mut seen = inner.seen.clone();
        let attempts: usize = inner.calls.iter().map(|call| call.attempts.len()).sum();
        seen.extend(inner.amplification.figures());
        seen.insert("attempts", attempts as u64);
        seen.insert("simulated seconds", inner.began.elapsed().as_secs());
        Report { hash: inner.hash, violations: inner.violations.clone(), seen }
    }
}

/// What came of a world.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) hash: u64,
    pub(super) violations: Vec<Violation>,
    pub(super) seen: BTreeMap<&'static str, u64>,
}

impl Inner {
    fn tell(&mut self, line: fmt::Arguments<'_>) {
        let now = self.began.elapsed();
        let mut hashing = Hashing(self.hash);
        // The hash takes whatever comes.
        let _hashed = writeln!(hashing, "{} {line}", now.as_nanos());
        self.hash = hashing.0;
        if self.prints {
            println!("{:>10.3}  {line}", now.as_secs_f64());
        }
    }

    fn violate(&mut self, invariant: Invariant, what: String) {
        self.tell(format_args!("VIOLATION of {}: {what}", invariant.name()));
        if self.violations.len() < 20 {
            self.violations.push(Violation { invariant, what });
        }
    }
}

impl CallLog {
    pub(super) fn open_attempts(&self) -> usize {
        self.attempts.iter().filter(|attempt| attempt.settled == 0).count()
    }

    /// The variants of the answer that somebody may have begun with.
    pub(super) fn variants(&self) -> impl Iterator<Item = u32> + '_ {
        std::iter::once(0).chain(self.attempts.iter().map(|attempt| attempt.variant))
    }
}

impl Asked {
    /// What an attempt at this deployment brings; `None` when it is no call of the simulation.
    pub(super) fn of(call: &Call, deployment: usize, place: usize) -> Option<Self> {
        let id = call.context().id.parse().ok()?;
        let messages = &call.request().messages;
        let is_prefill =
            messages.last().is_some_and(|last| last.role == mainstay_provider_core::chat::Role::Assistant);
        Some(Self { call: id, deployment, place, messages: messages.len(), is_prefill })
    }
}

impl Prefill {
    /// Whether the router believes that it goes on from one.
    pub(super) fn is_declared(self) -> bool {
        self != Self::Refused
    }
}

/// FNV-1a over what is written.
struct Hashing(u64);

impl fmt::Write for Hashing {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = text.bytes().fold(self.0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
        Ok(())
    }
}

/// An error in a line of the trace.
pub(super) struct Told<'a>(pub(super) &'a Error);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) next {:?}", self.0, self.0.message(), self.0.next())?;
        for attempt in self.0.attempts() {
            write!(f, "; {attempt}")?;
        }
        Ok(())
    }
}

//! What the router knows of a deployment from the calls that it sent there. Nothing here takes a lock.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// What kind of answer a call wants. Each has a time of its own: a whole answer takes as long as its text, the first
/// token of a stream does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Stream,
    Whole,
    Embed,
}

impl Lane {
    pub(crate) fn of(is_stream: bool) -> Self {
        if is_stream { Self::Stream } else { Self::Whole }
    }
}

/// The time since the router was made, in steps of 4 ms. It wraps after 198 days, which only makes a number that was
/// not touched for 99 days look young.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    born: Instant,
}

/// A moment of a [`Clock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tick(u32);

impl Clock {
    pub(crate) fn new() -> Self {
        Self { born: Instant::now() }
    }

    pub(crate) fn tick(&self, now: Instant) -> Tick {
        let since = now.saturating_duration_since(self.born);
        let ticks = since.as_secs() * TICKS_PER_SECOND + u64::from(since.subsec_millis()) / TICK_MS;
        // Wraps, as said above.
        Tick(ticks as u32)
    }
}

impl Tick {
    /// The time from `earlier` to here, in seconds; zero if it was later.
    pub(crate) fn since(self, earlier: Self) -> f32 {
        let ticks = self.0.wrapping_sub(earlier.0);
        if ticks > u32::MAX / 2 { 0.0 } else { ticks as f32 / TICKS_PER_SECOND as f32 }
    }

    /// The time since the router was made, in whole seconds.
    pub(crate) fn seconds(self) -> u64 {
        u64::from(self.0) / TICKS_PER_SECOND
    }

    /// Whether it is not before `other`.
    pub(crate) fn is_from(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0) <= u32::MAX / 2
    }
}

const TICK_MS: u64 = 4;
const TICKS_PER_SECOND: u64 = 1_000 / TICK_MS;

/// A number and the moment at which it was set, in one word.
#[derive(Debug, Default)]
struct Stamped(AtomicU64);

impl Stamped {
    fn read(&self) -> Option<(f32, Tick)> {
        Self::unpack(self.0.load(Ordering::Relaxed))
    }

    fn set(&self, value: f32, at: Tick) {
        self.0.store(Self::pack((value, at)), Ordering::Relaxed);
    }

    /// Sets what `change` makes of it; `None` leaves it.
    fn update(&self, change: impl Fn(Option<(f32, Tick)>) -> Option<(f32, Tick)>) -> bool {
        let change = |word| change(Self::unpack(word)).map(Self::pack);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }

    fn unpack(word: u64) -> Option<(f32, Tick)> {
        // The halves of the word.
        (word != 0).then(|| (f32::from_bits((word >> 32) as u32), Tick(word as u32)))
    }

    fn pack((value, at): (f32, Tick)) -> u64 {
        let word = u64::from(value.to_bits()) << 32 | u64::from(at.0);
        // Zero is the word for "never set"; only a zero of the first 4 ms would be it.
        word.max(1)
    }
}

/// What the router knows of one deployment.
#[derive(Debug)]
pub(crate) struct Load {
    clock: Clock,
    /// How fast old observations lose weight, in seconds.
    decay: f32,
    in_flight: AtomicU32,
    /// Calls whose first token has not come, by lane.
    waiting: [AtomicU32; 3],
    /// When the last first token came, or else when the first of those who wait for one was sent, by lane.
    heard: [Stamped; 3],
    /// Peak-EWMA of the time to the first token, in seconds: streams, whole answers, embeddings.
    first_token: [Stamped; 3],
    /// Since when such times have been coming in without a long pause, by lane.
    known_since: [Stamped; 3],
    /// The share of the last calls that failed.
    failing: Stamped,
    /// Calls sent of late.
    recent: Stamped,
    last_token: Stamped,
    last_trial: Stamped,
    sent: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    hedges: AtomicU64,
}

/// The expected time to the first token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    /// In seconds, as far as it has decayed; `None` before the first answer.
    pub(crate) seconds: Option<f32>,
    /// Whether it can be relied on: the last answer is younger than the decay time, and it was not the only one.
    pub(crate) is_fresh: bool,
}

/// What was counted since the router was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) failed: u64,
    pub(crate) refused: u64,
    pub(crate) hedges: u64,
}

impl Load {
    pub(crate) fn new(clock: Clock, decay: Duration) -> Self {
        Self {
            clock,
            decay: decay.as_secs_f32(),
            in_flight: AtomicU32::new(0),
            waiting: Default::default(),
            heard: Default::default(),
            first_token: Default::default(),
            known_since: Default::default(),
            failing: Stamped::default(),
            recent: Stamped::default(),
            last_token: Stamped::default(),
            last_trial: Stamped::default(),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            hedges: AtomicU64::new(0),
        }
    }

    pub(crate) fn tick(&self, now: Instant) -> Tick {
        self.clock.tick(now)
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            sent: self.sent.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            hedges: self.hedges.load(Ordering::Relaxed),
        }
    }

    /// Calls whose first token, or whose whole answer, has not come.
    pub(crate) fn waiting(&self, lane: Lane) -> u32 {
        self.waiting[lane as usize].load(Ordering::Relaxed)
    }

    /// What a reader expects of the next call. It decays while nothing is sent, so that a deployment that was slow is
    /// tried again; it is not below the silence of one that is waited for, so that one that hangs is left alone soon.
    pub(crate) fn first_token(&self, lane: Lane, now: Tick) -> Estimate {
        let silence = self.silence(lane, now);
        match self.first_token[lane as usize].read() {
            None => Estimate { seconds: None, is_fresh: false },
            Some((seconds, at)) => {
                let age = now.since(at);
                let known_for =
                    self.known_since[lane as usize].read().map_or(0.0, |(_, since)| now.since(since));
                Estimate {
                    seconds: Some((seconds * self.kept(age)).max(silence)),
                    is_fresh: age < self.decay && known_for >= self.decay * WARM_UP,
                }
            }
        }
    }

    /// How long nothing was heard while somebody waits for a first token.
    fn silence(&self, lane: Lane, now: Tick) -> f32 {
        if self.waiting(lane) == 0 {
            return 0.0;
        }
        self.heard[lane as usize].read().map_or(0.0, |(_, at)| now.since(at))
    }

    /// The share of the last calls that failed, 0 to 1; it decays while nothing is sent.
    pub(crate) fn failing(&self, now: Tick) -> f32 {
        self.failing.read().map_or(0.0, |(share, at)| share * self.kept(now.since(at)))
    }

    /// How many calls were sent in about the last minute.
    pub(crate) fn recent(&self, now: Tick) -> f32 {
        self.recent.read().map_or(0.0, |(calls, at)| calls * (-now.since(at) / RECENT).exp())
    }

    /// Whether somebody waits for a first token here, and none has come since `since`.
    pub(crate) fn is_silent_since(&self, since: Tick) -> bool {
        self.waiting(Lane::Stream) > 0 && self.last_token.read().is_none_or(|(_, at)| !at.is_from(since))
    }

    /// Whether the caller is the one who sends the trial call to a half-open deployment: one a second is.
    pub(crate) fn take_trial(&self, now: Tick) -> bool {
        self.last_trial.update(|last| self.is_due(last, now).then_some((1.0, now)))
    }

    /// Whether the next caller would be.
    pub(crate) fn is_trial_due(&self, now: Tick) -> bool {
        self.is_due(self.last_trial.read(), now)
    }

    fn is_due(&self, last: Option<(f32, Tick)>, now: Tick) -> bool {
        last.is_none_or(|(_, at)| now.since(at) >= BETWEEN_TRIALS)
    }

    pub(crate) fn begin(&self, lane: Lane, now: Tick) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        if self.waiting[lane as usize].fetch_add(1, Ordering::Relaxed) == 0 {
            self.heard[lane as usize].set(1.0, now);
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_recent(&self, now: Tick) {
        self.recent.update(|old| {
            let kept = old.map_or(0.0, |(calls, at)| calls * (-now.since(at) / RECENT).exp());
            Some((kept + 1.0, now))
        });
    }

    pub(crate) fn stop_waiting(&self, lane: Lane) {
        self.waiting[lane as usize].fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// It was refused before it was sent.
    pub(crate) fn refuse(&self) {
        self.sent.fetch_sub(1, Ordering::Relaxed);
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_hedge(&self) {
        self.hedges.fetch_add(1, Ordering::Relaxed);
    }

    /// A first token came. Of two at once either moment is as good.
    pub(crate) fn hear(&self, lane: Lane, now: Tick) {
        self.heard[lane as usize].set(1.0, now);
        if lane == Lane::Stream {
            self.last_token.set(1.0, now);
        }
    }

    /// A first token came after `took`, or has not come after that time.
    pub(crate) fn observe(&self, lane: Lane, took: Duration, now: Tick) {
        let took = took.as_secs_f32();
        let last = self.first_token[lane as usize].read();
        if last.is_none_or(|(_, at)| now.since(at) >= self.decay) {
            self.known_since[lane as usize].set(1.0, now);
        }
        self.first_token[lane as usize].update(|old| {
            let Some((old, at)) = old else { return Some((took, now)) };
            let age = now.since(at);
            let kept = self.kept(age);
            // A peak counts at once, what is lower only as the peak decays.
            if took >= old * kept {
                Some((took, now))
            } else if age < 2.0 / TICKS_PER_SECOND as f32 {
                None
            } else {
                Some((old * kept + took * (1.0 - kept), now))
            }
        });
    }

    pub(crate) fn observe_at_least(&self, lane: Lane, waited: Duration, now: Tick) {
        let known = self.first_token(lane, now).seconds.unwrap_or(0.0);
        if waited.as_secs_f32() > known {
            self.observe(lane, waited, now);
        }
    }

    pub(crate) fn succeed(&self, now: Tick) {
        // Nearly always there is nothing to forget, and then nothing is written.
        if self.failing.read().is_some_and(|(share, _)| share > 0.0) {
            self.failing.update(|old| {
                let share = old.map_or(0.0, |(share, at)| share * self.kept(now.since(at)));
                let share = share * (1.0 - OUTCOME_WEIGHT);
                Some((if share < 0.001 { 0.0 } else { share }, now))
            });
        }
    }

    pub(crate) fn fail(&self, now: Tick) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.failing.update(|old| {
            let share = old.map_or(0.0, |(share, at)| share * self.kept(now.since(at)));
            Some((share + (1.0 - share) * OUTCOME_WEIGHT, now))
        });
    }

    fn kept(&self, age: f32) -> f32 {
        if age == 0.0 { 1.0 } else { (-age / self.decay).exp() }
    }
}

/// For which part of the decay time answers must have come in before an estimate is relied on: the first few say little,
/// and next to the peaks of the others they look too good.
const WARM_UP: f32 = 0.1;
/// How much the outcome of one call counts in the share that fails.
const OUTCOME_WEIGHT: f32 = 0.3;
/// How fast sent calls are forgotten, in seconds.
const RECENT: f32 = 60.0;
/// In seconds.
const BETWEEN_TRIALS: f32 = 1.0;

#[cfg(test)]
mod tests;

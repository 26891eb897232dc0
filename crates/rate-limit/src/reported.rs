//! What a provider's headers say of one of its limits, and what follows for now.
//!
//! A header is news from the past: it was written when its call arrived, other calls of ours have been sent since, and
//! other processes spend from the same limit. So two figures are kept. `most` is a bound: the lowest of what any
//! report left, less what this process sent after it, plus what time has given back; no report raises it. The
//! estimate is that bound less what others have probably spent since the newest report.

use std::time::Duration;

use mainstay_provider_core::RateLimit;
use tokio::time::Instant;

use crate::cost::MOST_TOKENS;
use crate::ledger::WINDOW;

/// The limit of one dimension, as the provider reports it.
#[derive(Debug)]
pub(crate) struct Reported {
    limit: u64,
    /// The most that can be left, in millionths.
    most: i64,
    /// Up to when `most` has what time gives back.
    at: Instant,
    /// The call whose report `most` is counted from. What later calls reserved is corrected in it.
    base: u64,
    /// The last call that took from it.
    last: u64,
    refill: Refill,
    /// What a steady refill gives back.
    per_second: f64,
    /// What the reports speak for: above zero a steady refill, below zero one at the reset.
    vote: i32,
    resets_at: Instant,
    /// Whether no report has told `resets_at`.
    guessed: bool,
    /// The longest time to a reset, which a window lasts at least.
    period: Duration,
    /// Since when the window lasts. Reports of calls sent before tell of the one before.
    began: Instant,
    /// When the newest of the calls that reported was sent.
    newest: Instant,
    received: Instant,
    /// What `others` is learned against, and what `refill`.
    mark: Mark,
    vote_mark: Mark,
    /// Calls sent sooner are too near to the last one to learn from.
    next_look: Instant,
    /// What others spend a second.
    others: f64,
}

/// How a provider gives back what was spent. Headers do not say; two of them, some time apart, do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refill {
    /// Bit by bit: the reset is when all will be back (OpenAI, Anthropic, Groq).
    Steady,
    /// All at once, at the reset.
    AtReset,
}

/// A report to compare later ones with.
#[derive(Debug, Clone, Copy)]
struct Mark {
    sent: Instant,
    remaining: u64,
    reset: Option<f64>,
    /// All that this process had sent, that call included.
    total: u64,
}

/// Where a report comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    /// When its call was sent.
    pub(crate) sent: Instant,
    /// The call's number.
    pub(crate) sequence: u64,
    /// All that this process had sent, that call included.
    pub(crate) total: u64,
    /// What it sent since.
    pub(crate) after: u64,
    /// What calls under way may still use that the provider counts only when it is used.
    pub(crate) open: u64,
}

impl Reported {
    /// `None` when the headers say nothing to go by.
    pub(crate) fn new(told: &RateLimit, source: &Source, now: Instant) -> Option<Self> {
        let limit = told.limit.or(told.remaining)?.clamp(1, MOST_TOKENS);
        let remaining = told.remaining.unwrap_or(limit).min(limit);
        let mark = Mark { sent: source.sent, remaining, reset: seconds(told.reset), total: source.total };
        let (refill, vote) = first_guess(limit, &mark);
        Some(Self {
            limit,
            most: left(remaining, source),
            at: now,
            base: source.sequence,
            last: source.sequence,
            refill,
            per_second: limit as f64 / WINDOW.as_secs_f64(),
            vote,
            resets_at: now + told.reset.unwrap_or(WINDOW).min(LONGEST),
            guessed: told.reset.is_none(),
            period: told.reset.unwrap_or(WINDOW).clamp(WINDOW, LONGEST),
            began: source.sent,
            newest: source.sent,
            received: now,
            mark,
            vote_mark: mark,
            next_look: source.sent + Duration::from_secs(1),
            others: 0.0,
        })
    }

    /// Takes a report in, when it has [advanced](Self::advance) to `now`.
    pub(crate) fn observe(&mut self, told: &RateLimit, source: &Source, now: Instant) {
        if told.limit.is_none() && told.remaining.is_none() {
            return;
        }
        self.received = now;
        if let Some(limit) = told.limit {
            self.set_limit(limit.clamp(1, MOST_TOKENS));
        }
        let Some(remaining) = told.remaining.map(|remaining| remaining.min(self.limit)) else { return };
        if self.refill == Refill::AtReset && source.sent < self.began {
            return;
        }
        if source.sent > self.newest {
            self.newest = source.sent;
            self.learn(remaining, told.reset, source, now);
        }
        let most = left(remaining, source);
        if most < self.most {
            self.most = most;
            self.base = source.sequence;
        }
    }

    /// The provider refused a call for want of this.
    pub(crate) fn exhausted(&mut self, sequence: u64) {
        if self.most > 0 && sequence >= self.base {
            self.most = 0;
            self.base = sequence;
        }
    }

    /// Adds what time gives back.
    pub(crate) fn advance(&mut self, now: Instant) {
        match self.refill {
            Refill::Steady if self.most >= millionths(self.limit) => {}
            Refill::Steady => {
                let passed = now.saturating_duration_since(self.at).as_secs_f64();
                let given = (self.per_second * passed * MILLION) as i64;
                self.most = self.most.saturating_add(given).min(millionths(self.limit));
            }
            Refill::AtReset => {
                let late = now.saturating_duration_since(self.resets_at);
                if self.resets_at <= now {
                    let windows = late.as_secs() / self.period.as_secs().max(1);
                    let from = self.resets_at + self.period * u32::try_from(windows).unwrap_or(u32::MAX);
                    self.begin_window(from, from + self.period);
                    self.guessed = true;
                }
            }
        }
        self.at = self.at.max(now);
    }

    pub(crate) fn take(&mut self, sequence: u64, amount: u64) {
        self.last = sequence;
        self.most = self.most.saturating_sub(millionths(amount.min(self.limit)));
    }

    /// What call `sequence` took was in fact `actual`.
    pub(crate) fn correct(&mut self, sequence: u64, reserved: u64, actual: u64) {
        // A report that counts the call counts what it was.
        if sequence > self.base {
            let (reserved, actual) = (reserved.min(self.limit), actual.min(self.limit));
            let most = self.most.saturating_add(millionths(reserved)).saturating_sub(millionths(actual));
            self.most = most.min(millionths(self.limit));
        }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// What is probably left; below zero when more than that was sent.
    pub(crate) fn estimate(&self, now: Instant) -> f64 {
        let most = self.most as f64 / MILLION;
        if self.others <= 0.0 {
            return most;
        }
        let unseen = now.saturating_duration_since(self.newest.max(self.began));
        let unseen = match self.refill {
            // What the others do is old news after a while, and the refill goes on. What is held back for their busier
            // moments is held back once, and lost to nobody.
            Refill::Steady => unseen.min(OLD_NEWS) + BUSIER,
            Refill::AtReset => unseen,
        };
        most - self.others * unseen.as_secs_f64()
    }

    /// How long until `need` is probably there.
    pub(crate) fn wait(&self, need: u64, now: Instant) -> Duration {
        let missing = need as f64 - self.estimate(now);
        if missing <= 0.0 {
            return Duration::ZERO;
        }
        match self.refill {
            Refill::Steady => {
                let ours = (self.per_second - self.others()).max(self.per_second * LEAST_SHARE);
                Duration::try_from_secs_f64(missing / ours).unwrap_or(LONGEST).min(LONGEST)
            }
            Refill::AtReset => {
                // What a whole window does not hold comes in later ones.
                let laps = u32::try_from(need.saturating_sub(1) / self.limit).unwrap_or(u32::MAX);
                let reset = self.resets_at.saturating_duration_since(now).max(Duration::from_millis(1));
                reset + WINDOW.saturating_mul(laps).min(LONGEST)
            }
        }
    }

    /// How long until all is back, if nobody spends.
    pub(crate) fn reset(&self, now: Instant) -> Duration {
        match self.refill {
            Refill::Steady => {
                let missing = (self.limit as f64 - self.estimate(now)).max(0.0);
                Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(LONGEST).min(LONGEST)
            }
            Refill::AtReset => self.resets_at.saturating_duration_since(now),
        }
    }

    /// How long what is left lasts when this process spends `ours` a second; `None` for ever.
    pub(crate) fn time_to_exhaustion(&self, ours: f64, now: Instant) -> Option<Duration> {
        let back = if self.refill == Refill::Steady { self.per_second } else { 0.0 };
        let drain = ours + self.others() - back;
        (drain > 0.0).then(|| {
            let lasts = self.estimate(now).max(0.0) / drain;
            Duration::try_from_secs_f64(lasts).unwrap_or(LONGEST).min(LONGEST)
        })
    }

    /// What this process may spend a second, that what is left lasts until the reset: its share of it, which is that of
    /// its spending until now.
    ///
    /// Twice the even rate: what is left then shrinks with the square of the time, which is zero when the time is, and a
    /// busy moment that passes has held up fewer calls.
    pub(crate) fn pace(&self, ours: f64, now: Instant) -> f64 {
        let share = (ours / (ours + self.others())).max(LEAST_SHARE);
        let spread = 2.0 * self.estimate(now).max(0.0) / self.reset(now).as_secs_f64().max(0.1);
        let back = if self.refill == Refill::Steady { self.per_second } else { 0.0 };
        // It never stops calls; only an empty bucket does.
        share * (back + spread).max(self.per_second * LEAST_SHARE)
    }

    /// Whether nothing has been heard for so long that it says nothing any more.
    pub(crate) fn is_forgotten(&self, now: Instant) -> bool {
        let told_reset = !self.guessed && self.resets_at > now;
        now.saturating_duration_since(self.received) > REMEMBERED && !told_reset
    }

    fn others(&self) -> f64 {
        self.others.max(0.0)
    }

    fn set_limit(&mut self, limit: u64) {
        if limit != self.limit {
            self.per_second *= limit as f64 / self.limit as f64;
            self.limit = limit;
            self.most = self.most.min(millionths(limit));
        }
    }

    fn begin_window(&mut self, from: Instant, resets_at: Instant) {
        self.most = millionths(self.limit);
        self.base = self.last;
        self.began = from;
        self.resets_at = resets_at;
    }

    /// What a newer report tells beyond what is left.
    fn learn(&mut self, remaining: u64, reset: Option<Duration>, source: &Source, now: Instant) {
        if let Some(reset) = reset.map(|reset| reset.min(LONGEST)) {
            self.period = self.period.max(reset);
            self.learn_reset(now + reset, source);
        }
        if source.sent < self.next_look {
            return;
        }
        self.next_look = source.sent + Duration::from_secs(1);
        let mark = Mark { sent: source.sent, remaining, reset: seconds(reset), total: source.total };
        self.learn_refill(&mark);
        self.learn_others(&mark);
    }

    fn learn_reset(&mut self, at: Instant, source: &Source) {
        match self.refill {
            Refill::Steady => self.resets_at = at,
            // The window ended before its time was thought to be up.
            Refill::AtReset if !self.guessed && at > self.resets_at + WINDOW / 4 => {
                self.begin_window(source.sent, at);
            }
            Refill::AtReset if self.guessed => self.resets_at = at,
            // Each was on its way for a while, so the soonest is the nearest.
            Refill::AtReset => self.resets_at = self.resets_at.min(at),
        }
        self.guessed = false;
    }

    /// A steady refill moves the reset away as much is spent; a window ends when it ends.
    fn learn_refill(&mut self, mark: &Mark) {
        let passed = mark.since(&self.vote_mark);
        let (Some(was), Some(is)) = (self.vote_mark.reset, mark.reset) else {
            self.vote_mark = *mark;
            return;
        };
        let missing_then = self.limit.saturating_sub(self.vote_mark.remaining) as f64;
        let missing = self.limit.saturating_sub(mark.remaining) as f64;
        // What is told in whole seconds may be almost one off.
        let unsure = if was.fract() == 0.0 && is.fract() == 0.0 { 1.0 } else { 0.25 };
        let mut clear = was <= passed || missing_then == 0.0;
        if !clear {
            let steady = (is - was * missing / missing_then).abs();
            let at_reset = (is - (was - passed)).abs();
            clear = (steady - at_reset).abs() > unsure;
            if clear {
                let vote = if steady < at_reset { 1 } else { -1 };
                self.vote = (self.vote + vote).clamp(-MOST_VOTES, MOST_VOTES);
            }
        }
        if clear || passed > 20.0 {
            self.vote_mark = *mark;
        }
        match (self.vote.signum(), self.refill) {
            (1, Refill::AtReset) => self.refill = Refill::Steady,
            (-1, Refill::Steady) => {
                self.refill = Refill::AtReset;
                self.began = mark.sent;
            }
            _ => {}
        }
        let enough = missing >= 10.0 && is >= 0.5;
        if self.refill == Refill::Steady && enough {
            let told = missing / is;
            let far_off = !(0.5..2.0).contains(&(told / self.per_second));
            self.per_second = if far_off { told } else { self.per_second + 0.2 * (told - self.per_second) };
        }
    }

    fn learn_others(&mut self, mark: &Mark) {
        let passed = mark.since(&self.mark);
        let was = std::mem::replace(&mut self.mark, *mark);
        let (then, now) = (was.remaining as f64, mark.remaining as f64);
        let gone = match self.refill {
            // A bucket that was full meanwhile hides what was spent.
            Refill::Steady if then.max(now) > 0.8 * self.limit as f64 => return,
            Refill::Steady => then - now + self.per_second * passed,
            Refill::AtReset if was.sent < self.began || now > then => return,
            Refill::AtReset => then - now,
        };
        let ours = mark.total.wrapping_sub(was.total) as f64;
        let news = 1.0 - (-passed / 10.0).exp();
        self.others += news * ((gone - ours) / passed - self.others);
    }
}

impl Mark {
    /// Seconds from the other to this one.
    fn since(&self, other: &Self) -> f64 {
        self.sent.saturating_duration_since(other.sent).as_secs_f64()
    }
}

const MILLION: f64 = 1e6;
/// Of a refill that others use up, and of a pace, so much at least is taken to be ours.
const LEAST_SHARE: f64 = 0.05;
/// How long the spending of others is taken to go on as it was.
const OLD_NEWS: Duration = Duration::from_secs(10);
/// So much of what others spend is held back for when they spend more.
const BUSIER: Duration = Duration::from_secs(1);
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
const MOST_VOTES: i32 = 3;
/// A reset that lies further ahead is a slip.
const LONGEST: Duration = Duration::from_secs(32 * 24 * 60 * 60);

/// Most limits are a minute's: then the reset of a steady refill follows from what is missing.
fn first_guess(limit: u64, mark: &Mark) -> (Refill, i32) {
    let Some(reset) = mark.reset else { return (Refill::Steady, 0) };
    let missing = (limit - mark.remaining) as f64 / limit as f64;
    let steady = missing * WINDOW.as_secs_f64();
    if (reset - steady).abs() <= 1.1 + 0.1 * reset { (Refill::Steady, 2) } else { (Refill::AtReset, -2) }
}

fn left(remaining: u64, source: &Source) -> i64 {
    millionths(remaining).saturating_sub(millionths(source.after.saturating_add(source.open)))
}

fn millionths(amount: u64) -> i64 {
    i64::try_from(amount.min(MOST_TOKENS)).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

fn seconds(reset: Option<Duration>) -> Option<f64> {
    reset.map(|reset| reset.min(LONGEST).as_secs_f64())
}

#[cfg(test)]
mod tests;

//! A second deployment is asked when the first is slow.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_provider_core::{Allowance, Availability};
use tokio::time::Instant;

use crate::config::{InvalidConfig, Price};
use crate::group::{Group, Member};
use crate::quantile::Histogram;

/// When a second deployment of the model is asked because the first token of a stream is late: after the 95th
/// percentile of the last times to a first token. The first answer wins, the other leg is dropped at once.
///
/// It costs at most a share more, in requests and in money: every streaming call deposits that share of a call, a hedge
/// takes out a whole one, or as many times one as its deployment is dearer. It never happens while a deployment of the
/// model is not ready or has less than a fifth of its rate limits left, nor to a deployment that is silent itself.
#[derive(Clone)]
#[must_use]
pub struct Hedging {
    floor: Duration,
    samples: u32,
    extra: f64,
    allowance: Option<Arc<dyn Allowance>>,
}

impl Default for Hedging {
    fn default() -> Self {
        Self { floor: Duration::from_millis(200), samples: 100, extra: 0.05, allowance: None }
    }
}

impl Hedging {
    /// The defaults: not before 200 ms, not before 100 answers were seen, at most 5 % more.
    pub fn new() -> Self {
        Self::default()
    }

    /// No hedge is sent sooner than this; 200 ms when not set.
    pub fn floor(mut self, shortest: Duration) -> Self {
        self.floor = shortest;
        self
    }

    /// How many first tokens must have been seen before anything is hedged; 100 when not set, and not fewer.
    pub fn samples(mut self, samples: u32) -> Self {
        self.samples = samples;
        self
    }

    /// How much more may be sent, in requests and in money; 0.05 when not set, and not more than 0.5.
    pub fn extra(mut self, share: f64) -> Self {
        self.extra = share;
        self
    }

    /// What each hedge draws on besides: the budget of the retries. Nothing when not set.
    pub fn allowance(mut self, shared: impl Allowance + 'static) -> Self {
        self.allowance = Some(Arc::new(shared));
        self
    }

    pub(crate) fn check(&self) -> Result<(), InvalidConfig> {
        if !(self.extra > 0.0 && self.extra <= 0.5) {
            return Err(InvalidConfig::Hedging("extra must be above 0 and at most 0.5"));
        }
        if self.samples < 100 {
            return Err(InvalidConfig::Hedging("fewer than 100 samples say nothing of a percentile"));
        }
        if self.samples > 1_000 {
            return Err(InvalidConfig::Hedging("more than 1,000 samples are not kept"));
        }
        Ok(())
    }
}

impl fmt::Debug for Hedging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedging")
            .field("floor", &self.floor)
            .field("samples", &self.samples)
            .field("extra", &self.extra)
            .field("allowance", &self.allowance.is_some())
            .finish()
    }
}

/// When the calls of one model are hedged, and what is left for that.
pub(crate) struct Pace {
    config: Hedging,
    times: Mutex<Histogram>,
    /// The delay in nanoseconds; 0 while it is not known.
    delay: AtomicU64,
    /// Thousandths of a call.
    left: AtomicI64,
}

impl Pace {
    pub(crate) fn new(config: Hedging) -> Self {
        let (delay, left) = (AtomicU64::new(0), AtomicI64::new(0));
        Self { config, times: Mutex::new(Histogram::new()), delay, left }
    }

    /// How long a first token is waited for; `None` while too few were seen.
    pub(crate) fn delay(&self) -> Option<Duration> {
        let nanoseconds = self.delay.load(Ordering::Relaxed);
        (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds).max(self.config.floor))
    }

    /// A call is sent, hedged or not.
    pub(crate) fn deposit(&self) {
        // Thousandths of at most a half.
        let part = (self.config.extra * CALL as f64) as i64;
        let filled = |left: i64| (left < MOST_LEFT).then(|| (left + part).min(MOST_LEFT));
        // It is full: nothing is added.
        let _full = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, filled);
    }

    /// The first leg lost after this time. It would have taken longer; how much, nobody will know. It counts as somewhat
    /// longer: so the percentile rises while more calls are late than it says, and never by what was not seen.
    pub(crate) fn record_lost(&self, delay: Duration) {
        self.record(delay.mul_f64(1.1));
    }

    /// A first token came after this time.
    pub(crate) fn record(&self, time: Duration) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.record(time);
        if times.len() >= self.config.samples && times.len().is_multiple_of(10) {
            let delay = times.quantile(PERCENTILE).as_nanos();
            self.delay.store(u64::try_from(delay).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Takes a hedge out, if there is one left that may cost so many times what the call costs.
    pub(crate) fn withdraw(&self, times_dearer: f64) -> bool {
        // Held to what is ever there, so it fits.
        let price = (CALL as f64 * times_dearer.clamp(1.0, 1_000.0)) as i64;
        let taken = |left: i64| (left >= price).then(|| left - price);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_err() {
            return false;
        }
        let is_allowed = self.config.allowance.as_ref().is_none_or(|allowance| allowance.withdraw());
        if !is_allowed {
            self.left.fetch_add(price, Ordering::Relaxed);
        }
        is_allowed
    }
}

const PERCENTILE: f64 = 0.95;
/// A call in the units of what is left.
const CALL: i64 = 1_000;
/// Ten calls.
const MOST_LEFT: i64 = 10 * CALL;

/// Whether a model is well enough for hedges: in an outage they only make it worse.
pub(crate) fn is_well(group: &Group, now: Instant) -> bool {
    group.members.iter().all(|member| {
        member.availability(now) == Availability::Ready && member.headroom(now) >= LEAST_HEADROOM
    })
}

/// Whether a second leg may go to a member: it has answered since the first leg was sent, or is idle, and does not fail.
pub(crate) fn is_alive(member: &Member, sent: Instant, now: Instant) -> bool {
    let load = &member.load;
    !load.is_silent_since(load.tick(sent)) && load.failing(load.tick(now)) < MOST_FAILING
}

/// How many times dearer one deployment is than another; 1 when nobody knows.
pub(crate) fn times_dearer(than: Option<Price>, other: Option<Price>) -> f64 {
    match (than, other) {
        (Some(than), Some(other)) if than.blended() > 0.0 => other.blended() / than.blended(),
        (Some(_), Some(other)) if other.blended() > 0.0 => f64::INFINITY,
        _ => 1.0,
    }
}

const LEAST_HEADROOM: f32 = 0.2;
const MOST_FAILING: f32 = 0.2;

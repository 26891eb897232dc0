//! The settings as data, checked once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mainstay_provider_core::Events;

use crate::policy::{BreakerPolicy, StandardPolicy};
use crate::pool::BreakerPool;

/// The settings of a breaker. Made by [`BreakerConfig::builder`]; what is made is right.
#[derive(Debug, Clone)]
pub struct BreakerConfig {
    pub(crate) deployment: Arc<str>,
    pub(crate) rules: Rules,
    pub(crate) slow: Option<Slow>,
    pub(crate) slow_models: HashMap<String, Slow>,
    pub(crate) fair_wait: Duration,
    pub(crate) policy: Arc<dyn BreakerPolicy>,
    pub(crate) events: Events,
    pub(crate) pool: Option<BreakerPool>,
    pub(crate) seed: Option<u64>,
}

/// What the state machine needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) failures: Option<u32>,
    pub(crate) allowed_fails: Option<u32>,
    pub(crate) rate: Option<FailureRate>,
    pub(crate) recovery: Duration,
    pub(crate) max_recovery: Duration,
    pub(crate) probes: u32,
    pub(crate) lease: Duration,
    pub(crate) max_cooldown: Duration,
    pub(crate) park_recheck: Option<Duration>,
}

impl BreakerConfig {
    /// Begins with the defaults.
    pub fn builder() -> BreakerBuilder {
        BreakerBuilder::default()
    }

    /// The slow-call thresholds for `model`.
    pub(crate) fn slow(&self, model: &str) -> Option<Slow> {
        if self.slow_models.is_empty() {
            return self.slow;
        }
        self.slow_models.get(model).copied().or(self.slow)
    }
}

impl Default for BreakerConfig {
    fn default() -> Self {
        BreakerBuilder::default().unchecked()
    }
}

/// Opens when too large a share of the calls of a sliding window failed.
///
/// Calls are counted when they are sent, and their failures among the calls that were sent with them. Calls still
/// running count as sent and not as failed. Rate limits without a hint count as failures here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FailureRate {
    pub(crate) ratio: f64,
    pub(crate) min_requests: u32,
    pub(crate) window: Duration,
    pub(crate) buckets: u32,
}

impl FailureRate {
    /// Opens at `ratio` (above 0, at most 1): 0.5 is half. Of at least 20 calls, in a window of 120 s in 12 buckets.
    pub fn new(ratio: f64) -> Self {
        Self { ratio, min_requests: 20, window: Duration::from_secs(120), buckets: 12 }
    }

    /// How many calls the window must hold before it says anything; 20 when not set.
    #[must_use]
    pub fn min_requests(mut self, requests: u32) -> Self {
        self.min_requests = requests;
        self
    }

    /// How long the window is; 120 s when not set. A call that runs longer is not counted, so it must be longer than
    /// the longest call, which is taken to be the [lease](BreakerBuilder::lease).
    #[must_use]
    pub fn window(mut self, length: Duration) -> Self {
        self.window = length;
        self
    }

    /// In how many steps old calls leave the window; 12 when not set.
    #[must_use]
    pub fn buckets(mut self, buckets: u32) -> Self {
        self.buckets = buckets;
        self
    }

    pub(crate) fn bucket(&self) -> Duration {
        self.window / self.buckets.max(1)
    }
}

/// From when on a stream is slow. A slow call counts as a failure.
///
/// Two clocks, since the whole time of a stream says how much the model wrote: the time to the first token, and the
/// longest wait between two chunks. A whole answer has neither, and is never slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slow {
    pub(crate) first_token: Option<Duration>,
    pub(crate) gap: Option<Duration>,
}

impl Slow {
    /// Slow when the first token comes later than this.
    pub fn first_token(longest: Duration) -> Self {
        Self { first_token: Some(longest), gap: None }
    }

    /// Slow when the caller waits longer than this between two chunks.
    pub fn gap(longest: Duration) -> Self {
        Self { first_token: None, gap: Some(longest) }
    }

    /// Slow when one or the other is.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { first_token: other.first_token.or(self.first_token), gap: other.gap.or(self.gap) }
    }
}

/// Builds a [`BreakerConfig`] or a [`BreakerLayer`](crate::BreakerLayer).
#[derive(Debug, Clone)]
#[must_use]
pub struct BreakerBuilder(BreakerConfig);

impl Default for BreakerBuilder {
    fn default() -> Self {
        Self(BreakerConfig {
            deployment: Arc::default(),
            rules: Rules {
                failures: Some(5),
                allowed_fails: None,
                rate: None,
                recovery: Duration::from_secs(60),
                max_recovery: Duration::ZERO,
                probes: 1,
                lease: Duration::from_secs(60),
                max_cooldown: Duration::from_secs(300),
                park_recheck: None,
            },
            slow: None,
            slow_models: HashMap::new(),
            fair_wait: Duration::from_secs(10),
            policy: Arc::new(StandardPolicy),
            events: Events::default(),
            pool: None,
            seed: None,
        })
    }
}

impl BreakerBuilder {
    /// The deployment's name, in events and refusals; empty when not set.
    pub fn deployment(mut self, name: impl Into<Arc<str>>) -> Self {
        self.0.deployment = name.into();
        self
    }

    /// Opens after so many failures in a row; 5 when not set, `None` to look at the rate only.
    pub fn failures(mut self, in_a_row: impl Into<Option<u32>>) -> Self {
        self.0.rules.failures = in_a_row.into();
        self
    }

    /// Opens when more calls than this failed within a minute, whatever succeeded between them; not when not set. This is
    /// what LiteLLM's router means by `allowed_fails`: with 3 the fourth failure opens it, with 0 the first.
    pub fn allowed_fails(mut self, a_minute: impl Into<Option<u32>>) -> Self {
        self.0.rules.allowed_fails = a_minute.into();
        self
    }

    /// Opens at a failure rate too; not when not set.
    pub fn failure_rate(mut self, rate: FailureRate) -> Self {
        self.0.rules.rate = Some(rate);
        self
    }

    /// How long it stays open before it lets probes through; 60 s when not set.
    pub fn recovery(mut self, time: Duration) -> Self {
        self.0.rules.recovery = time;
        self
    }

    /// Doubles the recovery time with each failed probe up to this; it does not grow when not set. It is the plain
    /// recovery time again after a recovery.
    pub fn max_recovery(mut self, longest: Duration) -> Self {
        self.0.rules.max_recovery = longest;
        self
    }

    /// How many probes are let through half-open; all must succeed to close. 1 when not set.
    pub fn probes(mut self, probes: u32) -> Self {
        self.0.rules.probes = probes;
        self
    }

    /// How long a probe keeps its place at most, sooner if its deadline is sooner; 60 s when not set. As long as the
    /// longest call: a probe that takes longer is given up and no longer judged.
    pub fn lease(mut self, longest: Duration) -> Self {
        self.0.rules.lease = longest;
        self
    }

    /// The longest wait that a 429 is obeyed for; 300 s when not set.
    pub fn max_cooldown(mut self, longest: Duration) -> Self {
        self.0.rules.max_cooldown = longest;
        self
    }

    /// Lets a probe through to a parked deployment after this time; never when not set. Keys do not heal, but credit
    /// is topped up.
    pub fn park_recheck(mut self, time: Duration) -> Self {
        self.0.rules.park_recheck = Some(time);
        self
    }

    /// Counts slow streams as failures; not when not set.
    pub fn slow(mut self, slow: Slow) -> Self {
        self.0.slow = Some(slow);
        self
    }

    /// Other thresholds for one model, by the name that the call has where the layer stands.
    pub fn slow_model(mut self, model: impl Into<String>, slow: Slow) -> Self {
        self.0.slow_models.insert(model.into(), slow);
        self
    }

    /// A call whose own deadline ends it sooner than this is not held against the deployment: a hurried caller must not
    /// cut off a healthy one. 10 s when not set.
    pub fn fair_wait(mut self, time: Duration) -> Self {
        self.0.fair_wait = time;
        self
    }

    /// Says what an error means; [`StandardPolicy`] when not set.
    pub fn policy(mut self, policy: impl BreakerPolicy + 'static) -> Self {
        self.0.policy = Arc::new(policy);
        self
    }

    /// Where changes of state are told; nowhere when not set.
    pub fn events(mut self, events: Events) -> Self {
        self.0.events = events;
        self
    }

    /// The pool of which only a share may be open; none when not set.
    pub fn pool(mut self, pool: BreakerPool) -> Self {
        self.0.pool = Some(pool);
        self
    }

    /// Makes the jitter the same in each run; random when not set.
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.seed = Some(seed);
        self
    }

    /// The configuration.
    ///
    /// # Errors
    /// A setting with which a breaker could not work; [`InvalidConfig`] says which.
    pub fn build_config(self) -> Result<BreakerConfig, InvalidConfig> {
        let config = self.unchecked();
        check(&config)?;
        Ok(config)
    }

    fn unchecked(self) -> BreakerConfig {
        let mut config = self.0;
        config.rules.max_recovery = config.rules.max_recovery.max(config.rules.recovery);
        config
    }
}

/// Why a configuration of a breaker is not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// Neither failures in a row, nor failures a minute, nor a failure rate open it.
    #[error("nothing opens the breaker: set failures, allowed_fails or a failure_rate")]
    NeverOpens,
    /// A number or a time that must not be zero is.
    #[error("{0} must be above zero")]
    Zero(&'static str),
    /// A time is longer than 30 days.
    #[error("{0} is longer than 30 days; check its unit")]
    TooLong(&'static str),
    /// A ratio is not above 0 and at most 1.
    #[error("the ratio of the failure_rate is {0}; it must be above 0 and at most 1")]
    Ratio(f64),
    /// Too many of something.
    #[error("{what} is {given}; at most {most} are possible")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many were asked for.
        given: u32,
        /// How many are possible.
        most: u32,
    },
    /// The window forgets a call before it may have ended.
    #[error("the window of {window:?} (less one of its buckets) is shorter than the longest call, {lease:?}")]
    WindowShorterThanCall {
        /// The window.
        window: Duration,
        /// The lease, which is the longest call.
        lease: Duration,
    },
}

const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const MOST_BUCKETS: u32 = 1_000;
const MOST_PROBES: u32 = 1_000;
/// Each of them is kept for a minute.
const MOST_ALLOWED: u32 = 10_000;

fn check(config: &BreakerConfig) -> Result<(), InvalidConfig> {
    let rules = &config.rules;
    if rules.failures.is_none() && rules.allowed_fails.is_none() && rules.rate.is_none() {
        return Err(InvalidConfig::NeverOpens);
    }
    at_least_one("failures", rules.failures.unwrap_or(1))?;
    at_most("allowed_fails", rules.allowed_fails.unwrap_or(0), MOST_ALLOWED)?;
    at_least_one("probes", rules.probes)?;
    at_most("probes", rules.probes, MOST_PROBES)?;
    time("recovery", rules.recovery)?;
    time("max_recovery", rules.max_recovery)?;
    time("lease", rules.lease)?;
    time("max_cooldown", rules.max_cooldown)?;
    if let Some(recheck) = rules.park_recheck {
        time("park_recheck", recheck)?;
    }
    if let Some(rate) = &rules.rate {
        check_rate(rate, rules.lease)?;
    }
    for slow in config.slow.iter().chain(config.slow_models.values()) {
        time("slow first_token", slow.first_token.unwrap_or(LONGEST))?;
        time("slow gap", slow.gap.unwrap_or(LONGEST))?;
    }
    Ok(())
}

fn check_rate(rate: &FailureRate, lease: Duration) -> Result<(), InvalidConfig> {
    if !(rate.ratio > 0.0 && rate.ratio <= 1.0) {
        return Err(InvalidConfig::Ratio(rate.ratio));
    }
    at_least_one("min_requests", rate.min_requests)?;
    at_least_one("buckets", rate.buckets)?;
    at_most("buckets", rate.buckets, MOST_BUCKETS)?;
    time("window", rate.window)?;
    time("window / buckets", rate.bucket())?;
    // A call sent at the end of a bucket is forgotten one bucket sooner than the window is long.
    if rate.window.saturating_sub(rate.bucket()) < lease {
        return Err(InvalidConfig::WindowShorterThanCall { window: rate.window, lease });
    }
    Ok(())
}

fn at_least_one(name: &'static str, number: u32) -> Result<(), InvalidConfig> {
    if number == 0 { Err(InvalidConfig::Zero(name)) } else { Ok(()) }
}

fn at_most(what: &'static str, given: u32, most: u32) -> Result<(), InvalidConfig> {
    if given > most { Err(InvalidConfig::TooMany { what, given, most }) } else { Ok(()) }
}

fn time(name: &'static str, time: Duration) -> Result<(), InvalidConfig> {
    match time {
        Duration::ZERO => Err(InvalidConfig::Zero(name)),
        time if time > LONGEST => Err(InvalidConfig::TooLong(name)),
        _ => Ok(()),
    }
}

//! The settings as data, checked once.

use std::sync::Arc;
use std::time::Duration;

use mainstay_provider_core::Events;

use crate::backoff::{Backoff, Jitter};
use crate::budget::RetryBudget;
use crate::policy::{RetryPolicy, StandardPolicy};
use crate::shorten::{Shorten, Summariser};

/// The settings of a retry layer. Made by [`RetryConfig::builder`]; what is made is right.
#[derive(Debug, Clone)]
pub struct RetryConfig {
    pub(crate) attempts: u32,
    pub(crate) backoff: Backoff,
    pub(crate) max_retry_after: Duration,
    pub(crate) min_attempt: Duration,
    pub(crate) budget: Option<RetryBudget>,
    pub(crate) shorten: Shorten,
    pub(crate) summariser: Option<Summariser>,
    pub(crate) reprompt: bool,
    pub(crate) policy: Arc<dyn RetryPolicy>,
    pub(crate) events: Events,
    pub(crate) seed: Option<u64>,
}

impl RetryConfig {
    /// Begins with the defaults of the bare layer (S2.2): 5 attempts, proportional jitter, no budget.
    pub fn builder() -> RetryBuilder {
        RetryBuilder::default()
    }

    /// What Mainstay's default stack uses: 3 attempts in all, full jitter, a [budget](RetryBudget) of its own, and
    /// conversations that are too long are shortened. [`RetryBuilder::standard`] begins with it.
    pub fn standard() -> Self {
        RetryBuilder::standard().0
    }

    /// The budget that retries draw on, to be shared with who hedges.
    pub fn budget(&self) -> Option<&RetryBudget> {
        self.budget.as_ref()
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        RetryBuilder::default().0
    }
}

/// Builds a [`RetryConfig`] or a [`RetryLayer`](crate::RetryLayer).
#[derive(Debug, Clone)]
#[must_use]
pub struct RetryBuilder(RetryConfig);

/// The bare layer's: S2.2.
impl Default for RetryBuilder {
    fn default() -> Self {
        let max_delay = Duration::from_secs(30);
        Self(RetryConfig {
            attempts: 5,
            backoff: Backoff { base: Duration::from_secs(1), max_delay, jitter: Jitter::Proportional },
            max_retry_after: max_delay,
            min_attempt: Duration::ZERO,
            budget: None,
            shorten: Shorten::Off,
            summariser: None,
            reprompt: true,
            policy: Arc::new(StandardPolicy),
            events: Events::default(),
            seed: None,
        })
    }
}

impl RetryBuilder {
    /// Begins with [`RetryConfig::standard`].
    pub fn standard() -> Self {
        Self::default()
            .attempts(3)
            .jitter(Jitter::Full)
            .budget(RetryBudget::default())
            .shorten(Shorten::DropOldest)
    }

    /// How often a deployment is asked at most, the first time included; 5 when not set, 3 in the standard. Attempts
    /// that others made before ([`ContextData::prior_attempts`](mainstay_provider_core::ContextData::prior_attempts))
    /// are taken off; one always remains.
    pub fn attempts(mut self, most: u32) -> Self {
        self.0.attempts = most;
        self
    }

    /// The first back off; it doubles each time. 1 s when not set.
    pub fn base(mut self, first: Duration) -> Self {
        self.0.backoff.base = first;
        self
    }

    /// The longest back off; 30 s when not set.
    pub fn max_delay(mut self, longest: Duration) -> Self {
        self.0.backoff.max_delay = longest;
        self
    }

    /// How waits are spread; [`Jitter::Proportional`] when not set, [`Jitter::Full`] in the standard.
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.0.backoff.jitter = jitter;
        self
    }

    /// The longest wait that a provider may ask for; 30 s when not set. Who asks for more is not asked again.
    pub fn max_retry_after(mut self, longest: Duration) -> Self {
        self.0.max_retry_after = longest;
        self
    }

    /// What an attempt takes at least: with less time left than that, none is begun (T5). Zero when not set; the usual
    /// time to the first token is a good figure.
    pub fn min_attempt(mut self, shortest: Duration) -> Self {
        self.0.min_attempt = shortest;
        self
    }

    /// What all calls together may spend on retries; without bound when not set, [`RetryBudget::default`] in the
    /// standard. Layers that share a budget share the bound.
    pub fn budget(mut self, budget: impl Into<Option<RetryBudget>>) -> Self {
        self.0.budget = budget.into();
        self
    }

    /// What is done with a conversation that is longer than the model's window; [`Shorten::Off`] when not set,
    /// [`Shorten::DropOldest`] in the standard.
    pub fn shorten(mut self, shorten: Shorten) -> Self {
        self.0.shorten = shorten;
        self
    }

    /// Who sums up what is left out of a conversation; nobody when not set.
    pub fn summariser(mut self, summariser: impl Into<Option<Summariser>>) -> Self {
        self.0.summariser = summariser.into();
        self
    }

    /// Whether an answer with a tool call that is not JSON is asked for again, once; it is when not set.
    pub fn reprompt(mut self, reprompt: bool) -> Self {
        self.0.reprompt = reprompt;
        self
    }

    /// Says what is done about an error; [`StandardPolicy`] when not set.
    pub fn policy(mut self, policy: impl RetryPolicy + 'static) -> Self {
        self.0.policy = Arc::new(policy);
        self
    }

    /// Where waits and failures are told; nowhere when not set.
    pub fn events(mut self, events: Events) -> Self {
        self.0.events = events;
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
    /// A setting with which the layer could not work; [`InvalidConfig`] says which.
    pub fn build_config(self) -> Result<RetryConfig, InvalidConfig> {
        check(&self.0)?;
        Ok(self.0)
    }
}

/// Why a configuration of retries is not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// There must be a first attempt, and there is an end.
    #[error("attempts is {0}; it must be 1 to 100")]
    Attempts(u32),
    /// A time that must not be zero is.
    #[error("{0} must be above zero")]
    Zero(&'static str),
    /// A time is longer than 30 days.
    #[error("{0} is longer than 30 days; check its unit")]
    TooLong(&'static str),
    /// The first wait would be longer than the longest.
    #[error("the base of {base:?} is longer than the max_delay of {max_delay:?}")]
    BaseAboveMaxDelay {
        /// The first back off.
        base: Duration,
        /// The longest.
        max_delay: Duration,
    },
    /// The share of a token that a request pays in is not above 0 and at most 1.
    #[error("the share of the budget is {0}; it must be above 0 and at most 1")]
    BudgetShare(f64),
    /// The tokens that a budget starts with are none or too many.
    #[error("the burst of the budget is {0}; it must be 1 to 1,000,000")]
    BudgetBurst(u32),
    /// Nothing is left out, so there is nothing to sum up.
    #[error("a summariser is set, but shorten is off: nothing is left out that it could sum up")]
    SummariserWithoutShorten,
}

/// Far above what makes sense; also the end of a call whose router never says `Nowhere`.
pub(crate) const MOST_ATTEMPTS: u32 = 100;
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

fn check(config: &RetryConfig) -> Result<(), InvalidConfig> {
    let Backoff { base, max_delay, .. } = config.backoff;
    if !(1..=MOST_ATTEMPTS).contains(&config.attempts) {
        return Err(InvalidConfig::Attempts(config.attempts));
    }
    let times = [
        ("base", base),
        ("max_delay", max_delay),
        ("max_retry_after", config.max_retry_after),
        ("min_attempt", config.min_attempt),
    ];
    for (name, time) in times {
        // An attempt may take no time, and a provider's word may be worth nothing.
        if time.is_zero() && matches!(name, "base" | "max_delay") {
            return Err(InvalidConfig::Zero(name));
        }
        if time > LONGEST {
            return Err(InvalidConfig::TooLong(name));
        }
    }
    if base > max_delay {
        return Err(InvalidConfig::BaseAboveMaxDelay { base, max_delay });
    }
    if config.summariser.is_some() && config.shorten == Shorten::Off {
        return Err(InvalidConfig::SummariserWithoutShorten);
    }
    Ok(())
}

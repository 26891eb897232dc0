//! The settings as data, checked once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainstay_provider_core::Events;

use crate::cost::{Amounts, Dimension, MOST_TOKENS};
use crate::estimate::{TextLength, TokenEstimator};

/// The settings of a rate limiter. Made by [`RateLimitConfig::builder`]; what is made is right.
#[derive(Clone)]
pub struct RateLimitConfig {
    pub(crate) deployment: Arc<str>,
    pub(crate) rules: Rules,
    pub(crate) max_wait: Duration,
    pub(crate) max_queue: usize,
    pub(crate) estimator: Arc<dyn TokenEstimator>,
    pub(crate) events: Events,
    pub(crate) seed: Option<u64>,
}

/// What the machine needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Of this process; `u64::MAX` for none.
    pub(crate) limits: Amounts,
    pub(crate) counting: Counting,
    pub(crate) expected_output: u64,
    pub(crate) max_pause: Duration,
    pub(crate) predict: bool,
    pub(crate) learn: bool,
}

/// Which tokens a provider counts against its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counting {
    pub(crate) output: OutputTokens,
    pub(crate) cached_input: bool,
}

/// When and how much of an answer a provider counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutputTokens {
    /// The asked `max_tokens` when the call arrives, what was used when it ends.
    #[default]
    Settled,
    /// What is used, as it is written; `max_tokens` counts nothing.
    AsWritten,
    /// The asked `max_tokens` when the call arrives, for good.
    AsAsked,
}

impl Counting {
    /// Counts output tokens so; input read from the provider's prompt cache is counted.
    pub fn new(output: OutputTokens) -> Self {
        Self { output, cached_input: true }
    }

    /// The same without input that was read from the provider's prompt cache.
    #[must_use]
    pub fn without_cached_input(mut self) -> Self {
        self.cached_input = false;
        self
    }

    /// As the provider of this name counts, by what is known of it: Anthropic counts output as it is written and no cached
    /// input, Groq no cached input, Cerebras the asked `max_tokens` for good; all others as [`OutputTokens::Settled`].
    pub fn of(provider: &str) -> Self {
        match provider {
            "anthropic" => Self::new(OutputTokens::AsWritten).without_cached_input(),
            "groq" => Self::default().without_cached_input(),
            "cerebras" => Self::new(OutputTokens::AsAsked),
            _ => Self::default(),
        }
    }
}

/// The asked `max_tokens`, settled at the end; cached input counts.
impl Default for Counting {
    fn default() -> Self {
        Self::new(OutputTokens::Settled)
    }
}

impl RateLimitConfig {
    /// Begins with the defaults.
    pub fn builder() -> RateLimitBuilder {
        RateLimitBuilder::default()
    }
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        RateLimitBuilder::default().config
    }
}

impl fmt::Debug for RateLimitConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitConfig")
            .field("deployment", &self.deployment)
            .field("rules", &self.rules)
            .field("max_wait", &self.max_wait)
            .field("max_queue", &self.max_queue)
            .finish_non_exhaustive()
    }
}

/// Builds a [`RateLimitConfig`] or a [`RateLimitLayer`](crate::RateLimitLayer).
#[derive(Debug, Clone)]
#[must_use]
pub struct RateLimitBuilder {
    config: RateLimitConfig,
    replicas: u64,
}

impl Default for RateLimitBuilder {
    fn default() -> Self {
        let config = RateLimitConfig {
            deployment: Arc::default(),
            rules: Rules {
                limits: Amounts::each(u64::MAX),
                counting: Counting::default(),
                expected_output: 256,
                max_pause: Duration::from_secs(300),
                predict: true,
                learn: true,
            },
            max_wait: Duration::from_secs(1),
            max_queue: 1_000,
            estimator: Arc::new(TextLength),
            events: Events::default(),
            seed: None,
        };
        Self { config, replicas: 1 }
    }
}

impl RateLimitBuilder {
    /// The deployment's name, in events and refusals; empty when not set.
    pub fn deployment(mut self, name: impl Into<Arc<str>>) -> Self {
        self.config.deployment = name.into();
        self
    }

    /// The most requests in any minute; no limit of ours when not set.
    pub fn requests_per_minute(self, requests: u64) -> Self {
        self.limit(Dimension::Requests, requests)
    }

    /// The most tokens in any minute, input and output together; no limit of ours when not set.
    pub fn tokens_per_minute(self, tokens: u64) -> Self {
        self.limit(Dimension::Tokens, tokens)
    }

    /// The most input tokens in any minute; no limit of ours when not set.
    pub fn input_tokens_per_minute(self, tokens: u64) -> Self {
        self.limit(Dimension::InputTokens, tokens)
    }

    /// The most output tokens in any minute; no limit of ours when not set.
    pub fn output_tokens_per_minute(self, tokens: u64) -> Self {
        self.limit(Dimension::OutputTokens, tokens)
    }

    /// The most of this in any minute; no limit of ours when not set.
    pub fn limit(mut self, of: Dimension, per_minute: u64) -> Self {
        self.config.rules.limits[of] = per_minute;
        self
    }

    /// Among how many processes the limits above are divided, each of which keeps to its share; 1 when not set. What
    /// the provider tells of its limits needs no division: it counts for all.
    pub fn replicas(mut self, processes: u64) -> Self {
        self.replicas = processes;
        self
    }

    /// How long a call waits for its place at most, sooner if its deadline is sooner; 1 s when not set. One that
    /// would wait longer is refused at once. Zero refuses whatever has no place now.
    pub fn max_wait(mut self, longest: Duration) -> Self {
        self.config.max_wait = longest;
        self
    }

    /// How many calls wait at most; 1,000 when not set. More are refused at once.
    pub fn max_queue(mut self, calls: usize) -> Self {
        self.config.max_queue = calls;
        self
    }

    /// The longest pause that a 429 is obeyed for; 300 s when not set (B7).
    pub fn max_pause(mut self, longest: Duration) -> Self {
        self.config.rules.max_pause = longest;
        self
    }

    /// Which tokens the provider counts; [`Counting::default`] when not set.
    pub fn counting(mut self, counting: Counting) -> Self {
        self.config.rules.counting = counting;
        self
    }

    /// How many output tokens a call without `max_tokens` is taken to need, until the mean of its forerunners is
    /// known; 256 when not set.
    pub fn expected_output(mut self, tokens: u64) -> Self {
        self.config.rules.expected_output = tokens;
        self
    }

    /// Guesses the input tokens of a call; [`TextLength`] when not set.
    pub fn estimator(mut self, estimator: impl TokenEstimator + 'static) -> Self {
        self.config.estimator = Arc::new(estimator);
        self
    }

    /// Whether the provider's headers are heeded: what is left and when it is back; they are when not set.
    pub fn predict(mut self, predict: bool) -> Self {
        self.config.rules.predict = predict;
        self
    }

    /// Whether a limit that nobody told is learned from 429s; it is when not set.
    pub fn learn(mut self, learn: bool) -> Self {
        self.config.rules.learn = learn;
        self
    }

    /// Where exhaustion foreseen and 429s are told; nowhere when not set.
    pub fn events(mut self, events: Events) -> Self {
        self.config.events = events;
        self
    }

    /// Makes the jitter the same in each run; random when not set.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = Some(seed);
        self
    }

    /// The configuration.
    ///
    /// # Errors
    /// A setting with which a limiter could not work; [`InvalidConfig`] says which.
    pub fn build_config(self) -> Result<RateLimitConfig, InvalidConfig> {
        let Self { mut config, replicas } = self;
        if replicas == 0 {
            return Err(InvalidConfig::Zero("replicas"));
        }
        for of in Dimension::ALL {
            let limit = &mut config.rules.limits[of];
            if *limit == u64::MAX {
                continue;
            }
            if *limit == 0 {
                return Err(InvalidConfig::Zero(of.as_str()));
            }
            if *limit > MOST_TOKENS {
                return Err(InvalidConfig::TooMany { what: of.as_str(), given: *limit, most: MOST_TOKENS });
            }
            *limit /= replicas;
            if *limit == 0 {
                return Err(InvalidConfig::NoShare { of: of.as_str(), replicas });
            }
        }
        at_most("expected_output", config.rules.expected_output, MOST_TOKENS)?;
        at_most("max_queue", config.max_queue as u64, MOST_WAITING)?;
        if config.rules.max_pause.is_zero() {
            return Err(InvalidConfig::Zero("max_pause"));
        }
        for (what, time) in [("max_wait", config.max_wait), ("max_pause", config.rules.max_pause)] {
            if time > LONGEST {
                return Err(InvalidConfig::TooLong(what));
            }
        }
        Ok(config)
    }
}

/// Why a configuration is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// A number or a time that must not be zero is.
    #[error("{0} must be above zero")]
    Zero(&'static str),
    /// A time is longer than a day.
    #[error("{0} is longer than a day; check its unit")]
    TooLong(&'static str),
    /// Too many of something.
    #[error("{what} is {given}; at most {most} are possible")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many were asked for.
        given: u64,
        /// How many are possible.
        most: u64,
    },
    /// A limit is smaller than the number of processes that share it.
    #[error("the limit of {of} divided among {replicas} replicas leaves each nothing")]
    NoShare {
        /// Which limit.
        of: &'static str,
        /// Among how many it is divided.
        replicas: u64,
    },
}

pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
pub(crate) const MOST_WAITING: u64 = 1_000_000;

pub(crate) fn at_most(what: &'static str, given: u64, most: u64) -> Result<(), InvalidConfig> {
    if given > most { Err(InvalidConfig::TooMany { what, given, most }) } else { Ok(()) }
}

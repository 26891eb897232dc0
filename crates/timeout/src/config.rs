//! The timers as data, checked once.

use std::collections::HashMap;
use std::time::Duration;

/// The timers of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timers {
    /// How long a streaming call may wait for its first content; 10 s.
    pub first_token: Duration,
    /// How long a stream may wait between two chunks; 20 s.
    pub idle: Duration,
    /// How long a call may take in all; 60 s.
    pub total: Duration,
    /// How long a stream may still wait once every choice has its finish reason, for the chunk with the usage; 800 ms.
    /// Then it ends as complete: some servers forget to close.
    pub after_finish: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            first_token: Duration::from_secs(10),
            idle: Duration::from_secs(20),
            total: Duration::from_secs(60),
            after_finish: Duration::from_millis(800),
        }
    }
}

/// What is different for one model; what is not said stays as it is for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelTimers {
    first_token: Option<Duration>,
    idle: Option<Duration>,
    total: Option<Duration>,
    after_finish: Option<Duration>,
}

impl ModelTimers {
    /// Nothing is different yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another [`Timers::first_token`].
    #[must_use]
    pub fn first_token(mut self, longest: Duration) -> Self {
        self.first_token = Some(longest);
        self
    }

    /// Another [`Timers::idle`].
    #[must_use]
    pub fn idle(mut self, longest: Duration) -> Self {
        self.idle = Some(longest);
        self
    }

    /// Another [`Timers::total`].
    #[must_use]
    pub fn total(mut self, longest: Duration) -> Self {
        self.total = Some(longest);
        self
    }

    /// Another [`Timers::after_finish`].
    #[must_use]
    pub fn after_finish(mut self, longest: Duration) -> Self {
        self.after_finish = Some(longest);
        self
    }

    fn over(self, timers: Timers) -> Timers {
        Timers {
            first_token: self.first_token.unwrap_or(timers.first_token),
            idle: self.idle.unwrap_or(timers.idle),
            total: self.total.unwrap_or(timers.total),
            after_finish: self.after_finish.unwrap_or(timers.after_finish),
        }
    }
}

/// The timers of all models. Made by [`TimeoutConfig::builder`]; what is made is right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimeoutConfig {
    timers: Timers,
    models: HashMap<String, Timers>,
}

impl TimeoutConfig {
    /// Begins with the defaults.
    pub fn builder() -> TimeoutBuilder {
        TimeoutBuilder::default()
    }

    /// The timers of a call to `model`, as the call names it where the layer stands.
    pub fn timers(&self, model: &str) -> Timers {
        if self.models.is_empty() {
            return self.timers;
        }
        self.models.get(model).copied().unwrap_or(self.timers)
    }
}

/// Builds a [`TimeoutConfig`] or a [`TimeoutLayer`](crate::TimeoutLayer).
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct TimeoutBuilder {
    timers: Timers,
    models: Vec<(String, ModelTimers)>,
}

impl TimeoutBuilder {
    /// Sets [`Timers::first_token`]; 10 s when not set.
    pub fn first_token(mut self, longest: Duration) -> Self {
        self.timers.first_token = longest;
        self
    }

    /// Sets [`Timers::idle`]; 20 s when not set.
    pub fn idle(mut self, longest: Duration) -> Self {
        self.timers.idle = longest;
        self
    }

    /// Sets [`Timers::total`]; 60 s when not set.
    pub fn total(mut self, longest: Duration) -> Self {
        self.timers.total = longest;
        self
    }

    /// Sets [`Timers::after_finish`]; 800 ms when not set.
    pub fn after_finish(mut self, longest: Duration) -> Self {
        self.timers.after_finish = longest;
        self
    }

    /// Sets what is different for one model, by the name that the call has where the layer stands.
    pub fn model(mut self, name: impl Into<String>, timers: ModelTimers) -> Self {
        self.models.push((name.into(), timers));
        self
    }

    /// The configuration.
    ///
    /// # Errors
    /// A timer that is zero or longer than 30 days, or a model that is named twice.
    pub fn build_config(self) -> Result<TimeoutConfig, InvalidConfig> {
        check("", self.timers)?;
        let mut models = HashMap::with_capacity(self.models.len());
        for (name, different) in self.models {
            let timers = different.over(self.timers);
            check(&name, timers)?;
            if models.insert(name.clone(), timers).is_some() {
                return Err(InvalidConfig::ModelTwice { model: name });
            }
        }
        Ok(TimeoutConfig { timers: self.timers, models })
    }
}

/// The longest timer: 30 days. Longer is a slip of the unit.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Why a configuration of timers is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// A timer of zero would end every call at once.
    #[error("the timer {timer} of {} is zero; every call would end at once", of(.model))]
    Zero {
        /// Which timer.
        timer: &'static str,
        /// The model that it is for; empty when it is for all.
        model: String,
    },
    /// A timer is longer than 30 days.
    #[error("the timer {timer} of {} is longer than 30 days; check its unit", of(.model))]
    TooLong {
        /// Which timer.
        timer: &'static str,
        /// The model that it is for; empty when it is for all.
        model: String,
    },
    /// A model has timers twice.
    #[error("the model {model:?} has timers twice")]
    ModelTwice {
        /// Which model.
        model: String,
    },
}

fn of(model: &str) -> String {
    if model.is_empty() { "all models".to_owned() } else { format!("{model:?}") }
}

fn check(model: &str, timers: Timers) -> Result<(), InvalidConfig> {
    let Timers { first_token, idle, total, after_finish } = timers;
    let all =
        [("first_token", first_token), ("idle", idle), ("total", total), ("after_finish", after_finish)];
    for (timer, longest) in all {
        if longest.is_zero() {
            return Err(InvalidConfig::Zero { timer, model: model.to_owned() });
        }
        if longest > LONGEST {
            return Err(InvalidConfig::TooLong { timer, model: model.to_owned() });
        }
    }
    Ok(())
}

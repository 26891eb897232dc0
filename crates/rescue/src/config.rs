//! The rules as data, checked once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mainstay_provider_core::Events;

/// What is done about a stream that broke off after the caller had some of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RescuePolicy {
    /// The caller is told: the stream ends with the error.
    Fail,
    /// Another deployment goes on where the text stopped: it gets the text so far as an assistant message (prefill).
    Resume,
    /// Another deployment is asked anew. If its answer begins with what the caller has, the caller gets the rest of it.
    Restart,
}

impl RescuePolicy {
    /// The policy's name as it stands in configuration, events and replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Resume => "resume",
            Self::Restart => "restart",
        }
    }
}

/// How much of a stream's beginning is read before the caller gets any of it. It ends with whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HoldBack {
    /// How many chunks with content; 16.
    pub chunks: usize,
    /// How many bytes of text; 1 KiB.
    pub bytes: usize,
    /// How long after the first content; 250 ms.
    pub time: Duration,
}

impl Default for HoldBack {
    fn default() -> Self {
        Self { chunks: 16, bytes: 1024, time: Duration::from_millis(250) }
    }
}

impl HoldBack {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another [`HoldBack::chunks`].
    #[must_use]
    pub fn chunks(mut self, most: usize) -> Self {
        self.chunks = most;
        self
    }

    /// Another [`HoldBack::bytes`].
    #[must_use]
    pub fn bytes(mut self, most: usize) -> Self {
        self.bytes = most;
        self
    }

    /// Another [`HoldBack::time`].
    #[must_use]
    pub fn time(mut self, longest: Duration) -> Self {
        self.time = longest;
        self
    }
}

/// What is done for a call whose stream breaks off.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rules {
    /// What is tried once the caller has some of the answer, in this order; nothing: the caller is told.
    pub policies: Vec<RescuePolicy>,
    /// How often a call is rescued, hold-back included; 2.
    pub rescues: u32,
    /// How long a rescue may take, from the break to the next text for the caller; 30 s. The call's deadline
    /// shortens it.
    pub within: Duration,
    /// How many bytes of an answer are kept to rescue it; 256 KiB. A longer one is not rescued.
    pub keep: usize,
    /// How much of a stream is held back at its beginning; nothing.
    pub hold_back: Option<HoldBack>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            policies: Vec::new(),
            rescues: 2,
            within: Duration::from_secs(30),
            keep: 256 << 10,
            hold_back: None,
        }
    }
}

impl Rules {
    /// What the gateway does by default.
    pub(crate) fn standard() -> Self {
        let policies = vec![RescuePolicy::Resume, RescuePolicy::Restart, RescuePolicy::Fail];
        Self { policies, ..Self::default() }
    }

    /// The policies without the words that do nothing.
    pub(crate) fn policies(&self) -> impl Iterator<Item = RescuePolicy> {
        self.policies.iter().copied().take_while(|policy| *policy != RescuePolicy::Fail)
    }

    /// Whether a stream that broke off after content is taken up again at all.
    pub(crate) fn rescues_begun(&self) -> bool {
        self.policies().next().is_some()
    }
}

/// What is different for one model; what is not said stays as it is for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelRules {
    policies: Option<Vec<RescuePolicy>>,
    rescues: Option<u32>,
    within: Option<Duration>,
    keep: Option<usize>,
    hold_back: Option<Option<HoldBack>>,
}

impl ModelRules {
    /// Nothing is different yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Other [`Rules::policies`](field@Rules::policies).
    #[must_use]
    pub fn policies(mut self, policies: impl IntoIterator<Item = RescuePolicy>) -> Self {
        self.policies = Some(policies.into_iter().collect());
        self
    }

    /// Another number of [`Rules::rescues`].
    #[must_use]
    pub fn rescues(mut self, most: u32) -> Self {
        self.rescues = Some(most);
        self
    }

    /// Another [`Rules::within`].
    #[must_use]
    pub fn within(mut self, longest: Duration) -> Self {
        self.within = Some(longest);
        self
    }

    /// Another [`Rules::keep`].
    #[must_use]
    pub fn keep(mut self, most: usize) -> Self {
        self.keep = Some(most);
        self
    }

    /// Another [`Rules::hold_back`]; `None` holds nothing back.
    #[must_use]
    pub fn hold_back(mut self, hold_back: impl Into<Option<HoldBack>>) -> Self {
        self.hold_back = Some(hold_back.into());
        self
    }

    fn over(self, rules: &Rules) -> Rules {
        Rules {
            policies: self.policies.unwrap_or_else(|| rules.policies.clone()),
            rescues: self.rescues.unwrap_or(rules.rescues),
            within: self.within.unwrap_or(rules.within),
            keep: self.keep.unwrap_or(rules.keep),
            hold_back: self.hold_back.unwrap_or(rules.hold_back),
        }
    }
}

/// The rules for all models. Made by [`RescueConfig::builder`]; what is made is right.
#[derive(Debug, Clone, Default)]
pub struct RescueConfig {
    rules: Arc<Rules>,
    models: HashMap<String, Arc<Rules>>,
    pub(crate) events: Events,
}

impl RescueConfig {
    /// Begins with the defaults: the caller is told, nothing is held back.
    pub fn builder() -> RescueBuilder {
        RescueBuilder::default()
    }

    /// Begins with what the gateway does by default: resume, then restart, then tell the caller.
    pub fn standard() -> RescueBuilder {
        RescueBuilder { rules: Rules::standard(), ..RescueBuilder::default() }
    }

    pub(crate) fn of(rules: Rules) -> Self {
        Self { rules: Arc::new(rules), ..Self::default() }
    }

    /// The rules for a call to `model`, as the call names it where the layer stands.
    pub fn rules(&self, model: &str) -> &Arc<Rules> {
        if self.models.is_empty() {
            return &self.rules;
        }
        self.models.get(model).unwrap_or(&self.rules)
    }
}

/// Builds a [`RescueConfig`] or a [`RescueLayer`](crate::RescueLayer).
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct RescueBuilder {
    rules: Rules,
    models: Vec<(String, ModelRules)>,
    events: Events,
}

impl RescueBuilder {
    /// Sets [`Rules::policies`](field@Rules::policies); none when not set.
    pub fn policies(mut self, policies: impl IntoIterator<Item = RescuePolicy>) -> Self {
        self.rules.policies = policies.into_iter().collect();
        self
    }

    /// Sets [`Rules::rescues`]; 2 when not set.
    pub fn rescues(mut self, most: u32) -> Self {
        self.rules.rescues = most;
        self
    }

    /// Sets [`Rules::within`]; 30 s when not set.
    pub fn within(mut self, longest: Duration) -> Self {
        self.rules.within = longest;
        self
    }

    /// Sets [`Rules::keep`]; 256 KiB when not set.
    pub fn keep(mut self, most: usize) -> Self {
        self.rules.keep = most;
        self
    }

    /// Sets [`Rules::hold_back`]; nothing is held back when not set.
    pub fn hold_back(mut self, hold_back: impl Into<Option<HoldBack>>) -> Self {
        self.rules.hold_back = hold_back.into();
        self
    }

    /// Sets what is different for one model, by the name that the call has where the layer stands.
    pub fn model(mut self, name: impl Into<String>, rules: ModelRules) -> Self {
        self.models.push((name.into(), rules));
        self
    }

    /// Sets where events go; nowhere when not set.
    pub fn events(mut self, events: Events) -> Self {
        self.events = events;
        self
    }

    /// The configuration.
    ///
    /// # Errors
    /// A number that is zero or beyond its bounds, a policy that is named twice or after [`RescuePolicy::Fail`], or a
    /// model that is named twice.
    pub fn build_config(self) -> Result<RescueConfig, InvalidConfig> {
        check("", &self.rules)?;
        let mut models = HashMap::with_capacity(self.models.len());
        for (name, different) in self.models {
            let rules = different.over(&self.rules);
            check(&name, &rules)?;
            if models.insert(name.clone(), Arc::new(rules)).is_some() {
                return Err(InvalidConfig::ModelTwice { model: name });
            }
        }
        Ok(RescueConfig { rules: Arc::new(self.rules), models, events: self.events })
    }
}

/// Why a configuration is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// A number is zero or too large.
    #[error("{setting} of {} is {value}; it must be from 1 to {most}", of(.model))]
    OutOfBounds {
        /// Which setting.
        setting: &'static str,
        /// What it is; durations in milliseconds.
        value: u128,
        /// The most that it can be.
        most: u128,
        /// The model that it is for; empty when it is for all.
        model: String,
    },
    /// A policy stands twice in the order.
    #[error("the policies of {} name {} twice", of(.model), .policy.as_str())]
    PolicyTwice {
        /// Which policy.
        policy: RescuePolicy,
        /// The model that it is for; empty when it is for all.
        model: String,
    },
    /// What stands after `fail` is never tried.
    #[error("the policies of {} go on after fail; put it last or leave it out", of(.model))]
    AfterFail {
        /// The model that it is for; empty when it is for all.
        model: String,
    },
    /// A model has rules twice.
    #[error("the model {model:?} has rules twice")]
    ModelTwice {
        /// Which model.
        model: String,
    },
}

fn of(model: &str) -> String {
    if model.is_empty() { "all models".to_owned() } else { format!("{model:?}") }
}

fn check(model: &str, rules: &Rules) -> Result<(), InvalidConfig> {
    const HOUR: u128 = 60 * 60 * 1000;
    let Rules { policies, rescues, within, keep, hold_back } = rules;
    let mut numbers = vec![
        ("rescues", u128::from(*rescues), 10),
        ("within", milliseconds(*within), HOUR),
        ("keep", *keep as u128, 64 << 20),
    ];
    if let Some(HoldBack { chunks, bytes, time }) = hold_back {
        numbers.extend([
            ("hold_back.chunks", *chunks as u128, 10_000),
            ("hold_back.bytes", *bytes as u128, 1 << 20),
            ("hold_back.time", milliseconds(*time), 60_000),
        ]);
    }
    for (setting, value, most) in numbers {
        if value == 0 || value > most {
            return Err(InvalidConfig::OutOfBounds { setting, value, most, model: model.to_owned() });
        }
    }
    for (at, policy) in policies.iter().enumerate() {
        if policies[..at].contains(policy) {
            return Err(InvalidConfig::PolicyTwice { policy: *policy, model: model.to_owned() });
        }
        if *policy == RescuePolicy::Fail && at + 1 < policies.len() {
            return Err(InvalidConfig::AfterFail { model: model.to_owned() });
        }
    }
    Ok(())
}

/// Rounded up, so that only zero is 0.
fn milliseconds(time: Duration) -> u128 {
    time.as_nanos().div_ceil(1_000_000)
}

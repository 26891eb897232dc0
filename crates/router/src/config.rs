//! Models and deployments as they are configured, checked once.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainstay_provider_core::{
    BoxEmbedder, BoxProvider, Embedder, Provider, ReportAvailability, ReportHeadroom,
};

use crate::hedge::Hedging;
use crate::strategy::Strategy;

/// One place where a model is served: a provider, a region, a key, and the layers around them.
///
/// Two deployments with the same name are the same one: what is known of the one is known of the other.
#[derive(Clone)]
#[must_use]
pub struct Deployment {
    pub(crate) name: Arc<str>,
    pub(crate) model: Option<Arc<str>>,
    pub(crate) provider: Option<BoxProvider>,
    pub(crate) embedder: Option<BoxEmbedder>,
    pub(crate) weight: f64,
    pub(crate) order: u32,
    pub(crate) availability: Option<Arc<dyn ReportAvailability>>,
    pub(crate) headroom: Option<Arc<dyn ReportHeadroom>>,
    pub(crate) prefill: bool,
    pub(crate) context_window: Option<u64>,
    pub(crate) price: Option<Price>,
}

impl Deployment {
    /// A deployment that answers chat calls: `provider` is its stack (rate limit, breaker, timeout, adapter). The name
    /// stands in replies, errors and events; `provider/model` is usual.
    pub fn new(name: impl Into<Arc<str>>, provider: impl Provider) -> Self {
        let mut deployment = Self::empty(name.into());
        deployment.provider = Some(provider.boxed());
        deployment
    }

    /// A deployment that only embeds.
    pub fn embedding(name: impl Into<Arc<str>>, embedder: impl Embedder) -> Self {
        Self::empty(name.into()).embedder(embedder)
    }

    fn empty(name: Arc<str>) -> Self {
        Self {
            name,
            model: None,
            provider: None,
            embedder: None,
            weight: 1.0,
            order: 1,
            availability: None,
            headroom: None,
            prefill: false,
            context_window: None,
            price: None,
        }
    }

    /// The provider's name of the model, which requests are sent with. When not set, what follows the first `/` of the
    /// deployment's name, or all of it.
    pub fn model(mut self, model: impl Into<Arc<str>>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Takes embedding calls too.
    pub fn embedder(mut self, embedder: impl Embedder) -> Self {
        self.embedder = Some(embedder.boxed_embedder());
        self
    }

    /// Its share of the traffic beside the others of its tier; 1 when not set.
    pub fn weight(mut self, weight: impl Into<f64>) -> Self {
        self.weight = weight.into();
        self
    }

    /// Its tier: those with a higher number are asked only when nobody with a lower one can be. 1 when not set.
    pub fn order(mut self, order: u32) -> Self {
        self.order = order;
        self
    }

    /// Tells whether it takes calls: the handle of its breaker. Always when not set.
    pub fn availability(mut self, report: impl ReportAvailability + 'static) -> Self {
        self.availability = Some(Arc::new(report));
        self
    }

    /// Tells what is left of its rate limits: the handle of its rate limiter. All when not set.
    pub fn headroom(mut self, report: impl ReportHeadroom + 'static) -> Self {
        self.headroom = Some(Arc::new(report));
        self
    }

    /// Whether it goes on with an assistant message that stands last; no when not set.
    pub fn prefill(mut self, accepts: bool) -> Self {
        self.prefill = accepts;
        self
    }

    /// Its longest prompt in tokens; unknown when not set.
    pub fn context_window(mut self, tokens: u64) -> Self {
        self.context_window = Some(tokens);
        self
    }

    /// What it costs in $ per million tokens of input and of output; unknown when not set.
    pub fn price(mut self, input: f64, output: f64) -> Self {
        self.price = Some(Price { input, output });
        self
    }

    fn check(&self, model: &str) -> Result<(), InvalidConfig> {
        let wrong =
            |what| InvalidConfig::Deployment { model: model.into(), deployment: self.name.to_string(), what };
        let above_zero = |number: f64| number.is_finite() && number > 0.0;
        let from_zero = |number: f64| number.is_finite() && number >= 0.0;
        if self.name.is_empty() {
            return Err(wrong("has no name"));
        }
        if !above_zero(self.weight) {
            return Err(wrong("has a weight that is not above zero; leave it out instead"));
        }
        if self.context_window == Some(0) {
            return Err(wrong("has a context_window of zero"));
        }
        if self.price.is_some_and(|price| !from_zero(price.input) || !from_zero(price.output)) {
            return Err(wrong("has a price below zero"));
        }
        Ok(())
    }
}

impl fmt::Debug for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deployment")
            .field("name", &self.name)
            .field("model", &self.model)
            .field("weight", &self.weight)
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}

/// What a deployment costs, in $ per million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Price {
    /// Of input.
    pub input: f64,
    /// Of output.
    pub output: f64,
}

impl Price {
    /// So much for input and for output.
    pub fn new(input: f64, output: f64) -> Self {
        Self { input, output }
    }

    /// Three parts of input and one of output: what an average token of a conversation costs.
    pub fn blended(&self) -> f64 {
        self.input * 0.75 + self.output * 0.25
    }
}

/// A logical model: what application code asks for (S1.3).
#[derive(Debug, Clone)]
#[must_use]
pub struct Model {
    pub(crate) name: String,
    pub(crate) deployments: Vec<Deployment>,
    pub(crate) strategy: Option<Arc<dyn Strategy>>,
    pub(crate) hedging: Option<Hedging>,
    pub(crate) fallbacks: Vec<String>,
    pub(crate) context_window_fallbacks: Vec<String>,
    pub(crate) content_policy_fallbacks: Vec<String>,
}

impl Model {
    /// A model without deployments yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            deployments: Vec::new(),
            strategy: None,
            hedging: None,
            fallbacks: Vec::new(),
            context_window_fallbacks: Vec::new(),
            content_policy_fallbacks: Vec::new(),
        }
    }

    /// Adds a deployment.
    pub fn deployment(mut self, deployment: Deployment) -> Self {
        self.deployments.push(deployment);
        self
    }

    /// How one of them is chosen; as the router says when not set.
    pub fn strategy(mut self, strategy: impl Strategy + 'static) -> Self {
        self.strategy = Some(Arc::new(strategy));
        self
    }

    /// As [`Model::strategy`], for one that is [shared](crate::strategy::named).
    pub fn shared_strategy(mut self, strategy: Arc<dyn Strategy>) -> Self {
        self.strategy = Some(strategy);
        self
    }

    /// Asks a second deployment when the first is slow; as the router says when not set.
    pub fn hedging(mut self, hedging: Hedging) -> Self {
        self.hedging = Some(hedging);
        self
    }

    /// The models that answer when no deployment of this one can, in this order: names of models, or whatever the
    /// [resolver](crate::RouterBuilder::resolver) knows. Their own fallbacks are not followed.
    pub fn fallbacks<N: Into<String>>(mut self, models: impl IntoIterator<Item = N>) -> Self {
        self.fallbacks.extend(models.into_iter().map(Into::into));
        self
    }

    /// The models that answer when the prompt is too long for all deployments of this one.
    pub fn context_window_fallbacks<N: Into<String>>(mut self, models: impl IntoIterator<Item = N>) -> Self {
        self.context_window_fallbacks.extend(models.into_iter().map(Into::into));
        self
    }

    /// The models that answer when a provider's filter refuses.
    pub fn content_policy_fallbacks<N: Into<String>>(mut self, models: impl IntoIterator<Item = N>) -> Self {
        self.content_policy_fallbacks.extend(models.into_iter().map(Into::into));
        self
    }

    fn all_fallbacks(&self) -> impl Iterator<Item = &String> {
        self.fallbacks.iter().chain(&self.context_window_fallbacks).chain(&self.content_policy_fallbacks)
    }

    pub(crate) fn check(&self) -> Result<(), InvalidConfig> {
        if self.deployments.is_empty() {
            return Err(InvalidConfig::NoDeployments(self.name.clone()));
        }
        let mut names = HashSet::new();
        for deployment in &self.deployments {
            deployment.check(&self.name)?;
            if !names.insert(&deployment.name) {
                let (model, deployment) = (self.name.clone(), deployment.name.to_string());
                return Err(InvalidConfig::TwoDeployments { model, deployment });
            }
        }
        if self.all_fallbacks().any(|fallback| *fallback == self.name) {
            return Err(InvalidConfig::FallbackToItself(self.name.clone()));
        }
        self.hedging.as_ref().map_or(Ok(()), Hedging::check)
    }
}

/// Why a configuration of a router is not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// There is neither a model nor a resolver.
    #[error("the router has no models: add one, or a resolver")]
    NoModels,
    /// Two models have the same name.
    #[error("two models are named {0:?}")]
    TwoModels(String),
    /// A model has no deployments.
    #[error("model {0:?} has no deployments")]
    NoDeployments(String),
    /// Two deployments of a model have the same name.
    #[error("model {model:?} has two deployments named {deployment:?}; give one another name")]
    TwoDeployments {
        /// The model.
        model: String,
        /// The deployments.
        deployment: String,
    },
    /// A deployment has a setting with which it could not work.
    #[error("deployment {deployment:?} of model {model:?} {what}")]
    Deployment {
        /// The model.
        model: String,
        /// The deployment.
        deployment: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A fallback is no model, and the resolver does not know it either.
    #[error("the fallback {fallback:?} of model {model:?} is no model")]
    UnknownFallback {
        /// The model.
        model: String,
        /// The fallback.
        fallback: String,
    },
    /// A model is its own fallback.
    #[error("model {0:?} falls back to itself")]
    FallbackToItself(String),
    /// The decay is not above zero and at most a day.
    #[error("the decay is {0:?}; it must be above zero and at most a day")]
    Decay(Duration),
    /// A setting of the hedging cannot be kept.
    #[error("hedging: {0}")]
    Hedging(&'static str),
}

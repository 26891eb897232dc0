//! What a router is made of, checked once.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainstay_provider_core::{
    BoxEmbedder, BoxProvider, Embedder, Events, Provider, ReportAvailability, ReportHeadroom,
};

use crate::group::{Group, Member};
use crate::hedge::{Hedging, Pace};
use crate::load::{Clock, Load};
use crate::resolve::{ResolveModel, Resolved};
use crate::service::{Router, Shared};
use crate::session::Sessions;
use crate::strategy::{PeakEwma, Strategy};

/// One place where a model is served: a provider, a region, a key, and the layers around them.
///
/// Two deployments with the same name are the same one: what is known of the one is known of the other.
#[derive(Clone)]
#[must_use]
pub struct Deployment {
    pub(crate) name: Arc<str>,
    pub(crate) model: Option<String>,
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
    pub fn model(mut self, model: impl Into<String>) -> Self {
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
    name: String,
    deployments: Vec<Deployment>,
    strategy: Option<Arc<dyn Strategy>>,
    hedging: Option<Hedging>,
    fallbacks: Vec<String>,
    context_window_fallbacks: Vec<String>,
    content_policy_fallbacks: Vec<String>,
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
    /// [resolver](RouterBuilder::resolver) knows. Their own fallbacks are not followed.
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

    fn check(&self) -> Result<(), InvalidConfig> {
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

/// Builds a [`Router`].
#[derive(Clone)]
#[must_use]
pub struct RouterBuilder {
    models: Vec<Model>,
    strategy: Arc<dyn Strategy>,
    hedging: Option<Hedging>,
    resolver: Option<Arc<dyn ResolveModel>>,
    decay: Duration,
    session_property: Arc<str>,
    events: Events,
    seed: Option<u64>,
}

impl Default for RouterBuilder {
    fn default() -> Self {
        Self {
            models: Vec::new(),
            strategy: Arc::new(PeakEwma),
            hedging: None,
            resolver: None,
            decay: Duration::from_secs(10),
            session_property: "session".into(),
            events: Events::default(),
            seed: None,
        }
    }
}

impl RouterBuilder {
    /// Adds a logical model.
    pub fn model(mut self, model: Model) -> Self {
        self.models.push(model);
        self
    }

    /// How one of several deployments is chosen; [`PeakEwma`] when not set.
    pub fn strategy(mut self, strategy: impl Strategy + 'static) -> Self {
        self.strategy = Arc::new(strategy);
        self
    }

    /// As [`RouterBuilder::strategy`], for one that is [shared](crate::strategy::named).
    pub fn shared_strategy(mut self, strategy: Arc<dyn Strategy>) -> Self {
        self.strategy = strategy;
        self
    }

    /// Asks a second deployment when the first is slow, for every model that does not say otherwise; never when not
    /// set.
    pub fn hedging(mut self, hedging: Hedging) -> Self {
        self.hedging = Some(hedging);
        self
    }

    /// Who knows deployments for model strings that are no model's name, like `provider/model`; nobody when not set.
    pub fn resolver(mut self, resolver: impl ResolveModel + 'static) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// How fast old observations lose weight: after this time a third is left of a peak. 10 s when not set.
    pub fn decay(mut self, time: Duration) -> Self {
        self.decay = time;
        self
    }

    /// The property of the call's context that names its session; `session` when not set.
    pub fn session_property(mut self, name: impl Into<Arc<str>>) -> Self {
        self.session_property = name.into();
        self
    }

    /// Where fallbacks and hedges are told; nowhere when not set.
    pub fn events(mut self, events: Events) -> Self {
        self.events = events;
        self
    }

    /// Makes the choices the same in each run; random when not set.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The router.
    ///
    /// # Errors
    /// A setting with which it could not work; [`InvalidConfig`] says which.
    pub fn build(self) -> Result<Router, InvalidConfig> {
        self.check()?;
        let mut assembly = Assembly {
            clock: Clock::new(),
            decay: self.decay,
            strategy: self.strategy.clone(),
            hedging: self.hedging.clone(),
            resolver: self.resolver.clone(),
            loads: HashMap::new(),
            groups: Vec::new(),
            by_name: HashMap::new(),
        };
        for model in &self.models {
            assembly.add(model)?;
        }
        let groups = assembly.with_fallbacks(&self.models)?;
        let names = self.models.into_iter().map(|model| model.name).collect();
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        Ok(Router::new(Shared {
            clock: assembly.clock,
            names,
            by_name: assembly.by_name,
            groups,
            resolved: self.resolver.map(Resolved::new),
            strategy: self.strategy,
            loads: assembly.loads,
            decay: self.decay,
            session_property: self.session_property,
            events: self.events,
            seed,
            turns: Default::default(),
        }))
    }

    fn check(&self) -> Result<(), InvalidConfig> {
        if self.models.is_empty() && self.resolver.is_none() {
            return Err(InvalidConfig::NoModels);
        }
        if self.decay.is_zero() || self.decay > LONGEST_DECAY {
            return Err(InvalidConfig::Decay(self.decay));
        }
        let mut names = HashSet::new();
        for model in &self.models {
            model.check()?;
            if !names.insert(&model.name) {
                return Err(InvalidConfig::TwoModels(model.name.clone()));
            }
        }
        self.hedging.as_ref().map_or(Ok(()), Hedging::check)
    }
}

impl fmt::Debug for RouterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterBuilder")
            .field("models", &self.models)
            .field("strategy", &self.strategy)
            .field("hedging", &self.hedging)
            .finish_non_exhaustive()
    }
}

const LONGEST_DECAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The groups as they are put together.
struct Assembly {
    clock: Clock,
    decay: Duration,
    strategy: Arc<dyn Strategy>,
    hedging: Option<Hedging>,
    resolver: Option<Arc<dyn ResolveModel>>,
    loads: HashMap<Arc<str>, Arc<Load>>,
    groups: Vec<Group>,
    by_name: HashMap<String, usize>,
}

impl Assembly {
    fn add(&mut self, model: &Model) -> Result<(), InvalidConfig> {
        let mut members: Vec<Member> = Vec::with_capacity(model.deployments.len());
        for deployment in &model.deployments {
            let load = self.loads.entry(deployment.name.clone());
            let load = load.or_insert_with(|| Arc::new(Load::new(self.clock, self.decay))).clone();
            members.push(Member::new(deployment.clone(), load));
        }
        let strategy = model.strategy.as_ref().unwrap_or(&self.strategy).clone();
        let hedging = model.hedging.as_ref().or(self.hedging.as_ref());
        let mut group = Group::new(model.name.as_str().into(), members, strategy);
        group.sessions = group.strategy.needs_session().then(Sessions::new);
        group.pace = hedging.filter(|_| group.members.len() > 1).map(|hedging| Pace::new(hedging.clone()));
        self.by_name.insert(model.name.clone(), self.groups.len());
        self.groups.push(group);
        Ok(())
    }

    fn with_fallbacks(&mut self, models: &[Model]) -> Result<Vec<Arc<Group>>, InvalidConfig> {
        for (index, model) in models.iter().enumerate() {
            let lists = [&model.fallbacks, &model.context_window_fallbacks, &model.content_policy_fallbacks];
            let [usual, longer, other] = lists.map(|names| self.find_all(model, names));
            let (usual, longer, other) = (usual?, longer?, other?);
            let all = || usual.iter().chain(&longer).chain(&other);
            let needs_session = all().any(|at| self.groups[*at].sessions.is_some());
            let widest = all().map(|at| self.groups[*at].members.len()).max().unwrap_or(0);
            let group = &mut self.groups[index];
            group.needs_session = needs_session || group.sessions.is_some();
            group.widest = widest.max(group.members.len());
            group.longer_and_usual = longer.iter().chain(&usual).copied().collect();
            (group.fallbacks, group.longer, group.other_policy) = (usual, longer, other);
        }
        Ok(std::mem::take(&mut self.groups).into_iter().map(Arc::new).collect())
    }

    fn find_all(&mut self, model: &Model, names: &[String]) -> Result<Vec<usize>, InvalidConfig> {
        names.iter().map(|name| self.find(model, name)).collect()
    }

    fn find(&mut self, model: &Model, name: &str) -> Result<usize, InvalidConfig> {
        if let Some(index) = self.by_name.get(name) {
            return Ok(*index);
        }
        let unknown =
            || InvalidConfig::UnknownFallback { model: model.name.clone(), fallback: name.to_owned() };
        let found = self.resolver.as_ref().and_then(|resolver| resolver.resolve(name));
        let only = Model::new(name).deployment(found.ok_or_else(unknown)?);
        only.check()?;
        self.add(&only)?;
        Ok(self.groups.len() - 1)
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

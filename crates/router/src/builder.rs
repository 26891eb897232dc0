//! Puts a router together.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainstay_provider_core::Events;

use crate::config::{InvalidConfig, Model};
use crate::group::{Group, Member};
use crate::hedge::{Hedging, Pace};
use crate::load::{Clock, Load};
use crate::resolve::{ResolveModel, Resolved};
use crate::service::{Router, Shared};
use crate::session::Sessions;
use crate::strategy::{PeakEwma, Strategy};

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

//! What a client is made of.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use mainstay_adapters::{Adapter, AdapterConfig, Transport, TransportConfig};
use mainstay_budget::BudgetLayer;
use mainstay_cache_exact::ExactCacheLayer;
#[cfg(feature = "cache-semantic")]
use mainstay_cache_semantic::SemanticLayer;
use mainstay_metering::Meter;
use mainstay_provider_core::{Embedder as _, Error, ErrorKind, Events, Provider as _};
use mainstay_retry::RetryBudget;
use mainstay_router::{Model, Router, strategy};

use crate::client::Client;
use crate::config::{
    BudgetSettings, CacheSettings, Config, DeploymentConfig, ModelConfig, Policy, PriceSettings,
    RouterSettings, SemanticCacheSettings, StrategySetting,
};
use crate::directory::{Directory, Stacks};
use crate::stack::{self, CacheLayers, Candidates, Deployments, Endpoint, ModelLayers, Money, Prices};

/// Collects what a [`Client`] is made of.
#[derive(Debug, Default)]
pub struct ClientBuilder {
    providers: Vec<AdapterConfig>,
    models: BTreeMap<String, ModelConfig>,
    router: RouterSettings,
    transport: Option<TransportConfig>,
    caches: CacheLayers,
    cache: Option<CacheSettings>,
    semantic_cache: Option<SemanticCacheSettings>,
    meter: Option<Meter>,
    prices: PriceSettings,
    budget: Option<BudgetLayer>,
    budget_settings: Option<BudgetSettings>,
    /// The values of the references in the settings of caches, prices and budgets.
    env: HashMap<String, String>,
    events: Events,
}

impl ClientBuilder {
    /// Adds a provider.
    #[must_use]
    pub fn provider(mut self, config: AdapterConfig) -> Self {
        self.providers.push(config);
        self
    }

    /// Adds a logical model (S1.3): application code asks for `name`, `target` (`provider/model`) answers.
    #[must_use]
    pub fn model(self, name: impl Into<String>, target: impl Into<String>) -> Self {
        self.routed_model(name, ModelConfig::to(target))
    }

    /// Adds a logical model with its deployments, fallbacks and what is different for it.
    #[must_use]
    pub fn routed_model(mut self, name: impl Into<String>, config: ModelConfig) -> Self {
        self.models.insert(name.into(), config);
        self
    }

    /// Sets how calls are routed, timed, retried and rescued, for all models that do not say otherwise.
    #[must_use]
    pub fn router(mut self, settings: RouterSettings) -> Self {
        self.router = settings;
        self
    }

    /// Sets how connections are made.
    #[must_use]
    pub fn transport(mut self, config: TransportConfig) -> Self {
        self.transport = Some(config);
        self
    }

    /// Asks this exact cache first.
    #[must_use]
    pub fn exact_cache(mut self, layer: ExactCacheLayer) -> Self {
        self.caches.exact = Some(layer);
        self
    }

    /// Asks this semantic cache after the exact one.
    #[cfg(feature = "cache-semantic")]
    #[must_use]
    pub fn semantic_cache(mut self, layer: SemanticLayer) -> Self {
        self.caches.semantic = Some(layer);
        self
    }

    /// What calls cost, instead of what the prices of the configuration say.
    #[must_use]
    pub fn meter(mut self, meter: Meter) -> Self {
        self.meter = Some(meter);
        self
    }

    /// Keeps this budget, instead of what the configuration describes. Its candidates are its own affair
    /// ([`BudgetBuilder::candidates`](mainstay_budget::BudgetBuilder::candidates)).
    #[must_use]
    pub fn budget(mut self, layer: BudgetLayer) -> Self {
        self.budget = Some(layer);
        self
    }

    /// Sends events (a rejected key, a breaker that opens, a retry that waits) to `events`.
    #[must_use]
    pub fn events(mut self, events: Events) -> Self {
        self.events = events;
        self
    }

    /// Adds what a configuration describes. `env` gives the values of `${NAME}` references.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration), naming the setting and the cure.
    pub fn config(mut self, config: &Config, env: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        for (name, provider) in &config.providers {
            self.providers.push(provider.resolve(name, &env)?);
        }
        self.models.extend(config.models.clone());
        self.router = config.router.clone();
        self.transport = Some(config.transport.resolve());
        self.cache.clone_from(&config.cache);
        self.semantic_cache.clone_from(&config.semantic_cache);
        self.prices = config.prices.clone().unwrap_or_default();
        self.budget_settings.clone_from(&config.budget);
        for name in config.references() {
            if let Some(value) = env(name) {
                self.env.insert(name.to_owned(), value);
            }
        }
        Ok(self)
    }

    /// Builds the client.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) for an unknown provider, a missing address, a model
    /// that names a provider which is not there, a setting that a layer does not take.
    pub fn build(mut self) -> Result<Client, Error> {
        let transport = Transport::new(&self.transport.clone().unwrap_or_default())?;
        let all = self.router.policy();
        let retries = RetryBudget::default();
        let providers = endpoints(std::mem::take(&mut self.providers), &transport, &self.events)?;
        let money = Money {
            is_metered: self.budget.is_some() || self.budget_settings.is_some(),
            own_prices: own_prices(&self.models),
        };
        let deployments = Deployments::new(providers, all.clone(), money, self.events.clone());
        let (meter, spending) = self.money(&deployments)?;
        let router = router(&self.router, &self.models, &deployments, &retries, &self.events)?;
        let caches = self.caches(&deployments, &meter)?;
        let stacks = |policy: &Policy, caches: CacheLayers| {
            let retry = stack::retry(policy, &retries, Some(&router), &self.events)?;
            let has_cache = caches.are_there();
            let (budget, rescue) = (spending.clone(), stack::rescue(policy, &self.events)?);
            let layers = ModelLayers { caches, budget, rescue, retry };
            Ok::<_, Error>(Stacks {
                chat: stack::of_model(&layers, router.clone()),
                embedder: stack::of_embedding_model(&layers, router.clone()),
                has_cache,
            })
        };
        let mut models = HashMap::with_capacity(self.models.len());
        for (name, model) in &self.models {
            let made = stacks(&model.policy().over(&all), caches.of(model));
            let made = made.map_err(|error| of_model(name, &error))?;
            models.insert(name.clone(), made);
        }
        let directory = Directory::new(models, stacks(&all, caches.clone())?);
        let models = self.models.into_keys().collect();
        Ok(Client { directory, router, deployments, caches, meter, budget: spending, models })
    }

    /// What calls cost, and the budget that was given or that the configuration describes.
    fn money(&self, deployments: &Deployments) -> Result<(Meter, Option<BudgetLayer>), Error> {
        let env = |name: &str| self.env.get(name).cloned();
        let meter = match &self.meter {
            Some(meter) => meter.clone(),
            None => stack::meter(&self.prices, &self.models, deployments, &self.events, &env)?,
        };
        let budget = match (&self.budget, &self.budget_settings) {
            (Some(budget), _) => Some(budget.clone()),
            (None, Some(settings)) => {
                let candidates = Candidates::new(&self.models, deployments.clone());
                Some(stack::budget(settings, &meter, candidates, &self.events, &env)?)
            }
            (None, None) => None,
        };
        Ok((meter, budget))
    }

    /// The caches that were given, and those that the configuration describes.
    fn caches(&self, deployments: &Deployments, meter: &Meter) -> Result<CacheLayers, Error> {
        let env = |name: &str| self.env.get(name).cloned();
        let mut caches = self.caches.clone();
        if let Some(settings) = &self.cache {
            let before_another = self.semantic_cache.is_some();
            let prices = Prices { meter: meter.clone(), deployments: deployments.clone() };
            caches.exact = Some(stack::exact(settings, before_another, prices, &self.events, &env)?);
        }
        if let Some(settings) = &self.semantic_cache {
            #[cfg(feature = "cache-semantic")]
            {
                let (layer, embedding) = stack::semantic(settings, deployments, &self.events, &env)?;
                (caches.semantic, caches.embedding) = (Some(layer), Some(embedding));
            }
            #[cfg(not(feature = "cache-semantic"))]
            {
                let _ = (settings, deployments);
                return Err(stack::semantic_is_missing());
            }
        }
        Ok(caches)
    }
}

/// The deployments that say what they cost.
fn own_prices(models: &BTreeMap<String, ModelConfig>) -> HashSet<String> {
    let says = |deployment: &&DeploymentConfig| {
        deployment.input_price.is_some() && deployment.output_price.is_some()
    };
    let deployments = models.values().flat_map(|model| &model.deployments).filter(says);
    deployments.map(|deployment| deployment.model.clone()).collect()
}

fn router(
    settings: &RouterSettings,
    models: &BTreeMap<String, ModelConfig>,
    deployments: &Deployments,
    budget: &RetryBudget,
    events: &Events,
) -> Result<Router, Error> {
    let all = settings.policy();
    let mut router = Router::builder().resolver(deployments.clone()).events(events.clone());
    if let Some(property) = &settings.session_property {
        router = router.session_property(property.as_str());
    }
    for (name, config) in models {
        let policy = config.policy().over(&all);
        let mut model = Model::new(name)
            .fallbacks(&config.fallbacks)
            .context_window_fallbacks(&config.context_window_fallbacks)
            .content_policy_fallbacks(&config.content_policy_fallbacks);
        if let Some(chosen) = policy.strategy.map(StrategySetting::as_str).and_then(strategy::named) {
            model = model.shared_strategy(chosen);
        }
        if let Some(hedging) = stack::hedging(&policy, budget) {
            model = model.hedging(hedging);
        }
        let is_alone = config.deployments.len() == 1 && config.fallbacks.is_empty();
        let alone = is_alone.then(|| stack::longest_in_line(&policy));
        for deployment in &config.deployments {
            let made =
                deployments.configured(deployment, &policy, alone).map_err(|error| of_model(name, &error))?;
            model = model.deployment(made);
        }
        router = router.model(model);
    }
    router.build().map_err(|why| Error::new(ErrorKind::Configuration, why.to_string()))
}

fn endpoints(
    providers: Vec<AdapterConfig>,
    transport: &Transport,
    events: &Events,
) -> Result<HashMap<Arc<str>, Endpoint>, Error> {
    let mut endpoints = HashMap::with_capacity(providers.len());
    for mut config in providers {
        config.events = events.clone();
        let name = config.name.clone();
        if endpoints.insert(name.clone(), endpoint(config, transport)?).is_some() {
            let message = format!("two providers are named {name:?}; give one another name");
            return Err(Error::new(ErrorKind::Configuration, message));
        }
    }
    Ok(endpoints)
}

fn endpoint(config: AdapterConfig, transport: &Transport) -> Result<Endpoint, Error> {
    let kind = config.kind.clone();
    #[cfg(feature = "sim")]
    if kind == "sim" {
        let sim = mainstay_adapters::Sim::new(config.name);
        return Ok(Endpoint { kind, chat: sim.clone().boxed(), embedder: sim.boxed_embedder() });
    }
    let adapter = Adapter::new(config, transport)?;
    Ok(Endpoint { kind, chat: adapter.clone().boxed(), embedder: adapter.boxed_embedder() })
}

fn of_model(name: &str, error: &Error) -> Error {
    Error::new(ErrorKind::Configuration, format!("models.{name}: {}", error.message()))
}

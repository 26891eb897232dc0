//! Deployments: each provider's adapter with the layers of an attempt around it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_breaker::{BreakerHandle, BreakerLayer};
use mainstay_budget::AttemptMeterLayer;
use mainstay_metering::PriceTable;
use mainstay_provider_core::{BoxEmbedder, BoxProvider, Embedder, Error, ErrorKind, Events, ModelId};
use mainstay_rate_limit::{BulkheadLayer, RateLimitHandle, RateLimitLayer};
use mainstay_router::{Deployment, ResolveModel};
use tower::Layer as _;

use super::{DeploymentLayers, of_deployment, settings};
use crate::config::{DeploymentConfig, Policy, Span};

/// One provider, for chat and for embeddings.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// What it is: `openai`, `anthropic`.
    pub(crate) kind: String,
    pub(crate) chat: BoxProvider,
    pub(crate) embedder: BoxEmbedder,
}

/// The providers by name, and what their deployments share. Cloning copies a pointer.
#[derive(Clone)]
pub(crate) struct Deployments(Arc<Shared>);

struct Shared {
    providers: HashMap<Arc<str>, Endpoint>,
    /// For deployments that no model of the configuration has.
    policy: Policy,
    money: Money,
    events: Events,
    /// A deployment that stands behind several models has one breaker and one rate limit, if it has the same settings.
    known: Mutex<HashMap<Key, Guards>>,
}

/// What the deployments must know of prices and budgets.
#[derive(Debug, Default)]
pub(crate) struct Money {
    /// Whether a budget wants to know what each attempt used.
    pub(crate) is_metered: bool,
    /// The deployments (`provider/model`) that say themselves what they cost.
    pub(crate) own_prices: HashSet<String>,
}

/// What a deployment shares wherever it stands.
#[derive(Clone)]
struct Guards {
    rate_limit: RateLimitLayer,
    bulkhead: Option<BulkheadLayer>,
    breaker: BreakerLayer,
}

/// A deployment with the settings of what it shares.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    name: Arc<str>,
    failures: (Option<u32>, Option<u32>, Option<u64>),
    slow: (Option<Duration>, Option<Duration>),
    cooldown: Option<Duration>,
    timeout: Option<Duration>,
    alone: Option<Duration>,
    rpm: Option<u64>,
    tpm: Option<u64>,
    max_parallel: Option<usize>,
}

impl Deployments {
    pub(crate) fn new(
        providers: HashMap<Arc<str>, Endpoint>,
        policy: Policy,
        money: Money,
        events: Events,
    ) -> Self {
        Self(Arc::new(Shared { providers, policy, money, events, known: Mutex::default() }))
    }

    /// What the price table calls `provider/model`: the provider by what it is, or by its name where the deployment says
    /// what it costs. `None` when the provider is not known.
    pub(crate) fn priced_as(&self, model: &str) -> Option<(Arc<str>, Arc<str>)> {
        let id = ModelId::parse(model, |name| self.0.providers.contains_key(name));
        let endpoint = self.0.providers.get(id.provider)?;
        let has_own = self.0.money.own_prices.contains(&*id.to_string());
        let provider = if has_own { id.provider } else { endpoint.kind.as_str() };
        Some((provider.into(), id.model.into()))
    }

    /// A deployment of a configured model. `alone`: how long a call waits in line there when nobody else could take it.
    pub(crate) fn configured(
        &self,
        config: &DeploymentConfig,
        policy: &Policy,
        alone: Option<Duration>,
    ) -> Result<Deployment, Error> {
        let made = self.made(config, policy, alone, true)?;
        made.ok_or_else(|| {
            let known = self.names();
            let message = format!("{:?} names no configured provider; there are: {known}", config.model);
            Error::new(ErrorKind::Configuration, message)
        })
    }

    /// The embedder of `provider/model`, and the model's name there.
    #[cfg(feature = "cache-semantic")]
    pub(crate) fn embedder(&self, model: &str) -> Option<(BoxEmbedder, String)> {
        let id = ModelId::parse(model, |name| self.0.providers.contains_key(name));
        let endpoint = self.0.providers.get(id.provider)?;
        Some((endpoint.embedder.clone(), id.model.to_owned()))
    }

    pub(crate) fn breakers(&self) -> Vec<BreakerHandle> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut handles: Vec<_> = known.values().map(|guards| guards.breaker.handle()).collect();
        handles.sort_by(|one, other| one.deployment().cmp(other.deployment()));
        handles
    }

    pub(crate) fn rate_limits(&self) -> Vec<RateLimitHandle> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut handles: Vec<_> = known.values().map(|guards| guards.rate_limit.handle()).collect();
        handles.sort_by(|one, other| one.deployment().cmp(other.deployment()));
        handles
    }

    /// `None` when the provider is not known.
    fn made(
        &self,
        config: &DeploymentConfig,
        policy: &Policy,
        alone: Option<Duration>,
        keep: bool,
    ) -> Result<Option<Deployment>, Error> {
        let id = ModelId::parse(&config.model, |name| self.0.providers.contains_key(name));
        let Some(endpoint) = self.0.providers.get(id.provider) else { return Ok(None) };
        let name: Arc<str> = id.to_string().into();
        let Guards { rate_limit, bulkhead, breaker } =
            self.shared(name.clone(), &endpoint.kind, config, policy, alone, keep)?;
        let timeout = settings::timeout(policy)?;
        let (availability, headroom) = (breaker.handle(), rate_limit.handle());
        let embedder = timeout.layer(endpoint.embedder.clone()).boxed_embedder();
        let attempt_meter = self.0.money.is_metered.then(|| self.priced_as(&config.model)).flatten();
        let attempt_meter =
            attempt_meter.map(|(provider, _)| AttemptMeterLayer::new(provider).deployment(name.clone()));
        let embedder = match &attempt_meter {
            Some(meter) => meter.layer(embedder).boxed_embedder(),
            None => embedder,
        };
        let layers = DeploymentLayers { attempt_meter, rate_limit, bulkhead, breaker, timeout };
        let prefill = mainstay_adapters::accepts_prefill(&endpoint.kind, id.model);
        let mut deployment = Deployment::new(name, of_deployment(layers, endpoint.chat.clone()))
            .model(id.model)
            .embedder(embedder)
            .availability(availability)
            .headroom(headroom)
            .prefill(config.prefill.unwrap_or(prefill));
        if let Some(weight) = config.weight {
            deployment = deployment.weight(weight);
        }
        if let Some(order) = config.order {
            deployment = deployment.order(order);
        }
        if let Some(tokens) = config.context_window {
            deployment = deployment.context_window(tokens);
        }
        if let Some((input, output)) = self.price(config, &endpoint.kind, id.model) {
            deployment = deployment.price(input, output);
        }
        Ok(Some(deployment))
    }

    /// USD per million tokens of input and of output, for the strategies that look at prices.
    fn price(&self, config: &DeploymentConfig, kind: &str, model: &str) -> Option<(f64, f64)> {
        if let (Some(input), Some(output)) = (config.input_price, config.output_price) {
            return Some((input, output));
        }
        let table = PriceTable::built_in();
        let base = table.prices(kind, model)?.prices.base();
        Some((base.input.as_f64_per_million(), base.output.as_f64_per_million()))
    }

    fn shared(
        &self,
        name: Arc<str>,
        kind: &str,
        config: &DeploymentConfig,
        policy: &Policy,
        alone: Option<Duration>,
        keep: bool,
    ) -> Result<Guards, Error> {
        let key = Key {
            name: name.clone(),
            failures: (policy.failures, policy.allowed_fails, policy.failure_rate.map(f64::to_bits)),
            slow: (policy.slow_first_token.map(Span::duration), policy.slow_gap.map(Span::duration)),
            cooldown: policy.cooldown_time.map(|time| time.duration()),
            timeout: policy.timeout.map(|time| time.duration()),
            alone,
            rpm: config.rpm,
            tpm: config.tpm,
            max_parallel: config.max_parallel,
        };
        // The table is as good after a panic elsewhere as before.
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layers) = known.get(&key) {
            return Ok(layers.clone());
        }
        let events = &self.0.events;
        let layers = Guards {
            rate_limit: settings::rate_limit(config, alone, kind, &name, events)?,
            bulkhead: settings::bulkhead(config, &name)?,
            breaker: settings::breaker(policy, &name, events)?,
        };
        if keep {
            known.insert(key, layers.clone());
        }
        Ok(layers)
    }

    fn names(&self) -> String {
        let mut names: Vec<&str> = self.0.providers.keys().map(|name| &**name).collect();
        names.sort_unstable();
        names.join(", ")
    }
}

/// `provider/model` in a request, or a model of the default provider (S1.2).
impl ResolveModel for Deployments {
    fn resolve(&self, model: &str) -> Option<Deployment> {
        let config = DeploymentConfig { model: model.to_owned(), ..DeploymentConfig::default() };
        // The settings were checked when the client was built.
        self.made(&config, &self.0.policy, Some(settings::longest_in_line(&self.0.policy)), false)
            .ok()
            .flatten()
    }

    fn hint(&self) -> String {
        format!("write provider/model with one of these providers: {}", self.names())
    }
}

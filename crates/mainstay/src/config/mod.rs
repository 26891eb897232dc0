//! The configuration: TOML, with environment references for secrets.
//!
//! ```toml
//! [providers.openai]
//! api_key = "${OPENAI_API_KEY}"
//!
//! [models.main-model]
//! deployments = [{ model = "openai/gpt-4o" }]
//! ```
//!
//! Unknown keys are errors that suggest the right one; every error names its line.

mod caching;
mod document;
mod money;
mod routing;
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use mainstay_adapters::{AdapterConfig, Api, PromptCaching, TransportConfig};
use mainstay_provider_core::{Error, ErrorKind};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

pub use self::caching::{CacheSettings, GuardsSetting, IndexSetting, PresetSetting, SemanticCacheSettings};
pub use self::document::{Document, Problem, Problems};
pub use self::money::{
    BudgetSettings, BudgetStoreSetting, FullLimit, LimitSetting, LostHoldSetting, PriceSettings,
    StoreFailsSetting, UnknownPriceSetting,
};
pub(crate) use self::routing::Policy;
pub use self::routing::{
    DeploymentConfig, HoldBackSetting, ModelConfig, RescueSetting, RouterSettings, ShortenSetting,
    StrategySetting,
};
pub use self::text::{EnvText, Span};
use crate::stack;

/// What a [`Client`](crate::Client) is made of.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The providers, by the name that model strings use.
    pub providers: BTreeMap<String, ProviderConfig>,
    /// The logical models that application code asks for (S1.3).
    pub models: BTreeMap<String, ModelConfig>,
    /// How calls are routed, timed, retried and rescued.
    pub router: RouterSettings,
    /// How connections to providers are made.
    pub transport: TransportSettings,
    /// The exact cache: the same question again. There when this table is.
    pub cache: Option<CacheSettings>,
    /// The semantic cache: the same question in other words. There when this table is.
    pub semantic_cache: Option<SemanticCacheSettings>,
    /// What calls cost.
    pub prices: Option<PriceSettings>,
    /// Who may spend how much, and the usage ledger. There when this table is.
    pub budget: Option<BudgetSettings>,
}

/// One provider.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ProviderConfig {
    /// What it is: `openai`, `anthropic`, `gemini`, …; a server that speaks OpenAI's dialect is `openai` with its
    /// `base_url`. Default: the provider's name.
    pub kind: Option<String>,
    /// Its address up to the paths, `https://host/v1` for instance. Default: the provider's public address.
    pub base_url: Option<EnvText>,
    /// The key, best as a reference: `"${OPENAI_API_KEY}"`.
    pub api_key: Option<EnvText>,
    /// Several keys: when one is rejected, the next is taken.
    pub api_keys: Vec<EnvText>,
    /// Headers added to each request.
    pub headers: BTreeMap<String, EnvText>,
    /// Which of the provider's interfaces is spoken, where it has several.
    pub api: ApiSetting,
    /// Whether cache breakpoints are set on a long static prefix. Default true.
    pub prompt_caching: Option<bool>,
    /// Longest answer in tokens where the provider demands one and the request names none. Default 4096.
    pub default_max_tokens: Option<u64>,
    /// Azure: the `api-version`. Default `2024-10-21`.
    pub api_version: Option<String>,
    /// Bedrock and Vertex: the region. Default `us-east-1` and `global`.
    pub region: Option<EnvText>,
    /// Vertex: the project.
    pub project: Option<EnvText>,
    /// Bedrock: the access key's id; the secret access key is `api_key`. Without it `api_key` is a Bedrock API key.
    pub access_key_id: Option<EnvText>,
    /// Bedrock: the session token of temporary credentials.
    pub session_token: Option<EnvText>,
}

/// Which of a provider's interfaces is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiSetting {
    /// The provider's usual one.
    #[default]
    Default,
    /// OpenAI's chat completions, where it is not the usual one (Ollama, Gemini).
    ChatCompletions,
    /// OpenAI's Responses.
    Responses,
}

/// How connections to providers are made.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TransportSettings {
    /// How long connecting may take: `"10s"` (default), `"500ms"`, or a number of seconds.
    pub connect_timeout: Option<Span>,
    /// How long a provider may be silent between two reads. Default `"120s"`.
    pub read_timeout: Option<Span>,
    /// How long an idle connection is kept. Default `"60s"`.
    pub idle_timeout: Option<Span>,
    /// How many idle connections are kept per provider. Default 512.
    pub max_idle: Option<usize>,
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// All problems of the text at once, each with its line.
    pub fn from_toml(text: &str) -> Result<Self, Problems> {
        let mut document = Document::parse(text)?;
        let config = Self::read(&mut document);
        document.finish()?;
        Ok(config)
    }

    /// Reads the sections of a client out of a document that may have others.
    pub fn read(document: &mut Document<'_>) -> Self {
        let config = Self {
            providers: document.table("providers"),
            models: document.table("models"),
            router: document.section("router").unwrap_or_default(),
            transport: document.section("transport").unwrap_or_default(),
            cache: document.section("cache"),
            semantic_cache: document.section("semantic_cache"),
            prices: document.section("prices"),
            budget: document.section("budget"),
        };
        if let Some(Err(why)) = config.cache.as_ref().map(|cache| cache.config().check()) {
            document.problem(&["cache"], &format!("cache: {why}"));
        }
        if let Some(problem) = config.prices.as_ref().and_then(PriceSettings::problem) {
            document.problem(&["prices"], &format!("prices: {problem}"));
        }
        for problem in config.budget.iter().flat_map(BudgetSettings::problems) {
            document.problem(&["budget"], &format!("budget: {problem}"));
        }
        let all_sound = match stack::check(&config.router.policy()) {
            Ok(()) => true,
            Err(error) => {
                document.problem(&["router"], &format!("router: {}", error.message()));
                false
            }
        };
        for (name, model) in &config.models {
            for problem in config.problems_of(name, model, all_sound) {
                document.problem(&["models", name], &format!("models.{name}: {problem}"));
            }
        }
        config
    }

    /// The environment variables that the settings of caches, prices and budgets refer to.
    pub(crate) fn references(&self) -> impl Iterator<Item = &str> {
        let exact = self.cache.iter().flat_map(|cache| &cache.redis_url);
        let semantic = self.semantic_cache.iter().flat_map(SemanticCacheSettings::texts);
        let prices = self.prices.iter().flat_map(|prices| &prices.file);
        let budget = self.budget.iter().flat_map(BudgetSettings::texts);
        exact.chain(semantic).chain(prices).chain(budget).flat_map(EnvText::references)
    }

    /// `all_sound`: what `[router]` says is in order; else its problem would be told for each model again.
    fn problems_of(&self, name: &str, model: &ModelConfig, all_sound: bool) -> Vec<String> {
        let mut problems = Vec::new();
        if model.deployments.is_empty() {
            problems.push("deployments is empty; name one, like { model = \"openai/gpt-4o\" }".to_owned());
        }
        let all = if all_sound { self.router.policy() } else { Policy::default() };
        if let Err(error) = stack::check(&model.policy().over(&all)) {
            problems.push(error.message().to_owned());
        }
        for deployment in &model.deployments {
            if let Err(error) = stack::check_deployment(deployment) {
                problems.push(format!("deployment {:?}: {}", deployment.model, error.message()));
            }
        }
        if let Some(unknown) = model.summarise_with.as_ref().filter(|other| !self.models.contains_key(*other))
        {
            problems.push(format!("summarise_with: {unknown:?} is no model of this configuration"));
        }
        let fallbacks = [
            ("fallbacks", &model.fallbacks),
            ("context_window_fallbacks", &model.context_window_fallbacks),
            ("content_policy_fallbacks", &model.content_policy_fallbacks),
        ];
        for (setting, names) in fallbacks {
            for unknown in names.iter().filter(|other| *other == name || !self.models.contains_key(*other)) {
                problems.push(format!("{setting}: {unknown:?} is no other model of this configuration"));
            }
        }
        problems
    }
}

impl ModelConfig {
    /// A logical model with one deployment.
    pub fn to(model: impl Into<String>) -> Self {
        Self::to_each([model])
    }

    /// A logical model with several deployments.
    pub fn to_each<M: Into<String>>(models: impl IntoIterator<Item = M>) -> Self {
        let deployment = |model: M| DeploymentConfig { model: model.into(), ..DeploymentConfig::default() };
        Self { deployments: models.into_iter().map(deployment).collect(), ..Self::default() }
    }
}

impl ProviderConfig {
    /// A provider of this kind.
    pub fn of_kind(kind: impl Into<String>) -> Self {
        Self { kind: Some(kind.into()), ..Self::default() }
    }

    /// The adapter's configuration; `env` gives the values of `${NAME}` references.
    pub(crate) fn resolve(
        &self,
        name: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<AdapterConfig, Error> {
        let at = |setting: &'static str| {
            move |text: &EnvText| text.resolve(&format!("providers.{name}.{setting}"), env)
        };
        let optional = |setting, text: &Option<EnvText>| text.as_ref().map(at(setting)).transpose();
        let mut config = AdapterConfig::new(self.kind.as_deref().unwrap_or(name)).name(name);
        config.base_url = optional("base_url", &self.base_url)?;
        config.region = optional("region", &self.region)?;
        config.project = optional("project", &self.project)?;
        config.access_key_id = optional("access_key_id", &self.access_key_id)?;
        config.session_token = optional("session_token", &self.session_token)?.map(SecretString::from);
        for key in self.api_key.iter().chain(&self.api_keys) {
            config.keys.push(at("api_key")(key)?.into());
        }
        config.headers = self.resolve_headers(name, env)?;
        config.api_version.clone_from(&self.api_version);
        config.api = match self.api {
            ApiSetting::Default => Api::Default,
            ApiSetting::ChatCompletions => Api::ChatCompletions,
            ApiSetting::Responses => Api::Responses,
        };
        if self.prompt_caching == Some(false) {
            config.prompt_caching = PromptCaching::Off;
        }
        if let Some(tokens) = self.default_max_tokens {
            config.default_max_tokens = tokens;
        }
        Ok(config)
    }

    fn resolve_headers(&self, name: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        for (header, text) in &self.headers {
            let path = format!("providers.{name}.headers.{header}");
            let header_name = HeaderName::from_bytes(header.as_bytes())
                .map_err(|_| configuration(format!("{path}: {header:?} is no header name")))?;
            let mut value = HeaderValue::from_str(&text.resolve(&path, env)?).map_err(|_| {
                configuration(format!("{path}: the value holds characters that no header may have"))
            })?;
            value.set_sensitive(true);
            headers.insert(header_name, value);
        }
        Ok(headers)
    }
}

impl TransportSettings {
    pub(crate) fn resolve(&self) -> TransportConfig {
        let mut config = TransportConfig::default();
        let set = |setting: &mut Duration, span: &Option<Span>| {
            if let Some(span) = span {
                *setting = span.duration();
            }
        };
        set(&mut config.connect_timeout, &self.connect_timeout);
        set(&mut config.read_timeout, &self.read_timeout);
        set(&mut config.idle_timeout, &self.idle_timeout);
        if let Some(connections) = self.max_idle {
            config.max_idle = connections;
        }
        config
    }
}

fn configuration(message: String) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

//! The gateway's configuration: the client's, and how the server behaves.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use mainstay::Config;
use mainstay::adapters::{provider, providers};
use mainstay::config::{
    BudgetStoreSetting, Document, EnvText, ModelConfig, Problems, ProviderConfig, Span, UnknownPriceSetting,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::alerts::AlertsConfig;
use crate::keys::{AdminConfig, KeysConfig};
use crate::metrics::MetricsConfig;

/// The gateway's configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct GatewayConfig {
    pub(crate) server: ServerConfig,
    pub(crate) keys: Option<KeysConfig>,
    pub(crate) admin: Option<AdminConfig>,
    pub(crate) alerts: Option<AlertsConfig>,
    pub(crate) metrics: MetricsConfig,
    pub(crate) client: Config,
}

/// How the server behaves.
#[derive(Debug, Clone, PartialEq, JsonSchema, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerConfig {
    /// Address to listen on. Default 127.0.0.1:4000.
    #[schemars(with = "String")]
    pub(crate) listen: SocketAddr,
    /// Largest request body in bytes. Default 33554432 (32 MiB).
    pub(crate) max_body_bytes: usize,
    /// How long a client may take to send its headers, and how long an idle connection is kept. Default "60s".
    pub(crate) header_timeout: Span,
    /// How long a client may take to send its body. Default "60s".
    pub(crate) body_timeout: Span,
    /// How long a client may take nothing of an answer that is there for it. Default "60s".
    pub(crate) send_timeout: Span,
    /// After SIGTERM: how long requests are still accepted while `/health/ready` already says no. Default "0s".
    pub(crate) drain_delay: Span,
    /// After that: how long running answers may go on. Default "30s".
    pub(crate) drain_limit: Span,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 4000)),
            max_body_bytes: 32 << 20,
            header_timeout: Span::new(Duration::from_secs(60)),
            body_timeout: Span::new(Duration::from_secs(60)),
            send_timeout: Span::new(Duration::from_secs(60)),
            drain_delay: Span::new(Duration::ZERO),
            drain_limit: Span::new(Duration::from_secs(30)),
        }
    }
}

/// The whole file, for its JSON schema.
#[derive(JsonSchema)]
#[schemars(title = "Mainstay gateway", deny_unknown_fields)]
#[allow(dead_code)] // only its schema is used
struct File {
    /// How the server behaves.
    #[schemars(default)]
    server: Option<ServerConfig>,
    /// Who may call. Without this table everybody may.
    #[schemars(default)]
    keys: Option<KeysConfig>,
    /// The admin API. Without this table there is none.
    #[schemars(default)]
    admin: Option<AdminConfig>,
    /// Where alerts are sent. Without this table they are only in the log.
    #[schemars(default)]
    alerts: Option<AlertsConfig>,
    /// How the gateway stands, for Prometheus.
    #[schemars(default)]
    metrics: Option<MetricsConfig>,
    #[schemars(flatten)]
    client: Config,
}

impl GatewayConfig {
    /// Reads a configuration; all its problems are told at once.
    pub(crate) fn from_toml(text: &str) -> Result<Self, Problems> {
        let mut document = Document::parse(text)?;
        let server = document.section("server").unwrap_or_default();
        let keys: Option<KeysConfig> = document.section("keys");
        if let Some(why) = keys.as_ref().and_then(KeysConfig::problem) {
            document.problem(&["keys"], &format!("keys: {why}"));
        }
        let admin: Option<AdminConfig> = document.section("admin");
        if let Some(why) = admin.as_ref().and_then(|admin| admin.problem(keys.is_some())) {
            document.problem(&["admin"], &format!("admin: {why}"));
        }
        let alerts: Option<AlertsConfig> = document.section("alerts");
        if let Some(why) = alerts.as_ref().and_then(AlertsConfig::problem) {
            document.problem(&["alerts"], &format!("alerts: {why}"));
        }
        let metrics = document.section("metrics").unwrap_or_default();
        let mut client = Config::read(&mut document);
        document.finish()?;
        if let Some(keys) = &keys {
            keep_limits(&mut client, keys);
        }
        Ok(Self { server, keys, admin, alerts, metrics, client })
    }

    /// What runs without a file: the simulated provider, and each provider whose usual key variable is set.
    pub(crate) fn embedded(env: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut client = Config::default();
        client.providers.insert("sim".into(), ProviderConfig::of_kind("sim"));
        client.models.insert("echo".into(), ModelConfig::to("sim/echo"));
        // Those that need more than a key (an address, an account) need a file.
        let by_key_alone = |name: &str| !matches!(name, "azure-openai" | "bedrock" | "vertex");
        for info in providers().filter(|info| info.needs_key && by_key_alone(info.name)) {
            if env(info.key_env).is_some_and(|key| !key.trim().is_empty()) {
                let mut provider = ProviderConfig::of_kind(info.name);
                provider.api_key = Some(EnvText::new(format!("${{{}}}", info.key_env)));
                client.providers.insert(info.name.into(), provider);
            }
        }
        for name in ["ollama", "vllm"].into_iter().filter(|name| provider(name).is_some()) {
            client.providers.insert(name.into(), ProviderConfig::of_kind(name));
        }
        Self { client, ..Self::default() }
    }

    /// The JSON schema of the file.
    pub(crate) fn schema() -> schemars::Schema {
        schemars::schema_for!(File)
    }
}

/// Keys have limits, and a budget keeps them: where the keys are, if several gateways share them, so that a limit is one for
/// all (S1). Where nobody has said what to do with a model without a price, it is let through with an alarm: an operator who
/// wanted keys has not asked for prices.
fn keep_limits(client: &mut Config, keys: &KeysConfig) {
    if client.budget.is_some() {
        return;
    }
    let (store, url) = match (&keys.redis_url, &keys.postgres_url) {
        (Some(url), _) => (BudgetStoreSetting::Redis, Some(url)),
        (None, Some(url)) => (BudgetStoreSetting::Postgres, Some(url)),
        (None, None) => (BudgetStoreSetting::Memory, None),
    };
    let budget = client.budget.get_or_insert_default();
    (budget.store, budget.url) = (store, url.cloned());
    let prices = client.prices.get_or_insert_default();
    prices.unknown.get_or_insert(UnknownPriceSetting::AllowWithAlarm);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        GatewayConfig::from_toml(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    // S1: limits in the memory of each gateway would be multiplied by their number.
    #[test]
    fn the_limits_of_shared_keys_are_kept_where_the_keys_are() {
        let budget = |keys: &str| {
            let config = GatewayConfig::from_toml(&format!("[keys]\n{keys}\n")).unwrap();
            let budget = config.client.budget.unwrap();
            (budget.store, budget.url)
        };
        let url = EnvText::new("redis://one/0");
        let secret = "secret = \"${S}\"";
        let redis = budget(&format!("redis_url = \"redis://one/0\"\n{secret}"));
        assert_eq!(redis, (BudgetStoreSetting::Redis, Some(url.clone())));
        assert_eq!(budget("file = \"keys.json\""), (BudgetStoreSetting::Memory, None));
        let own = format!("redis_url = \"redis://one/0\"\n{secret}\n[budget]\nstore = \"memory\"");
        assert_eq!(budget(&own), (BudgetStoreSetting::Memory, None));
        assert_eq!(GatewayConfig::from_toml("").unwrap().client.budget, None);
    }

    #[test]
    fn all_problems_are_told_with_their_lines_and_the_right_key() {
        let text = "[server]\nlisten = \"127.0.0.1:4000\"\nmax_body = 3\n\n[providers.openai]\napi_kee = \"x\"\n\n\
                    [models.main]\ndeployments = []\n\n[modles]\n";
        let problems = problems(text);
        assert_eq!(problems.len(), 4, "{problems:#?}");
        assert!(
            problems[0].starts_with("line 3") && problems[0].contains("max_body_bytes"),
            "{}",
            problems[0]
        );
        assert!(
            problems[1].starts_with("line 6") && problems[1].contains("did you mean \"api_key\""),
            "{}",
            problems[1]
        );
        assert!(problems[2].starts_with("line 8") || problems[2].starts_with("line 9"), "{}", problems[2]);
        assert!(problems[2].contains("deployments is empty"), "{}", problems[2]);
        assert!(
            problems[3].starts_with("line 11") && problems[3].contains("did you mean \"models\""),
            "{}",
            problems[3]
        );
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        assert!(problems("[server\nlisten = 1")[0].starts_with("line 1"));
    }

    #[test]
    fn the_published_schema_is_the_current_one() {
        let published = include_str!("../../../docs/config.schema.json");
        let published: serde_json::Value = serde_json::from_str(published).unwrap();
        let current = serde_json::to_value(GatewayConfig::schema()).unwrap();
        let anew = "print it anew: cargo run -p mainstay-gateway -- schema > docs/config.schema.json";
        assert!(published == current, "{anew}"); // not assert_eq: nobody reads two schemas on one line
    }

    #[test]
    fn spans_and_addresses_are_checked() {
        let problems = problems("[server]\nlisten = \"localhost\"\n");
        assert!(problems[0].starts_with("line 2"), "{problems:?}");
        let config =
            GatewayConfig::from_toml("[server]\ndrain_limit = \"2m\"\nbody_timeout = 1.5\n").unwrap();
        assert_eq!(config.server.drain_limit.duration(), Duration::from_secs(120));
        assert_eq!(config.server.body_timeout.duration(), Duration::from_millis(1500));
    }

    #[test]
    fn keys_need_a_place_and_the_admin_api_a_token() {
        for (text, told) in [
            ("[keys]\n", "say where the keys are"),
            ("[keys]\nfile = \"a\"\nredis_url = \"b\"\n", "only one of them"),
            ("[keys]\nredis_url = \"b\"\n", "secret is missing"),
            ("[keys]\nfile = \"a\"\npoll = \"1m\"\n", "poll must be"),
            ("[keys]\nfile = \"a\"\n[admin]\n", "off without one"),
            ("[admin]\ntoken = \"${T}\"\n", "nothing to manage"),
        ] {
            let problems = problems(text);
            assert!(problems.len() == 1 && problems[0].contains(told), "{text}: {problems:?}");
        }
        let config = GatewayConfig::from_toml("[keys]\nfile = \"a\"\n[admin]\ntoken = \"${T}\"\n").unwrap();
        assert_eq!(config.admin.unwrap().listen.to_string(), "127.0.0.1:4001");
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:4000");
    }

    #[test]
    fn without_a_file_the_simulated_provider_and_those_with_a_key_are_there() {
        let config = GatewayConfig::embedded(&|name| (name == "OPENAI_API_KEY").then(|| "k".into()));
        let names: Vec<_> = config.client.providers.keys().map(String::as_str).collect();
        assert_eq!(names, ["ollama", "openai", "sim", "vllm"]);
    }
}

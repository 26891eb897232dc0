//! `[metrics]`: where they are read, and by whom.

use std::net::SocketAddr;

use mainstay::config::EnvText;
use mainstay::virtual_keys::SecretToken;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::keys::{Env, secret_token};

/// How the gateway stands, for Prometheus: `GET /metrics`. There also without this table.
#[derive(Debug, Clone, PartialEq, JsonSchema, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MetricsConfig {
    /// Whether there are metrics. Default true.
    pub(crate) enabled: bool,
    /// A listener of its own, so that only who reaches that address can read them: `"127.0.0.1:9464"`. Default: the address of
    /// `[server]`.
    #[schemars(with = "Option<String>")]
    pub(crate) listen: Option<SocketAddr>,
    /// The token that must be shown to read them, 24 to 256 bytes, best as a reference: `"${MAINSTAY_METRICS_TOKEN}"`. Default:
    /// none is asked for.
    pub(crate) token: Option<EnvText>,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { enabled: true, listen: None, token: None }
    }
}

impl MetricsConfig {
    pub(crate) fn token(&self, env: Env<'_>) -> Result<Option<SecretToken>, String> {
        self.token.as_ref().map(|token| secret_token("metrics.token", token, env)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GatewayConfig;

    #[test]
    fn they_are_there_when_nothing_is_said_and_mistakes_are_told_with_the_cure() {
        assert!(GatewayConfig::from_toml("").unwrap().metrics.enabled);
        let config = GatewayConfig::from_toml("[metrics]\nlisten = \"127.0.0.1:9464\"\n").unwrap();
        assert!(config.metrics.enabled && config.metrics.listen.is_some());
        for (text, told) in [
            ("[metrics]\nenable = false\n", "did you mean \"enabled\""),
            ("[metrics]\nlisten = 9464\n", "line 2"),
            ("[metric]\n", "did you mean \"metrics\""),
        ] {
            let problems = GatewayConfig::from_toml(text).unwrap_err();
            assert!(problems.to_string().contains(told), "{text}: {problems}");
        }
    }

    #[test]
    fn a_token_that_could_be_guessed_is_refused() {
        let of = |token: &str| MetricsConfig { token: Some(EnvText::new(token)), ..Default::default() };
        assert!(of("too short").token(&|_| None).unwrap_err().contains("openssl rand -hex 32"));
        assert!(of("${T}").token(&|_| None).unwrap_err().contains("metrics.token"));
        assert!(of("0123456789abcdef0123456789abcdef").token(&|_| None).unwrap().is_some());
        assert!(MetricsConfig::default().token(&|_| None).unwrap().is_none());
    }
}

//! `[alerts]`: where alerts go, and which.

use std::time::Duration;

use mainstay::config::{EnvText, Span};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Alerts;
use super::connect::Connector;
use super::signature::Signer;
use super::target::Target;
use super::wanted::{Wanted, is_pattern};
use super::webhook::Webhook;

/// Alerts are sent to a webhook, besides the log: signed, and again when they fail.
#[derive(Debug, Clone, PartialEq, JsonSchema, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AlertsConfig {
    /// Where they are sent: `"https://hooks.example.com/mainstay"`.
    pub(crate) webhook: Option<EnvText>,
    /// With what they are signed, at least 24 bytes, best as a reference: `"${MAINSTAY_ALERTS_SECRET}"`.
    pub(crate) secret: Option<EnvText>,
    /// Which events are sent: names, or beginnings with `*` like `"budget.*"`. Default: every event of the severity `alert`, and
    /// `budget.soft_limit`, `budget.hard_limit`, `budget.forecast` and `budget.hold_lost`.
    pub(crate) events: Option<Vec<String>>,
    /// Whether the webhook may be on this machine or in a private network, and without TLS. Default false.
    pub(crate) allow_private: bool,
    /// How often an alert is tried, 1 to 20. Default 5.
    pub(crate) attempts: u32,
    /// How long one attempt may take, 100 ms to 60 s. Default `"10s"`.
    pub(crate) timeout: Span,
    /// How many alerts may wait, 1 to 100000; then the oldest are dropped. Default 1000.
    pub(crate) queue: usize,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self {
            webhook: None,
            secret: None,
            events: None,
            allow_private: false,
            attempts: 5,
            timeout: Span::new(Duration::from_secs(10)),
            queue: 1000,
        }
    }
}

const SOUND_TIMEOUT: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(60);

impl AlertsConfig {
    /// What is wrong with it, as far as can be seen without the environment.
    pub(crate) fn problem(&self) -> Option<String> {
        let literal =
            |text: &EnvText| text.references().is_empty().then(|| text.resolve("alerts", &|_| None).ok())?;
        let Some(webhook) = &self.webhook else {
            return Some("webhook is missing: webhook = \"https://hooks.example.com/mainstay\"".into());
        };
        if let Some(why) = literal(webhook).and_then(|url| Target::parse(&url, self.allow_private).err()) {
            return Some(why.into());
        }
        let Some(secret) = &self.secret else {
            return Some(
                "secret is missing, by which the receiver knows us: secret = \"${MAINSTAY_ALERTS_SECRET}\""
                    .into(),
            );
        };
        if let Some(why) = literal(secret).and_then(|secret| Signer::new(secret.trim().as_bytes()).err()) {
            return Some(why.into());
        }
        self.number_problem().or_else(|| self.events_problem())
    }

    fn number_problem(&self) -> Option<String> {
        if !(1..=20).contains(&self.attempts) {
            return Some("attempts must be from 1 to 20".into());
        }
        if !SOUND_TIMEOUT.contains(&self.timeout.duration()) {
            return Some("timeout must be from 100ms to 60s".into());
        }
        (!(1..=100_000).contains(&self.queue)).then(|| "queue must be from 1 to 100000".into())
    }

    fn events_problem(&self) -> Option<String> {
        let events = self.events.as_ref()?;
        if events.is_empty() {
            return Some("events is empty, so nothing would be sent; leave it out for the usual ones".into());
        }
        let wrong = events.iter().find(|pattern| !is_pattern(pattern))?;
        Some(format!("events: {wrong:?} matches nothing; write a name like \"key.rejected\" or \"budget.*\""))
    }

    /// Makes ready to send; nothing is sent or looked up yet.
    pub(crate) fn open(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Alerts, String> {
        if let Some(why) = self.problem() {
            return Err(format!("alerts: {why}"));
        }
        let resolve = |name: &str, text: &Option<EnvText>| match text {
            Some(text) => {
                text.resolve(&format!("alerts.{name}"), env).map_err(|error| error.message().to_owned())
            }
            None => Err(format!("alerts.{name} is missing")),
        };
        let told = |why: &str| format!("alerts: {why}");
        let target = Target::parse(&resolve("webhook", &self.webhook)?, self.allow_private).map_err(told)?;
        let signer = Signer::new(resolve("secret", &self.secret)?.trim().as_bytes()).map_err(told)?;
        let timeout = self.timeout.duration();
        let connector =
            Connector::new(target.is_https, self.allow_private, timeout).map_err(|why| told(&why))?;
        let webhook = Webhook { target, connector, signer, timeout };
        Alerts::new(self.wanted(), self.queue, self.attempts, webhook)
    }

    fn wanted(&self) -> Wanted {
        self.events.clone().map_or(Wanted::Usual, Wanted::Named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GatewayConfig;

    const SOUND: &str = "webhook = \"https://hooks.example.com/x\"\nsecret = \"${S}\"\n";

    fn problem(rest: &str) -> String {
        let problems = GatewayConfig::from_toml(&format!("\n[alerts]\n{rest}")).unwrap_err();
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 1, "{rest}: {problems:?}");
        problems[0].clone()
    }

    #[test]
    fn problems_are_told_with_their_line_and_the_cure() {
        for (rest, line, cure) in [
            ("".to_owned(), 2, "webhook = \"https://"),
            ("webhook = \"https://h.example/x\"".to_owned(), 2, "secret = \"${MAINSTAY_ALERTS_SECRET}\""),
            ("webhook = \"https://h.example/x\"\nsecret = \"short\"".to_owned(), 2, "openssl rand -hex 32"),
            ("webhook = \"http://h.example/x\"\nsecret = \"${S}\"".to_owned(), 2, "must begin with https://"),
            ("webhook = \"https://10.0.0.1/x\"\nsecret = \"${S}\"".to_owned(), 2, "allow_private = true"),
            (
                "webhook = \"https://a:b@h.example/\"\nsecret = \"${S}\"".to_owned(),
                2,
                "user name or password",
            ),
            (format!("{SOUND}events = []"), 2, "leave it out"),
            (format!("{SOUND}events = [\"*.opened\"]"), 2, "\"budget.*\""),
            (format!("{SOUND}attempts = 0"), 2, "from 1 to 20"),
            (format!("{SOUND}timeout = \"2m\""), 2, "from 100ms to 60s"),
            (format!("{SOUND}queue = 0"), 2, "from 1 to 100000"),
            (format!("{SOUND}timeout = \"soon\""), 5, "a span of time"),
            (format!("{SOUND}atempts = 3"), 5, "did you mean \"attempts\""),
        ] {
            let told = problem(&rest);
            assert!(told.starts_with(&format!("line {line},")) && told.contains(cure), "{rest}: {told}");
        }
    }

    #[test]
    fn what_only_the_environment_shows_is_told_when_it_is_opened() {
        let config = GatewayConfig::from_toml("[alerts]\nwebhook = \"${W}\"\nsecret = \"${S}\"\n")
            .unwrap()
            .alerts
            .unwrap();
        let open = |webhook: &'static str, secret: &'static str| {
            let env = move |name: &str| Some(if name == "W" { webhook } else { secret }.to_owned());
            config.open(&env).err().unwrap_or_default()
        };
        const SECRET: &str = "0123456789abcdef0123456789abcdef";
        assert!(open("http://h.example/hunter2", SECRET).contains("must begin with https://"));
        assert!(!open("http://h.example/hunter2", SECRET).contains("hunter2"));
        assert!(open("https://127.0.0.1/", SECRET).contains("allow_private = true"));
        assert!(open("https://h.example/", "hunter2").contains("openssl rand -hex 32"));
        assert_eq!(open("https://h.example/", SECRET), "");
        assert!(
            config
                .open(&|_| None)
                .err()
                .unwrap()
                .contains("alerts.webhook: the environment variable W is not set")
        );
    }

    // Security test 2.
    #[test]
    fn neither_the_secret_nor_the_address_shows_in_debug() {
        let config = AlertsConfig {
            webhook: Some(EnvText::new("https://h.example/canary-path")),
            secret: Some(EnvText::new("canary-secret-0123456789abcdef")),
            ..AlertsConfig::default()
        };
        let alerts = config.open(&|_| None).unwrap();
        let shown = format!("{config:?} {config:#?} {alerts:?}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}

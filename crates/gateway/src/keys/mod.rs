//! The keys of callers: `[keys]` and `[admin]`.

pub(crate) mod limits;
pub(crate) mod view;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mainstay::config::{EnvText, Span};
use mainstay::virtual_keys::{
    Clock, FileStore, KeyHasher, KeyManager, KeyRing, KeyStore, PostgresConfig, PostgresStore, RedisConfig,
    RedisStore, RingConfig, SecretToken, StoreError,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Who may call: only those who show a key. There when this table is; without it everybody may. One of `file`, `redis_url`
/// and `postgres_url` says where the keys are.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct KeysConfig {
    /// A file of keys, for one machine; made when it is not there.
    pub(crate) file: Option<EnvText>,
    /// A Redis with the keys, which several gateways share: `"redis://host:6379/0"`.
    pub(crate) redis_url: Option<EnvText>,
    /// A PostgreSQL with the keys, which several gateways share: `"postgresql://user@host/database"`.
    pub(crate) postgres_url: Option<EnvText>,
    /// With what the keys' digests are made, at least 32 bytes, best as a reference: `"${MAINSTAY_KEYS_SECRET}"`. All who share
    /// the keys need the same. Default with `file`: one that lies beside it.
    pub(crate) secret: Option<EnvText>,
    /// How often the store is looked at for changes. Default `"250ms"`, at most `"500ms"`.
    pub(crate) poll: Option<Span>,
    /// How long the old secret of a rotated key goes on. Default `"24h"`.
    pub(crate) grace: Option<Span>,
}

/// The admin API, on a listener of its own. There when this table is; it needs `[keys]`.
#[derive(Debug, Clone, PartialEq, JsonSchema, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AdminConfig {
    /// Address to listen on. Default 127.0.0.1:4001.
    #[schemars(with = "String")]
    pub(crate) listen: SocketAddr,
    /// The operator's token, 24 to 256 bytes, best as a reference: `"${MAINSTAY_ADMIN_TOKEN}"`.
    pub(crate) token: Option<EnvText>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 4001)), token: None }
    }
}

pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where the keys are, and how their digests are made.
#[derive(Clone)]
pub(crate) struct Opened {
    store: Arc<dyn KeyStore>,
    hasher: KeyHasher,
    poll: Duration,
    /// How long the old secret of a rotated key goes on.
    pub(crate) grace: Duration,
}

impl KeysConfig {
    /// What is wrong with it, as far as can be seen without the environment.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let places = [&self.file, &self.redis_url, &self.postgres_url];
        match places.into_iter().flatten().count() {
            0 => Some("say where the keys are: file = \"keys.json\", redis_url or postgres_url"),
            1 if self.file.is_none() && self.secret.is_none() => Some(
                "secret is missing, which all who share the keys need: secret = \"${MAINSTAY_KEYS_SECRET}\"",
            ),
            1 if self.poll.is_some_and(|poll| !SOUND_POLL.contains(&poll.duration())) => {
                Some("poll must be from 10ms to 500ms")
            }
            1 => None,
            _ => Some("file, redis_url and postgres_url: only one of them"),
        }
    }

    /// What is wrong with it in this environment, without making a file or reaching for a server.
    pub(crate) fn check(&self, env: Env<'_>) -> Result<(), String> {
        let Some(path) = &self.file else { return self.open(env).map(drop) };
        self.resolve("file", path, env)?;
        self.secret.as_ref().map_or(Ok(()), |secret| self.hasher(secret, env).map(drop))
    }

    fn resolve(&self, name: &str, text: &EnvText, env: Env<'_>) -> Result<String, String> {
        text.resolve(&format!("keys.{name}"), env).map_err(|error| error.message().to_owned())
    }

    fn hasher(&self, secret: &EnvText, env: Env<'_>) -> Result<KeyHasher, String> {
        let secret = self.resolve("secret", secret, env)?;
        KeyHasher::new(secret.trim().as_bytes()).map_err(|error| format!("keys.secret: {error}"))
    }

    /// Opens the store. Redis and PostgreSQL need not be there yet.
    pub(crate) fn open(&self, env: Env<'_>) -> Result<Opened, String> {
        let resolve = |name: &str, text: &EnvText| self.resolve(name, text, env);
        let (store, beside): (Arc<dyn KeyStore>, _) = if let Some(path) = &self.file {
            let file = FileStore::open(resolve("file", path)?).map_err(|error| told("keys.file", &error))?;
            (Arc::new(file.clone()), Some(file))
        } else if let Some(url) = &self.redis_url {
            let config = RedisConfig::new(resolve("redis_url", url)?);
            (Arc::new(RedisStore::new(config).map_err(|error| told("keys.redis_url", &error))?), None)
        } else if let Some(url) = &self.postgres_url {
            let config = PostgresConfig::new(resolve("postgres_url", url)?);
            (Arc::new(PostgresStore::new(config).map_err(|error| told("keys.postgres_url", &error))?), None)
        } else {
            return Err(self.problem().unwrap_or("[keys] names no store").to_owned());
        };
        let hasher = match (&self.secret, beside) {
            (Some(secret), _) => self.hasher(secret, env)?,
            (None, Some(file)) => file.hasher().map_err(|error| told("keys.file", &error))?,
            (None, None) => return Err("keys.secret is missing".into()),
        };
        let span = |span: Option<Span>, default| span.map_or(default, Span::duration);
        let poll = span(self.poll, RingConfig::default().poll);
        Ok(Opened { store, hasher, poll, grace: span(self.grace, KeyManager::GRACE) })
    }
}

/// Sooner would be a load; later, and a disabled key could go on for more than a second.
const SOUND_POLL: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_millis(500);

impl Opened {
    pub(crate) fn manager(&self) -> KeyManager {
        KeyManager::new(self.store.clone(), self.hasher.clone(), Clock::default())
    }

    pub(crate) async fn ring(&self, events: mainstay::Events) -> KeyRing {
        let mut config = RingConfig::default();
        config.poll = self.poll;
        config.events = events;
        KeyRing::start(self.store.clone(), self.hasher.clone(), config).await
    }
}

impl AdminConfig {
    /// What is wrong with it, as far as can be seen without the environment.
    pub(crate) fn problem(&self, has_keys: bool) -> Option<&'static str> {
        match self.token {
            None => Some(
                "token is missing; the admin API is off without one: token = \"${MAINSTAY_ADMIN_TOKEN}\"",
            ),
            Some(_) if !has_keys => Some("there is nothing to manage without [keys]"),
            Some(_) => None,
        }
    }

    pub(crate) fn token(&self, env: Env<'_>) -> Result<SecretToken, String> {
        let token = self.token.as_ref().ok_or("admin.token is missing")?;
        secret_token("admin.token", token, env)
    }
}

/// The token that a setting says.
pub(crate) fn secret_token(setting: &str, token: &EnvText, env: Env<'_>) -> Result<SecretToken, String> {
    let token = token.resolve(setting, env).map_err(|error| error.message().to_owned())?;
    let token = SecretToken::new(token.trim()).map_err(|error| error.to_string())?;
    token.ok_or_else(|| {
        let (least, most) = (SecretToken::LEAST, SecretToken::MOST);
        format!("{setting} must have {least} to {most} bytes: openssl rand -hex 32")
    })
}

fn told(setting: &str, error: &StoreError) -> String {
    format!("{setting}: {}", crate::command::whole(error))
}

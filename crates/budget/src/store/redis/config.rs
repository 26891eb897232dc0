//! The settings of the store in Redis.

use std::fmt;
use std::time::Duration;

/// Where the accounts are, and how long what is kept beside them.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RedisConfig {
    /// `redis://[user[:password]@]host[:port][/database]`, or `unix:///path`.
    pub url: String,
    /// The hash tag that all keys begin with, `{mainstay}:budget:…`; `mainstay`. Accounts that one call charges must share it.
    #[serde(default = "default_tag")]
    pub tag: String,
    /// How many of the last usage rows are kept, about; 100,000. Totals stay when rows go.
    #[serde(default = "default_rows")]
    pub rows: u64,
    /// For how many days the totals of a day are kept; 400.
    #[serde(default = "default_totals_days")]
    pub totals_days: u32,
}

impl RedisConfig {
    /// The store at this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), tag: default_tag(), rows: default_rows(), totals_days: default_totals_days() }
    }

    /// Another [`RedisConfig::tag`].
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = tag.into();
        self
    }

    /// Another [`RedisConfig::rows`].
    #[must_use]
    pub fn rows(mut self, rows: u64) -> Self {
        self.rows = rows;
        self
    }

    /// Another [`RedisConfig::totals_days`].
    #[must_use]
    pub fn totals_days(mut self, days: u32) -> Self {
        self.totals_days = days;
        self
    }

    pub(super) fn totals_kept(&self) -> Duration {
        Duration::from_secs(u64::from(self.totals_days) * 86_400)
    }
}

fn default_tag() -> String {
    "mainstay".to_owned()
}

fn default_rows() -> u64 {
    100_000
}

fn default_totals_days() -> u32 {
    400
}

/// The address may have a password in it.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("tag", &self.tag)
            .field("rows", &self.rows)
            .field("totals_days", &self.totals_days)
            .finish_non_exhaustive()
    }
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRedis {
    /// No address.
    #[error("the address of the budgets' Redis cannot be read")]
    Url(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A hash tag has at least one character, and neither `{` nor `}`.
    #[error("{0:?} is no hash tag: it is empty, or has a brace in it")]
    Tag(String),
    /// Totals that are kept for no day, or for more than a hundred years.
    #[error("totals are kept for 1 to 36500 days, not {0}")]
    TotalsDays(u32),
}

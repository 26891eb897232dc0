//! What the cache does, as data, checked once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainstay_provider_core::{Events, Pace, Usage};

use crate::cache::ExactCache;
use crate::layer::ExactCacheLayer;
use crate::policy::{CachePolicy, StandardPolicy};
use crate::stats::PriceOf;
use crate::store::ExactStore;

/// What the cache does. With feature `serde` it is read from a table of a configuration; times are texts like `"1h"`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct ExactCacheConfig {
    /// How long an answer is fresh; 1 hour.
    #[cfg_attr(feature = "serde", serde(with = "mainstay_provider_core::span"))]
    pub ttl: Duration,
    /// The longest that a call may ask its answer to be kept (`max-age`); 24 hours.
    #[cfg_attr(feature = "serde", serde(with = "mainstay_provider_core::span"))]
    pub max_ttl: Duration,
    /// How much longer it is kept, stale: for calls that allow it (`max-stale`) and for the degrade ladder; 24 hours.
    #[cfg_attr(feature = "serde", serde(with = "mainstay_provider_core::span"))]
    pub stale_for: Duration,
    /// The most bytes in memory, about; 128 MiB.
    pub max_bytes: u64,
    /// The longest answer that is kept, in bytes; 1 MiB.
    pub max_entry_bytes: u64,
    /// The time between two chunks of a replayed stream; zero, which is as fast as it is read.
    #[cfg_attr(feature = "serde", serde(with = "mainstay_provider_core::span"))]
    pub pace: Duration,
    /// The name across which all tenants of this cache share their answers; none: each has its own.
    pub share_across: Option<String>,
    /// Whether identical calls at the same time share one upstream call; yes.
    pub single_flight: bool,
    /// Calls with any temperature are cached; no, only those with temperature 0.
    pub any_temperature: bool,
    /// Calls that offer tools are cached; no.
    pub tools: bool,
    /// Calls that ask for several answers are cached; no.
    pub several_answers: bool,
    /// Short questions about the present are cached; no.
    pub time_sensitive: bool,
    /// The longest that a call waits for the second level; 50 ms.
    #[cfg_attr(feature = "serde", serde(with = "mainstay_provider_core::span"))]
    pub store_timeout: Duration,
    /// After how many failures in a row the second level is left alone; 3.
    pub store_failures: u32,
}

impl Default for ExactCacheConfig {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(60 * 60);
        Self {
            ttl: HOUR,
            max_ttl: 24 * HOUR,
            stale_for: 24 * HOUR,
            max_bytes: 128 << 20,
            max_entry_bytes: 1 << 20,
            pace: Duration::ZERO,
            share_across: None,
            single_flight: true,
            any_temperature: false,
            tools: false,
            several_answers: false,
            time_sensitive: false,
            store_timeout: Duration::from_millis(50),
            store_failures: 3,
        }
    }
}

impl ExactCacheConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whose entries are whose.
    pub fn sharing(&self) -> Sharing {
        self.share_across.as_deref().map_or(Sharing::PerNamespace, |name| Sharing::Across(name.into()))
    }

    /// How fast a stream is replayed.
    pub(crate) fn replay_pace(&self) -> Pace {
        if self.pace.is_zero() { Pace::AtOnce } else { Pace::Every(self.pace) }
    }

    fn policy(&self) -> StandardPolicy {
        let mut policy = StandardPolicy::new();
        policy.any_temperature = self.any_temperature;
        policy.tools = self.tools;
        policy.several_answers = self.several_answers;
        policy.time_sensitive = self.time_sensitive;
        policy
    }

    /// # Errors
    /// A time or a size that is zero or too large, or a shared scope without a name.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let times = [
            ("ttl", self.ttl, true),
            ("max_ttl", self.max_ttl, true),
            ("stale_for", self.stale_for, false),
            ("pace", self.pace, false),
            ("store_timeout", self.store_timeout, true),
        ];
        for (name, time, above_zero) in times {
            if above_zero && time.is_zero() {
                return Err(InvalidConfig::Zero { name });
            }
            if time > LONGEST {
                return Err(InvalidConfig::TooLong { name });
            }
        }
        for (name, number) in [
            ("max_bytes", self.max_bytes),
            ("max_entry_bytes", self.max_entry_bytes),
            ("store_failures", self.store_failures.into()),
        ] {
            if number == 0 {
                return Err(InvalidConfig::Zero { name });
            }
        }
        if self.ttl > self.max_ttl {
            return Err(InvalidConfig::AboveMost { name: "ttl", most: "max_ttl" });
        }
        if self.max_entry_bytes > self.max_bytes {
            return Err(InvalidConfig::AboveMost { name: "max_entry_bytes", most: "max_bytes" });
        }
        if self.share_across.as_ref().is_some_and(|name| name.is_empty()) {
            return Err(InvalidConfig::NoName);
        }
        Ok(())
    }
}

/// The longest time: a year. Longer is a slip of the unit.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Whose entries are whose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sharing {
    /// Each tenant has its own, and nobody is ever given another's.
    #[default]
    PerNamespace,
    /// All tenants of this cache share theirs, and those of other caches that share across the same name. Whoever chooses
    /// this says that no tenant's prompts are secret from another: a hit tells that somebody has asked before.
    Across(Arc<str>),
}

/// Builds an [`ExactCacheLayer`].
#[derive(Clone, Default)]
#[must_use]
pub struct ExactCacheBuilder {
    config: ExactCacheConfig,
    policy: Option<Arc<dyn CachePolicy>>,
    second: Option<Arc<dyn ExactStore>>,
    price_of: Option<PriceOf>,
    before_another: bool,
    events: Events,
}

/// Makes setters of plain settings.
macro_rules! set {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => { $(
        $(#[$doc])*
        pub fn $name(mut self, $name: $type) -> Self {
            self.config.$name = $name;
            self
        }
    )* };
}

impl ExactCacheBuilder {
    /// Takes all settings from here.
    pub fn config(mut self, config: ExactCacheConfig) -> Self {
        self.config = config;
        self
    }

    set! {
        /// Sets [`ExactCacheConfig::ttl`]; 1 hour when not set.
        ttl: Duration,
        /// Sets [`ExactCacheConfig::max_ttl`]; 24 hours when not set.
        max_ttl: Duration,
        /// Sets [`ExactCacheConfig::stale_for`]; 24 hours when not set.
        stale_for: Duration,
        /// Sets [`ExactCacheConfig::max_bytes`]; 128 MiB when not set.
        max_bytes: u64,
        /// Sets [`ExactCacheConfig::max_entry_bytes`]; 1 MiB when not set.
        max_entry_bytes: u64,
        /// Sets [`ExactCacheConfig::pace`]; zero, as fast as it is read, when not set.
        pace: Duration,
        /// Sets [`ExactCacheConfig::single_flight`]; `true` when not set.
        single_flight: bool,
        /// Sets [`ExactCacheConfig::store_timeout`]; 50 ms when not set.
        store_timeout: Duration,
        /// Sets [`ExactCacheConfig::store_failures`]; 3 when not set.
        store_failures: u32,
    }

    /// Whose entries are whose; each tenant has its own when not set.
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.config.share_across = match sharing {
            Sharing::PerNamespace => None,
            Sharing::Across(name) => Some(name.to_string()),
        };
        self
    }

    /// Which calls are cached; [`StandardPolicy`] as the configuration says when not set.
    pub fn policy(mut self, policy: impl CachePolicy) -> Self {
        self.policy = Some(Arc::new(policy));
        self
    }

    /// A second level behind the memory, shared by several processes; none when not set.
    pub fn second_level(mut self, store: impl ExactStore) -> Self {
        self.second = Some(Arc::new(store));
        self
    }

    /// What an answer of a provider and its model cost, in nano-USD, for
    /// [`Stats::saved_nano_usd`](crate::Stats::saved_nano_usd). Asked once for each answer that is kept.
    pub fn price_of(
        mut self,
        price_of: impl Fn(&str, &str, &Usage) -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        self.price_of = Some(Arc::new(price_of));
        self
    }

    /// Whether the service inside is a cache too, a semantic one for instance: then a call that wants a cached answer only
    /// goes on to it, and that one refuses it. `false` when not set.
    pub fn before_another_cache(mut self, is: bool) -> Self {
        self.before_another = is;
        self
    }

    /// Who hears of a second level that is lost and found again.
    pub fn events(mut self, events: Events) -> Self {
        self.events = events;
        self
    }

    /// The layer, with an empty cache.
    ///
    /// # Errors
    /// A time or a size that is zero or too large, or a shared scope without a name.
    pub fn build(self) -> Result<ExactCacheLayer, InvalidConfig> {
        self.config.check()?;
        let policy = self.policy.unwrap_or_else(|| Arc::new(self.config.policy()));
        let cache = ExactCache::new(
            self.config,
            policy,
            self.second,
            self.price_of,
            self.before_another,
            &self.events,
        );
        Ok(ExactCacheLayer::new(cache))
    }
}

impl fmt::Debug for ExactCacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExactCacheBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Why a configuration is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// Something that must be above zero is zero.
    #[error("{name} of the exact cache is zero")]
    Zero {
        /// Which setting.
        name: &'static str,
    },
    /// A time is longer than a year.
    #[error("{name} of the exact cache is longer than a year; check its unit")]
    TooLong {
        /// Which setting.
        name: &'static str,
    },
    /// A setting is above another that bounds it.
    #[error("{name} of the exact cache is above its {most}")]
    AboveMost {
        /// Which setting.
        name: &'static str,
        /// What bounds it.
        most: &'static str,
    },
    /// Sharing across tenants needs a name.
    #[error("share_across of the exact cache is empty; give the shared scope a name, or leave it out")]
    NoName,
}

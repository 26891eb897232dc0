//! What is answered without asking a provider: `[cache]` for the same question again, `[semantic_cache]` for the same in
//! other words.

use mainstay_cache_exact::ExactCacheConfig;
use schemars::JsonSchema;
use serde::Deserialize;

use super::text::{EnvText, Span};

/// The exact cache. It is there when its table is.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CacheSettings {
    /// How long an answer is fresh. Default `"1h"`.
    pub ttl: Option<Span>,
    /// The longest that a call may ask its answer to be kept (`max-age`). Default `"24h"`.
    pub max_ttl: Option<Span>,
    /// How much longer it is kept, stale, for calls that allow it (`max-stale`). Default `"24h"`.
    pub stale_for: Option<Span>,
    /// The most bytes in memory, about. Default 134217728 (128 MiB).
    pub max_bytes: Option<u64>,
    /// The longest answer that is kept, in bytes. Default 1048576 (1 MiB).
    pub max_entry_bytes: Option<u64>,
    /// The time between two chunks of a replayed stream. Default `"0s"`: as fast as it is read.
    pub pace: Option<Span>,
    /// A name across which all tenants share their answers. Default none: each has its own.
    pub share_across: Option<String>,
    /// Whether identical calls at the same time share one upstream call. Default true.
    pub single_flight: Option<bool>,
    /// Whether calls with any temperature are cached. Default false: only those with temperature 0.
    pub any_temperature: Option<bool>,
    /// Whether calls that offer tools are cached. Default false.
    pub tools: Option<bool>,
    /// Whether calls that ask for several answers are cached. Default false.
    pub several_answers: Option<bool>,
    /// Whether short questions about the present are cached. Default false.
    pub time_sensitive: Option<bool>,
    /// A Redis that several gateways share behind their memories: `"redis://host:6379/0"`.
    pub redis_url: Option<EnvText>,
    /// What all keys in Redis begin with. Default `"mainstay"`.
    pub redis_prefix: Option<String>,
    /// Answers with more bytes than this are compressed in Redis (LZ4). Default 4096.
    pub compress_over: Option<usize>,
    /// The longest that a call waits for Redis. Default `"50ms"`.
    pub store_timeout: Option<Span>,
    /// After how many failures in a row Redis is left alone for a while. Default 3.
    pub store_failures: Option<u32>,
}

impl CacheSettings {
    pub(crate) fn config(&self) -> ExactCacheConfig {
        let mut config = ExactCacheConfig::new();
        let spans = [
            (&mut config.ttl, self.ttl),
            (&mut config.max_ttl, self.max_ttl),
            (&mut config.stale_for, self.stale_for),
            (&mut config.pace, self.pace),
            (&mut config.store_timeout, self.store_timeout),
        ];
        for (place, span) in spans {
            *place = span.map_or(*place, Span::duration);
        }
        let flags = [
            (&mut config.single_flight, self.single_flight),
            (&mut config.any_temperature, self.any_temperature),
            (&mut config.tools, self.tools),
            (&mut config.several_answers, self.several_answers),
            (&mut config.time_sensitive, self.time_sensitive),
        ];
        for (place, flag) in flags {
            *place = flag.unwrap_or(*place);
        }
        config.max_bytes = self.max_bytes.unwrap_or(config.max_bytes);
        config.store_failures = self.store_failures.unwrap_or(config.store_failures);
        config.max_entry_bytes = self.max_entry_bytes.unwrap_or(config.max_entry_bytes);
        config.share_across.clone_from(&self.share_across);
        // An answer may be kept for as long as the operator says, whatever calls may ask for.
        config.max_ttl = config.max_ttl.max(config.ttl);
        config
    }
}

/// The semantic cache. It is there when its table is.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SemanticCacheSettings {
    /// The folder of a local sentence-transformers model (`model.safetensors`, `tokenizer.json`).
    pub model: Option<EnvText>,
    /// A provider's embedding model instead: `"openai/text-embedding-3-small"`. Questions are sent there.
    pub embedder: Option<String>,
    /// The length of that model's vectors.
    pub dimensions: Option<usize>,
    /// The threshold by what is at stake. Default `"standard"`.
    pub preset: Option<PresetSetting>,
    /// How near a question must be: cosine similarity, 0.5 to 1. Default by `preset`.
    pub threshold: Option<f32>,
    /// What is vetoed whatever the nearness. Default `"standard"`.
    pub guards: Option<GuardsSetting>,
    /// How long an answer is kept. Default `"24h"`.
    pub ttl: Option<Span>,
    /// Calls with a higher temperature are not looked at. Default 0.7.
    pub max_temperature: Option<f64>,
    /// Whether calls that offer tools are looked at. Default false.
    pub tools: Option<bool>,
    /// Whether questions about today, the latest, the current state are looked at. Default false.
    pub time_words: Option<bool>,
    /// The largest share of hits that may be wrong: 0.01 is one in a hundred. The threshold is then as loose as the evidence
    /// allows, and where there is no evidence only exact texts are served. Default: no bound, the threshold stands.
    pub max_error_rate: Option<f64>,
    /// How sure that must be. Default 0.95.
    pub confidence: Option<f64>,
    /// What `mainstay calibrate --save FILE` has counted.
    pub calibration: Option<EnvText>,
    /// The share of hits that is asked again in the background, to learn how many are wrong. Default 0, and 0.01 with
    /// `max_error_rate`.
    pub recheck: Option<f64>,
    /// The most bytes in memory, about. Default 268435456 (256 MiB).
    pub max_bytes: Option<usize>,
    /// A folder in which entries outlive the process. Default none: memory only.
    pub folder: Option<EnvText>,
    /// A Redis through which several gateways tell each other their entries.
    pub redis_url: Option<EnvText>,
    /// A PostgreSQL with pgvector in which several gateways keep their entries, reached without TLS when it is first
    /// used: `"postgresql://user:${PASSWORD}@host/database"`.
    pub postgres_url: Option<EnvText>,
    /// What the names of its tables begin with: a to z, 0 to 9 and _. Default `"mainstay_semantic"`.
    pub postgres_table: Option<String>,
    /// How PostgreSQL searches. Default `"exact"`.
    pub postgres_index: Option<IndexSetting>,
    /// The longest that a call waits for the place of the entries. Default `"50ms"`.
    pub store_timeout: Option<Span>,
}

impl SemanticCacheSettings {
    /// The settings in which references may stand.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &EnvText> {
        let Self { model, calibration, folder, redis_url, postgres_url, .. } = self;
        [model, calibration, folder, redis_url, postgres_url].into_iter().flatten()
    }
}

/// A threshold by what is at stake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PresetSetting {
    /// 0.97: a wrong answer can do harm.
    Safety,
    /// 0.95.
    #[default]
    Standard,
    /// 0.92: questions of many people about the same few things.
    Faq,
}

/// How PostgreSQL searches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndexSetting {
    /// In full, so that nothing is missed: for up to some ten thousand entries of one namespace, model and system prompt.
    #[default]
    Exact,
    /// By a graph over all entries: for more. Needs pgvector 0.8.
    Hnsw,
}

/// What is vetoed whatever the nearness.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardsSetting {
    /// Numbers, negation, opposites, names, another order of the same words.
    #[default]
    Standard,
    /// Also a word more or less.
    Strict,
    /// Nothing: the threshold alone decides.
    Off,
}

//! The caches, as a configuration makes them: one of each for all models.

use mainstay_cache_exact::ExactCacheLayer;
use mainstay_provider_core::{Error, ErrorKind, Events};

use super::money::Prices;
use crate::config::CacheSettings;

/// Looks up the values of `${NAME}` references.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The exact cache.
pub(crate) fn exact(
    settings: &CacheSettings,
    before_another: bool,
    prices: Prices,
    events: &Events,
    env: Env<'_>,
) -> Result<ExactCacheLayer, Error> {
    let mut cache = ExactCacheLayer::builder()
        .config(settings.config())
        .price_of(move |provider, model, usage| prices.nano_usd(provider, model, usage))
        .before_another_cache(before_another)
        .events(events.clone());
    if let Some(url) = &settings.redis_url {
        cache = second_level(cache, settings, &url.resolve("cache.redis_url", env)?)?;
    }
    cache.build().map_err(|why| configuration(format!("cache: {why}")))
}

#[cfg(feature = "redis")]
fn second_level(
    cache: mainstay_cache_exact::ExactCacheBuilder,
    settings: &CacheSettings,
    url: &str,
) -> Result<mainstay_cache_exact::ExactCacheBuilder, Error> {
    let store = mainstay_cache_exact::RedisStore::new(redis(settings, url)).map_err(|why| {
        configuration(format!("cache.redis_url: {why}; write redis://host:6379/0")).with_source(why)
    })?;
    Ok(cache.second_level(store))
}

#[cfg(feature = "redis")]
fn redis(settings: &CacheSettings, url: &str) -> mainstay_cache_exact::RedisConfig {
    let mut config = mainstay_cache_exact::RedisConfig::new(url);
    if let Some(prefix) = &settings.redis_prefix {
        config.prefix.clone_from(prefix);
    }
    config.compress_over = settings.compress_over.unwrap_or(config.compress_over);
    config
}

#[cfg(not(feature = "redis"))]
fn second_level(
    _: mainstay_cache_exact::ExactCacheBuilder,
    _: &CacheSettings,
    _: &str,
) -> Result<mainstay_cache_exact::ExactCacheBuilder, Error> {
    Err(configuration(
        "cache.redis_url: this build has no Redis; build it with the feature \"redis\"".to_owned(),
    ))
}

#[cfg(not(feature = "cache-semantic"))]
pub(crate) fn semantic_is_missing() -> Error {
    configuration(
        "semantic_cache: this build has no semantic cache; build it with the feature \"cache-semantic\""
            .to_owned(),
    )
}

fn configuration(message: String) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

#[cfg(feature = "cache-semantic")]
pub(crate) use self::semantic::semantic;

#[cfg(feature = "cache-semantic")]
mod semantic {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use mainstay_cache_semantic::store::{LogConfig, LogStore, MemoryConfig, MemoryStore};
    use mainstay_cache_semantic::{
        Bound, Calibration, Embedding, Guards, Preset, SemanticConfig, SemanticLayer, SemanticStore,
    };
    use mainstay_embed::{
        CacheConfig, CachedEmbedder, Identified, LocalEmbedder, RemoteConfig, RemoteEmbedder,
    };

    use super::{Env, Error, Events, configuration};
    use crate::config::{EnvText, GuardsSetting, PresetSetting, SemanticCacheSettings, Span};
    use crate::stack::Deployments;

    /// The semantic cache, and what makes vectors for it.
    pub(crate) fn semantic(
        settings: &SemanticCacheSettings,
        deployments: &Deployments,
        events: &Events,
        env: Env<'_>,
    ) -> Result<(SemanticLayer, Embedding), Error> {
        let (embedding, dimensions) = embedding(settings, deployments, env)?;
        let config = config(settings, env)?;
        let place = Place { identity: embedding.identity(), dimensions, timeout: config.store_timeout };
        let store = store(settings, &place, env)?;
        let layer = SemanticLayer::builder(embedding.clone())
            .config(config)
            .store(store)
            .events(events.clone())
            .build()
            .map_err(|why| configuration(format!("semantic_cache: {why}")))?;
        Ok((layer, embedding))
    }

    fn embedding(
        settings: &SemanticCacheSettings,
        deployments: &Deployments,
        env: Env<'_>,
    ) -> Result<(Embedding, usize), Error> {
        match (&settings.model, &settings.embedder) {
            (Some(folder), None) => {
                let folder = folder.resolve("semantic_cache.model", env)?;
                let local = LocalEmbedder::open(Path::new(&folder))
                    .map_err(|why| configuration(format!("semantic_cache.model: {why}")).with_source(why))?;
                let name = local.name().to_owned();
                let (embedding, dimensions) = cached(local)?;
                Ok((embedding.model(name), dimensions))
            }
            (None, Some(model)) => cached(remote(model, settings.dimensions, deployments)?),
            _ => Err(configuration(
                "semantic_cache: name what makes vectors of questions: model = \"FOLDER\" for a local model (`mainstay model \
                 fetch all-MiniLM-L6-v2` gets one), or embedder = \"openai/text-embedding-3-small\" with its dimensions"
                    .to_owned(),
            )),
        }
    }

    /// Questions come again: their vectors are kept.
    fn cached(embedder: impl Identified) -> Result<(Embedding, usize), Error> {
        let dimensions = embedder.identity().dimensions();
        let identity = embedder.identity().as_str().to_owned();
        let cached = CachedEmbedder::new(embedder, CacheConfig::default())
            .map_err(|why| configuration(format!("semantic_cache: {why}")))?;
        Ok((Embedding::new(cached, identity), dimensions))
    }

    fn remote(
        model: &str,
        dimensions: Option<usize>,
        deployments: &Deployments,
    ) -> Result<RemoteEmbedder, Error> {
        let (embedder, model) = deployments.embedder(model).ok_or_else(|| {
            configuration(format!("semantic_cache.embedder: {model:?} names no configured provider"))
        })?;
        let dimensions = dimensions.ok_or_else(|| {
            configuration("semantic_cache.dimensions: say how long the embedder's vectors are".to_owned())
        })?;
        RemoteEmbedder::new(embedder, RemoteConfig::new(model, dimensions))
            .map_err(|why| configuration(format!("semantic_cache.embedder: {why}")))
    }

    /// What a store has to know of the vectors, and how long it may take.
    #[cfg_attr(
        not(feature = "postgres"),
        allow(dead_code, reason = "only a server has to be told all of it")
    )]
    struct Place<'a> {
        identity: &'a str,
        dimensions: usize,
        timeout: Duration,
    }

    fn store(
        settings: &SemanticCacheSettings,
        place: &Place<'_>,
        env: Env<'_>,
    ) -> Result<Arc<dyn SemanticStore>, Error> {
        let SemanticCacheSettings { folder, redis_url, postgres_url, .. } = settings;
        if [folder, redis_url, postgres_url].into_iter().flatten().count() > 1 {
            return Err(configuration(
                "semantic_cache: entries are in a folder, told through Redis, or in PostgreSQL; keep one of folder, redis_url and \
                 postgres_url"
                    .to_owned(),
            ));
        }
        if let Some(url) = postgres_url {
            return in_postgres(settings, url.resolve("semantic_cache.postgres_url", env)?, place);
        }
        let memory = memory(settings)?;
        if let Some(folder) = folder {
            let folder = folder.resolve("semantic_cache.folder", env)?;
            if !Path::new(&folder).is_dir() {
                return Err(configuration(format!(
                    "semantic_cache.folder: there is no folder {folder}; make it"
                )));
            }
            let file = Path::new(&folder).join("semantic-cache.log");
            let log = LogStore::open(LogConfig::new(file, place.identity), memory)
                .map_err(|why| configuration(format!("semantic_cache.folder: {why}")).with_source(why))?;
            return Ok(Arc::new(log));
        }
        match redis_url {
            Some(url) => shared(&url.resolve("semantic_cache.redis_url", env)?, place.identity, memory),
            None => Ok(Arc::new(memory)),
        }
    }

    fn memory(settings: &SemanticCacheSettings) -> Result<MemoryStore, Error> {
        let mut memory = MemoryConfig::default();
        if let Some(bytes) = settings.max_bytes {
            memory = memory.max_bytes(bytes);
        }
        MemoryStore::new(memory).map_err(|why| configuration(format!("semantic_cache: {why}")))
    }

    #[cfg(feature = "postgres")]
    fn in_postgres(
        settings: &SemanticCacheSettings,
        url: String,
        place: &Place<'_>,
    ) -> Result<Arc<dyn SemanticStore>, Error> {
        use mainstay_cache_semantic::store::{PgIndex, PostgresConfig, PostgresStore};

        use crate::config::IndexSetting;
        // Sooner than the layer gives up: a connection that was too slow is then made in the background.
        let timeout = place.timeout.mul_f64(0.9);
        let mut config = PostgresConfig::new(url, place.identity, place.dimensions).timeout(timeout);
        if let Some(table) = &settings.postgres_table {
            config = config.table(table.as_str());
        }
        if settings.postgres_index == Some(IndexSetting::Hnsw) {
            config = config.index(PgIndex::Hnsw);
        }
        let store = PostgresStore::lazy(config)
            .map_err(|why| configuration(format!("semantic_cache.postgres_url: {why}")).with_source(why))?;
        Ok(Arc::new(store))
    }

    #[cfg(not(feature = "postgres"))]
    fn in_postgres(
        _: &SemanticCacheSettings,
        _: String,
        _: &Place<'_>,
    ) -> Result<Arc<dyn SemanticStore>, Error> {
        Err(configuration(
            "semantic_cache.postgres_url: this build has no PostgreSQL; build it with the feature \"postgres\""
                .to_owned(),
        ))
    }

    #[cfg(feature = "redis")]
    fn shared(url: &str, identity: &str, memory: MemoryStore) -> Result<Arc<dyn SemanticStore>, Error> {
        use mainstay_cache_semantic::store::{RedisConfig, RedisStore};
        let store = RedisStore::start(RedisConfig::new(url, identity), memory)
            .map_err(|why| configuration(format!("semantic_cache.redis_url: {why}")).with_source(why))?;
        Ok(Arc::new(store))
    }

    #[cfg(not(feature = "redis"))]
    fn shared(_: &str, _: &str, _: MemoryStore) -> Result<Arc<dyn SemanticStore>, Error> {
        Err(configuration(
            "semantic_cache.redis_url: this build has no Redis; build it with the feature \"redis\""
                .to_owned(),
        ))
    }

    fn config(settings: &SemanticCacheSettings, env: Env<'_>) -> Result<SemanticConfig, Error> {
        let mut config = SemanticConfig::default();
        let preset = match settings.preset.unwrap_or_default() {
            PresetSetting::Safety => Preset::Safety,
            PresetSetting::Standard => Preset::Standard,
            PresetSetting::Faq => Preset::Faq,
        };
        config.threshold = settings.threshold.unwrap_or(preset.threshold());
        config.guards = match settings.guards.unwrap_or_default() {
            GuardsSetting::Standard => Guards::Standard,
            GuardsSetting::Strict => Guards::Strict,
            GuardsSetting::Off => Guards::Off,
        };
        config.ttl = settings.ttl.map_or(config.ttl, Span::duration);
        config.limits.max_temperature = settings.max_temperature.unwrap_or(config.limits.max_temperature);
        config.limits.tools = settings.tools.unwrap_or(config.limits.tools);
        config.limits.time_words = settings.time_words.unwrap_or(config.limits.time_words);
        config.store_timeout = settings.store_timeout.map_or(config.store_timeout, Span::duration);
        config.recheck = settings.recheck;
        if let Some(rate) = settings.max_error_rate {
            let mut bound = Bound::new(rate);
            bound.confidence = settings.confidence.unwrap_or(bound.confidence);
            config.bound = Some(match &settings.calibration {
                Some(file) => bound.calibrated(calibration(file, env)?),
                None => bound,
            });
        }
        Ok(config)
    }

    fn calibration(file: &EnvText, env: Env<'_>) -> Result<Calibration, Error> {
        let file = file.resolve("semantic_cache.calibration", env)?;
        let wrong = |why: String| configuration(format!("semantic_cache.calibration: {file}: {why}"));
        let text = std::fs::read_to_string(&file).map_err(|error| wrong(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that panics has failed")]
mod tests {
    use crate::Config;

    #[test]
    fn what_a_table_says_of_redis_is_what_its_store_gets() {
        let text = "[cache]\nredis_prefix = \"desk\"\ncompress_over = 100\nstore_failures = 7\n";
        let settings = Config::from_toml(text).unwrap().cache.unwrap();
        assert_eq!(settings.config().store_failures, 7);
        #[cfg(feature = "redis")]
        {
            let redis = super::redis(&settings, "redis://localhost");
            assert_eq!((redis.prefix.as_str(), redis.compress_over), ("desk", 100));
            let redis = super::redis(&crate::config::CacheSettings::default(), "redis://localhost");
            assert_eq!((redis.prefix.as_str(), redis.compress_over), ("mainstay", 4096));
        }
    }

    #[cfg(all(feature = "cache-semantic", feature = "sim"))]
    const VECTORS: &str = "[semantic_cache]\nembedder = \"sim/embed\"\ndimensions = 64\n";

    #[cfg(all(feature = "cache-semantic", feature = "sim"))]
    fn refused(tables: &str) -> String {
        let config = Config::from_toml(&format!("[providers.sim]\n{tables}")).unwrap();
        crate::Client::from_config(&config).unwrap_err().message().to_owned()
    }

    #[cfg(all(feature = "cache-semantic", feature = "sim"))]
    #[test]
    fn entries_are_kept_in_one_place() {
        let told = refused(&format!(
            "{VECTORS}folder = \"/tmp\"\npostgres_url = \"postgresql://localhost/cache\"\n"
        ));
        assert!(told.contains("keep one of folder, redis_url and postgres_url"), "{told}");
    }

    // S2: a server that is not there when the process begins does no harm.
    #[cfg(all(feature = "postgres", feature = "cache-semantic", feature = "sim"))]
    #[test]
    fn a_postgresql_is_reached_when_it_is_used_and_its_settings_are_checked_before() {
        let at =
            |more: &str| format!("{VECTORS}postgres_url = \"postgresql://nobody@127.0.0.1:1/cache\"\n{more}");
        let config = Config::from_toml(&format!("[providers.sim]\n{}", at("")));
        assert!(crate::Client::from_config(&config.unwrap()).is_ok());
        let told = refused(&at("postgres_table = \"Cache; drop\"\n"));
        assert!(told.contains("is no name for a table"), "{told}");
        let told = refused(&format!("{VECTORS}postgres_url = \"nowhere\"\n"));
        assert!(told.contains("no address of a PostgreSQL"), "{told}");
    }
}

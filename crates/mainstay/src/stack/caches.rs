//! The caches, as a configuration makes them: one of each for all models.

use mainstay_cache_exact::ExactCacheLayer;
use mainstay_provider_core::{Error, ErrorKind, Events};

use crate::config::CacheSettings;

/// Looks up the values of `${NAME}` references.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The exact cache.
pub(crate) fn exact(
    settings: &CacheSettings,
    before_another: bool,
    events: &Events,
    env: Env<'_>,
) -> Result<ExactCacheLayer, Error> {
    let mut cache = ExactCacheLayer::builder()
        .config(settings.config())
        .before_another_cache(before_another)
        .events(events.clone());
    if let Some(url) = &settings.redis_url {
        cache = second_level(cache, &url.resolve("cache.redis_url", env)?)?;
    }
    cache.build().map_err(|why| configuration(format!("cache: {why}")))
}

#[cfg(feature = "redis")]
fn second_level(
    cache: mainstay_cache_exact::ExactCacheBuilder,
    url: &str,
) -> Result<mainstay_cache_exact::ExactCacheBuilder, Error> {
    use mainstay_cache_exact::{RedisConfig, RedisStore};
    let store = RedisStore::new(RedisConfig::new(url)).map_err(|why| {
        configuration(format!("cache.redis_url: {why}; write redis://host:6379/0")).with_source(why)
    })?;
    Ok(cache.second_level(store))
}

#[cfg(not(feature = "redis"))]
fn second_level(
    _: mainstay_cache_exact::ExactCacheBuilder,
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
        let embedding = embedding(settings, deployments, env)?;
        let store = store(settings, embedding.identity(), env)?;
        let layer = SemanticLayer::builder(embedding.clone())
            .config(config(settings, env)?)
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
    ) -> Result<Embedding, Error> {
        match (&settings.model, &settings.embedder) {
            (Some(folder), None) => {
                let folder = folder.resolve("semantic_cache.model", env)?;
                let local = LocalEmbedder::open(Path::new(&folder))
                    .map_err(|why| configuration(format!("semantic_cache.model: {why}")).with_source(why))?;
                let name = local.name().to_owned();
                Ok(cached(local)?.model(name))
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
    fn cached(embedder: impl Identified) -> Result<Embedding, Error> {
        let identity = embedder.identity().as_str().to_owned();
        let cached = CachedEmbedder::new(embedder, CacheConfig::default())
            .map_err(|why| configuration(format!("semantic_cache: {why}")))?;
        Ok(Embedding::new(cached, identity))
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

    fn store(
        settings: &SemanticCacheSettings,
        identity: &str,
        env: Env<'_>,
    ) -> Result<Arc<dyn SemanticStore>, Error> {
        let mut memory = MemoryConfig::default();
        if let Some(bytes) = settings.max_bytes {
            memory = memory.max_bytes(bytes);
        }
        let memory =
            MemoryStore::new(memory).map_err(|why| configuration(format!("semantic_cache: {why}")))?;
        match (&settings.folder, &settings.redis_url) {
            (Some(_), Some(_)) => Err(configuration(
                "semantic_cache: entries are kept in a folder or told through Redis, not both; leave folder or redis_url out"
                    .to_owned(),
            )),
            (Some(folder), None) => {
                let folder = folder.resolve("semantic_cache.folder", env)?;
                let file = Path::new(&folder).join("semantic-cache.log");
                let log = LogStore::open(LogConfig::new(file, identity), memory)
                    .map_err(|why| configuration(format!("semantic_cache.folder: {why}")).with_source(why))?;
                Ok(Arc::new(log))
            }
            (None, Some(url)) => shared(&url.resolve("semantic_cache.redis_url", env)?, identity, memory),
            (None, None) => Ok(Arc::new(memory)),
        }
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

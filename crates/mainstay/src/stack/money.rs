//! Prices and budgets, as a configuration makes them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mainstay_budget::{
    BudgetLayer, BudgetStore, CandidateList, JournalConfig, JournalStore, LimitBook, LostHold, MemoryStore,
    Zone,
};
use mainstay_metering::{Meter, ModelPrices, Price, PriceFile, PriceSpec, PriceTable, UnknownPricePolicy};
use mainstay_provider_core::{Error, ErrorKind, Events, Usage};

use super::caches::Env;
use super::deployments::Deployments;
use crate::config::{
    BudgetSettings, BudgetStoreSetting, EnvText, LostHoldSetting, ModelConfig, PriceSettings, Span,
    UnknownPriceSetting,
};

/// What calls cost: the built-in prices, under the operator's file, under what the deployments say of themselves.
pub(crate) fn meter(
    settings: &PriceSettings,
    models: &BTreeMap<String, ModelConfig>,
    deployments: &Deployments,
    events: &Events,
    env: Env<'_>,
) -> Result<Meter, Error> {
    let mut table = PriceTable::built_in();
    if let Some(file) = &settings.file {
        let file = file.resolve("prices.file", env)?;
        let text = std::fs::read_to_string(&file)
            .map_err(|why| configuration(format!("prices.file: {file} cannot be read: {why}")))?;
        let read = PriceFile::from_toml(&text).and_then(|prices| table.with(&prices));
        table = read.map_err(|why| configuration(format!("prices.file: {file}: {why}")))?;
    }
    let own = own_prices(models, deployments)?;
    if !own.prices.is_empty() {
        table = table.with(&own).map_err(|why| configuration(format!("models: {why}")))?;
    }
    let unknown = match settings.unknown.unwrap_or_default() {
        UnknownPriceSetting::Deny => UnknownPricePolicy::Deny,
        UnknownPriceSetting::AllowWithAlarm => UnknownPricePolicy::AllowWithAlarm,
        UnknownPriceSetting::Estimate => UnknownPricePolicy::Estimate(assumed(settings)?),
    };
    let mut meter = Meter::builder().table(table).unknown_price(unknown).events(events.clone());
    if let Some(tokens) = settings.largest_output {
        meter = meter.largest_output(tokens);
    }
    Ok(meter.build())
}

/// What deployments say that they cost.
fn own_prices(models: &BTreeMap<String, ModelConfig>, deployments: &Deployments) -> Result<PriceFile, Error> {
    let mut own = PriceFile::default();
    for (name, model) in models {
        for deployment in &model.deployments {
            let (Some(input), Some(output)) = (deployment.input_price, deployment.output_price) else {
                continue;
            };
            let Some((provider, model)) = deployments.priced_as(&deployment.model) else { continue };
            let spec = PriceSpec::new(
                price(&format!("models.{name}: input_price"), input)?,
                price(&format!("models.{name}: output_price"), output)?,
            );
            own.prices.insert(format!("{provider}/{model}"), spec);
        }
    }
    Ok(own)
}

fn assumed(settings: &PriceSettings) -> Result<ModelPrices, Error> {
    let wanted = |name: &str, value: Option<f64>| {
        price(
            &format!("prices.{name}"),
            value.ok_or_else(|| {
                configuration(format!("prices.{name} is missing; unknown = \"estimate\" needs it"))
            })?,
        )
    };
    Ok(PriceSpec::new(wanted("input", settings.input)?, wanted("output", settings.output)?).prices())
}

fn price(path: &str, dollars: f64) -> Result<Price, Error> {
    Price::from_f64_per_million(dollars).map_err(|why| configuration(format!("{path}: {why}")))
}

/// What answers cost, by the names that their heads have.
#[derive(Clone)]
pub(crate) struct Prices {
    pub(crate) meter: Meter,
    pub(crate) deployments: Deployments,
}

impl Prices {
    /// `None` when the price is not known.
    pub(crate) fn nano_usd(&self, provider: &str, model: &str, usage: &Usage) -> Option<u64> {
        let (provider, model) = self.deployments.priced_as(&format!("{provider}/{model}"))?;
        let cost = self.meter.table().cost(&provider, &model, usage).ok()?;
        Some(cost.total().as_nanos())
    }
}

/// The budget of all models.
pub(crate) fn budget(
    settings: &BudgetSettings,
    meter: &Meter,
    candidates: Candidates,
    events: &Events,
    env: Env<'_>,
) -> Result<BudgetLayer, Error> {
    let zone = settings.time_zone.as_deref().map_or(Ok(Zone::default()), Zone::named);
    let book = LimitBook::in_zone(zone.map_err(|why| configuration(format!("budget.time_zone: {why}")))?);
    let mut limits = Vec::with_capacity(settings.limits.len());
    for (subject, written) in &settings.limits {
        let read = written.iter().map(|limit| limit.limit()).collect::<Result<Vec<_>, _>>();
        let read = read.map_err(|why| configuration(format!("budget.limits.{subject:?}: {why}")))?;
        limits.push((subject.clone(), read));
    }
    book.replace(limits).map_err(|why| configuration(format!("budget.limits: {why}")))?;
    let lost = match settings.lost_holds {
        LostHoldSetting::Settle => LostHold::Settle,
        LostHoldSetting::Release => LostHold::Release,
    };
    let mut budget = BudgetLayer::builder_over(meter.clone(), store(settings, env)?, book)
        .candidates(move |model| candidates.of(model))
        .lost_holds(lost)
        .events(events.clone());
    if let Some(lease) = settings.lease.map(Span::duration) {
        budget = budget.lease(lease);
    }
    if let Some(longest) = settings.store_timeout.map(Span::duration) {
        budget = budget.store_timeout(longest);
    }
    if let Some(failures) = settings.store_failures {
        budget = budget.store_failures(failures);
    }
    budget.build().map_err(|why| configuration(format!("budget: {why}")))
}

fn store(settings: &BudgetSettings, env: Env<'_>) -> Result<Arc<dyn BudgetStore>, Error> {
    match settings.store {
        BudgetStoreSetting::Memory => Ok(Arc::new(MemoryStore::new())),
        BudgetStoreSetting::Journal => journal(settings, env),
        BudgetStoreSetting::Redis => redis(settings, env),
        BudgetStoreSetting::Postgres => postgres(settings, env),
    }
}

/// A setting that a store needs, with its references replaced.
fn wanted(setting: Option<&EnvText>, path: &str, what: &str, env: Env<'_>) -> Result<String, Error> {
    let missing = || configuration(format!("{path} is missing; the store needs {what}"));
    setting.ok_or_else(missing)?.resolve(path, env)
}

fn journal(settings: &BudgetSettings, env: Env<'_>) -> Result<Arc<dyn BudgetStore>, Error> {
    let folder = wanted(settings.path.as_ref(), "budget.path", "a folder of its own", env)?;
    let store = JournalStore::open(JournalConfig::new(&folder))
        .map_err(|why| configuration(format!("budget.path: {folder}: {}", whole(&why))).with_source(why))?;
    Ok(Arc::new(store))
}

#[cfg(feature = "redis")]
fn redis(settings: &BudgetSettings, env: Env<'_>) -> Result<Arc<dyn BudgetStore>, Error> {
    use mainstay_budget::redis::{RedisConfig, RedisStore};
    let mut config =
        RedisConfig::new(wanted(settings.url.as_ref(), "budget.url", "redis://host:6379/0", env)?);
    if let Some(prefix) = &settings.prefix {
        config = config.tag(prefix);
    }
    let store = RedisStore::new(config).map_err(|why| configuration(format!("budget.url: {why}")))?;
    Ok(Arc::new(store))
}

#[cfg(not(feature = "redis"))]
fn redis(_: &BudgetSettings, _: Env<'_>) -> Result<Arc<dyn BudgetStore>, Error> {
    Err(is_missing("redis"))
}

#[cfg(feature = "postgres")]
fn postgres(settings: &BudgetSettings, env: Env<'_>) -> Result<Arc<dyn BudgetStore>, Error> {
    use mainstay_budget::postgres::{PostgresConfig, PostgresStore};
    let url = wanted(settings.url.as_ref(), "budget.url", "postgres://user@host/database", env)?;
    let mut config = PostgresConfig::new(url);
    if let Some(prefix) = &settings.prefix {
        config = config.tables(prefix);
    }
    let store = PostgresStore::new(config).map_err(|why| configuration(format!("budget.url: {why}")))?;
    Ok(Arc::new(store))
}

#[cfg(not(feature = "postgres"))]
fn postgres(_: &BudgetSettings, _: Env<'_>) -> Result<Arc<dyn BudgetStore>, Error> {
    Err(is_missing("postgres"))
}

#[cfg(not(all(feature = "redis", feature = "postgres")))]
fn is_missing(feature: &str) -> Error {
    configuration(format!(
        "budget.store: this build cannot speak to {feature}; build it with the feature {feature:?}"
    ))
}

/// Which deployments may answer a call to a model, by what the price table calls them.
#[derive(Clone)]
pub(crate) struct Candidates {
    models: Arc<HashMap<String, CandidateList>>,
    deployments: Deployments,
}

impl Candidates {
    pub(crate) fn new(models: &BTreeMap<String, ModelConfig>, deployments: Deployments) -> Self {
        let of = |name: &String| {
            let mut found: Vec<(Arc<str>, Arc<str>)> = Vec::new();
            let mut seen = vec![name];
            let mut next = 0;
            // A fallback may have fallbacks of its own.
            while let Some(model) = seen.get(next).and_then(|name| models.get(*name)) {
                next += 1;
                for deployment in &model.deployments {
                    found.extend(deployments.priced_as(&deployment.model).filter(|one| !found.contains(one)));
                }
                let others =
                    [&model.fallbacks, &model.context_window_fallbacks, &model.content_policy_fallbacks];
                for other in others.into_iter().flatten() {
                    if models.contains_key(other) && !seen.contains(&other) {
                        seen.push(other);
                    }
                }
            }
            (name.clone(), CandidateList::from(found))
        };
        Self { models: Arc::new(models.keys().map(of).collect()), deployments }
    }

    fn of(&self, model: &str) -> CandidateList {
        match self.models.get(model) {
            Some(candidates) => candidates.clone(),
            None => self.deployments.priced_as(model).into_iter().collect(),
        }
    }
}

/// An error with all that it comes from.
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

fn configuration(message: String) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

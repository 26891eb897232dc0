//! The price table: which model costs what.

mod file;
mod format;
mod names;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use mainstay_provider_core::Usage;

pub use self::file::{InvalidPriceFile, PriceFile};
use crate::cost::{Basis, Cost, PriceVersion};
use crate::prices::ModelPrices;

/// What every model costs, with a version. A clone copies two pointers.
///
/// The built-in table ([`PriceTable::built_in`]) is as old as this crate; what is known better is laid on top of it
/// ([`PriceTable::with`]).
#[derive(Debug, Clone)]
pub struct PriceTable {
    /// The newest on top.
    layers: Arc<[Arc<Layer>]>,
    version: PriceVersion,
}

/// One file's models.
#[derive(Debug, Default)]
struct Layer {
    providers: HashMap<Box<str>, Models>,
}

/// The models of one provider.
#[derive(Debug, Default)]
struct Models {
    named: HashMap<Box<str>, Arc<ModelPrices>>,
    /// Names that end in `*`, the longest first.
    patterns: Vec<(Box<str>, Arc<ModelPrices>)>,
    /// The providers whose prices are taken for models that are not listed here.
    like: Vec<Box<str>>,
}

static BUILT_IN: LazyLock<PriceTable> = LazyLock::new(|| {
    format::read(include_str!("../../prices/table.txt")).expect("a test reads the built-in table")
});

impl PriceTable {
    /// The table that came with this crate.
    pub fn built_in() -> Self {
        BUILT_IN.clone()
    }

    /// A table without prices: every model of a provider that bills is unknown.
    pub fn empty() -> Self {
        Self { layers: Arc::new([]), version: "none".into() }
    }

    /// A table in the built-in table's own form, which `prices/table.txt` of this crate describes.
    ///
    /// # Errors
    /// The first line that is wrong, with its number.
    pub fn from_text(text: &str) -> Result<Self, InvalidPriceFile> {
        format::read(text)
    }

    /// The same table with `file` on top: what it says of a model counts, and nothing else that was said of it.
    ///
    /// # Errors
    /// An alias for a model that has no price, or a wrong price.
    pub fn with(&self, file: &PriceFile) -> Result<Self, InvalidPriceFile> {
        let mut layer = Layer::default();
        for (name, spec) in &file.prices {
            layer.insert(name, Arc::new(spec.prices()))?;
        }
        for (name, target) in &file.aliases {
            let prices = match layer.named(target) {
                Some(prices) => prices.clone(),
                None => self.aliased(name, target)?,
            };
            layer.insert(name, prices)?;
        }
        let layers = std::iter::once(Arc::new(layer)).chain(self.layers.iter().cloned()).collect();
        let version = format!("{}+{}", self.version, file.version());
        Ok(Self { layers, version: PriceVersion::from(version.as_str()) })
    }

    fn aliased(&self, name: &str, target: &str) -> Result<Arc<ModelPrices>, InvalidPriceFile> {
        let (provider, model) = file::provider_and_model(target)?;
        let found = self.find(provider, model).map(|(prices, _)| prices.clone());
        found.ok_or_else(|| InvalidPriceFile::NoSuchModel { name: name.into(), target: target.into() })
    }

    /// Which prices these are; it stands in every [`Cost`].
    pub fn version(&self) -> &PriceVersion {
        &self.version
    }

    /// What `model` costs at `provider`, both as the adapters name them, and where that is known from.
    ///
    /// First the exact name and the patterns that fit it, in the newest file and then in the older ones; then the name
    /// without the date of its snapshot, or without the region (`us.`) and version (`-v1:0`) of Bedrock; then the
    /// providers whose prices this one shares. A model on one's own machine (`ollama`, `vllm`, `sim`) that no file lists
    /// costs nothing.
    pub fn prices(&self, provider: &str, model: &str) -> Option<Priced<'_>> {
        match self.find(provider, model) {
            Some((prices, basis)) => Some(Priced { prices, basis }),
            None if names::is_local(names::canonical(provider)) => {
                Some(Priced { prices: &LOCAL, basis: Basis::Local })
            }
            None => None,
        }
    }

    /// What a call to `model` at `provider` cost that used `usage`.
    ///
    /// # Errors
    /// [`UnknownPrice`] when no price is known; what to do then is the caller's choice, which
    /// [`Meter`](crate::Meter) carries out.
    pub fn cost(&self, provider: &str, model: &str, usage: &Usage) -> Result<Cost, UnknownPrice> {
        let priced = self.prices(provider, model).ok_or_else(|| UnknownPrice::new(provider, model))?;
        Ok(priced.prices.cost(usage, &self.version).on(priced.basis))
    }

    /// Every model that is listed by name, in no order: provider, name, prices. A model in several files comes with the
    /// newest.
    pub fn models(&self) -> impl Iterator<Item = (&str, &str, &ModelPrices)> {
        self.layers.iter().enumerate().flat_map(move |(depth, layer)| {
            layer.providers.iter().flat_map(move |(provider, models)| {
                let newer = &self.layers[..depth];
                let is_newest =
                    move |model: &str| !newer.iter().any(|layer| layer.exact(provider, model).is_some());
                models
                    .named
                    .iter()
                    .filter(move |(model, _)| is_newest(model))
                    .map(move |(model, prices)| (provider.as_ref(), model.as_ref(), prices.as_ref()))
            })
        })
    }

    fn find(&self, provider: &str, model: &str) -> Option<(&Arc<ModelPrices>, Basis)> {
        let provider = names::canonical(provider);
        if let Some(found) = self.at(provider, model) {
            return Some(found);
        }
        if provider == names::OPENROUTER {
            let (provider, model) = names::behind_openrouter(model)?;
            return self.at(provider, &model).map(|(prices, _)| (prices, Basis::Related));
        }
        let like = self.layers.iter().filter_map(|layer| layer.providers.get(provider));
        let mut like = like.flat_map(|models| models.like.iter());
        like.find_map(|other| self.at(other, model)).map(|(prices, _)| (prices, Basis::Related))
    }

    /// The model in the provider's own list.
    fn at(&self, provider: &str, model: &str) -> Option<(&Arc<ModelPrices>, Basis)> {
        for layer in self.layers.iter() {
            if let Some(prices) = layer.exact(provider, model).or_else(|| layer.pattern(provider, model)) {
                return Some((prices, Basis::Listed));
            }
        }
        let related = names::related(provider, model)
            .find_map(|name| self.layers.iter().find_map(|layer| layer.exact(provider, name)))?;
        Some((related, Basis::Related))
    }
}

impl Default for PriceTable {
    fn default() -> Self {
        Self::built_in()
    }
}

static LOCAL: ModelPrices = ModelPrices::FREE;

/// The prices of a model, and where they are from.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Priced<'a> {
    /// The prices.
    pub prices: &'a ModelPrices,
    /// Where they are from.
    pub basis: Basis,
}

impl Layer {
    fn exact(&self, provider: &str, model: &str) -> Option<&Arc<ModelPrices>> {
        self.providers.get(provider)?.named.get(model)
    }

    fn pattern(&self, provider: &str, model: &str) -> Option<&Arc<ModelPrices>> {
        let patterns = &self.providers.get(provider)?.patterns;
        patterns.iter().find(|(start, _)| model.starts_with(&**start)).map(|(_, prices)| prices)
    }

    /// The model of this `provider/model` name.
    fn named(&self, name: &str) -> Option<&Arc<ModelPrices>> {
        let (provider, model) = file::provider_and_model(name).ok()?;
        self.exact(provider, model)
    }

    fn insert(&mut self, name: &str, prices: Arc<ModelPrices>) -> Result<(), InvalidPriceFile> {
        let (provider, model) = file::provider_and_model(name)?;
        self.put(provider, model, prices)
            .then_some(())
            .ok_or_else(|| InvalidPriceFile::Twice { name: name.to_owned() })
    }

    /// Whether it was not there yet.
    fn put(&mut self, provider: &str, model: &str, prices: Arc<ModelPrices>) -> bool {
        let models = self.providers.entry(provider.into()).or_default();
        let Some(start) = model.strip_suffix('*') else {
            return models.named.insert(model.into(), prices).is_none();
        };
        let is_new = !models.patterns.iter().any(|(other, _)| **other == *start);
        let place = models.patterns.partition_point(|(other, _)| other.len() >= start.len());
        models.patterns.insert(place, (start.into(), prices));
        is_new
    }
}

/// No price is known of a model, and it is not said to cost nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no price is known of the model {model:?} at {provider:?}")]
pub struct UnknownPrice {
    provider: Box<str>,
    model: Box<str>,
}

impl UnknownPrice {
    pub(crate) fn new(provider: &str, model: &str) -> Self {
        Self { provider: provider.into(), model: model.into() }
    }

    /// The provider.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The model, as the provider names it.
    pub fn model(&self) -> &str {
        &self.model
    }
}

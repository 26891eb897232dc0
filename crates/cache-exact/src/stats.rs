//! What the cache has done.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_provider_core::{Recording, Usage};

use crate::policy::NotCached;

/// What an answer of this provider, model and usage cost, in nano-USD; `None` when the price is not known.
pub type PriceOf = Arc<dyn Fn(&str, &str, &Usage) -> Option<u64> + Send + Sync>;

/// What the cache has done since it was made, and how full it is.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Calls answered from a fresh entry.
    pub hits: u64,
    /// Calls answered from an expired entry, because they or the degrade ladder allowed it.
    pub stale_hits: u64,
    /// Calls that shared the upstream call of another.
    pub coalesced: u64,
    /// Calls that asked the cache and found nothing.
    pub misses: u64,
    /// Calls that the cache had nothing to do with, by the reason.
    pub not_cached: Vec<(NotCached, u64)>,
    /// Calls that wanted no cached answer (`no-cache`).
    pub bypassed: u64,
    /// Answers kept.
    pub stored: u64,
    /// Complete answers that were not kept: too large, or the policy says so, or cut off, filtered, refused.
    pub not_stored: u64,
    /// Entries in memory.
    pub entries: u64,
    /// Bytes that they take, about.
    pub bytes: u64,
    /// Entries that had to go for others.
    pub evictions: u64,
    /// Tokens that hits and shared calls did not take.
    pub saved: Usage,
    /// What those would have cost, in nano-USD; of the models whose price is known.
    pub saved_nano_usd: u64,
    /// The tokens saved, by the model that had answered.
    pub saved_by_model: Vec<(Arc<str>, Usage)>,
    /// What the second level has done, if there is one.
    pub second: Option<SecondLevel>,
}

impl Stats {
    /// The share of calls that asked the cache and were answered by it, or shared another's call; 0 when none asked.
    // Far below 2^53 both are exact.
    #[allow(clippy::cast_precision_loss)]
    pub fn hit_rate(&self) -> f64 {
        let answered = self.hits + self.stale_hits + self.coalesced;
        let asked = answered + self.misses;
        if asked == 0 { 0.0 } else { answered as f64 / asked as f64 }
    }
}

/// What the second level has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecondLevel {
    /// Look-ups that found an entry.
    pub hits: u64,
    /// Look-ups that found none.
    pub misses: u64,
    /// Look-ups and writes that failed.
    pub failures: u64,
    /// Look-ups and writes that took too long.
    pub timeouts: u64,
    /// Entries that were damaged; each was a miss.
    pub damaged: u64,
    /// Look-ups and writes that were not made while the store was left alone, and writes that were too many.
    pub skipped: u64,
    /// Whether it is left alone just now, because it failed (S3).
    pub is_left_alone: bool,
}

#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Nearly always there is nothing to add.
    pub(crate) fn add(&self, number: u64) {
        if number > 0 {
            self.0.fetch_add(number, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) hits: Counter,
    pub(crate) stale_hits: Counter,
    pub(crate) coalesced: Counter,
    pub(crate) misses: Counter,
    pub(crate) bypassed: Counter,
    pub(crate) stored: Counter,
    pub(crate) not_stored: Counter,
    not_cached: [Counter; NotCached::ALL.len()],
    saved: Ledger,
}

impl Counters {
    pub(crate) fn not_cached(&self, why: NotCached) {
        if let Some(place) = NotCached::ALL.iter().position(|known| *known == why) {
            self.not_cached[place].one();
        }
    }

    /// What a hit on this answer saves. Asked once for each answer that is kept, so that a hit only adds.
    pub(crate) fn worth(&self, recording: &Recording, price_of: Option<&PriceOf>) -> Worth {
        let Some(usage) = recording.usage() else { return Worth::default() };
        let price = |price_of: &PriceOf| price_of(recording.provider(), recording.model(), &usage);
        let nano_usd = price_of.and_then(price).unwrap_or(0);
        Worth { usage, nano_usd, model: Some(self.saved.of(recording.model())) }
    }

    pub(crate) fn read(&self) -> Stats {
        let by_model = self.saved.read();
        Stats {
            hits: self.hits.get(),
            stale_hits: self.stale_hits.get(),
            coalesced: self.coalesced.get(),
            misses: self.misses.get(),
            not_cached: NotCached::ALL
                .into_iter()
                .zip(self.not_cached.iter().map(Counter::get))
                .filter(|(_, count)| *count > 0)
                .collect(),
            bypassed: self.bypassed.get(),
            stored: self.stored.get(),
            not_stored: self.not_stored.get(),
            saved: by_model.iter().fold(Usage::default(), |all, (_, saved)| all + saved.usage()),
            saved_nano_usd: by_model.iter().map(|(_, saved)| saved.nano_usd.get()).sum(),
            saved_by_model: by_model.into_iter().map(|(model, saved)| (model, saved.usage())).collect(),
            ..Stats::default()
        }
    }
}

/// What a hit on an entry saves, and where it is counted.
#[derive(Clone, Default)]
pub(crate) struct Worth {
    usage: Usage,
    nano_usd: u64,
    model: Option<Arc<Saved>>,
}

impl Worth {
    pub(crate) fn count(&self) {
        if let Some(model) = &self.model {
            model.add(&self.usage, self.nano_usd);
        }
    }
}

/// What was saved of one model.
#[derive(Default)]
struct Saved {
    input: Counter,
    output: Counter,
    cache_read: Counter,
    cache_write: Counter,
    cache_write_long: Counter,
    reasoning: Counter,
    nano_usd: Counter,
}

impl Saved {
    fn add(&self, usage: &Usage, nano_usd: u64) {
        self.input.add(usage.input);
        self.output.add(usage.output);
        self.cache_read.add(usage.cache_read);
        self.cache_write.add(usage.cache_write);
        self.cache_write_long.add(usage.cache_write_long);
        self.reasoning.add(usage.reasoning);
        self.nano_usd.add(nano_usd);
    }

    fn usage(&self) -> Usage {
        let mut usage = Usage::new(self.input.get(), self.output.get());
        usage.cache_read = self.cache_read.get();
        usage.cache_write = self.cache_write.get();
        usage.cache_write_long = self.cache_write_long.get();
        usage.reasoning = self.reasoning.get();
        usage
    }
}

/// What was saved, by model.
#[derive(Default)]
struct Ledger(Mutex<HashMap<Arc<str>, Arc<Saved>>>);

/// A provider that names a new model in each answer must not fill the memory: what is beyond is counted together.
const MOST_MODELS: usize = 1_000;

impl Ledger {
    fn of(&self, model: &Arc<str>) -> Arc<Saved> {
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(saved) = models.get(model) {
            return saved.clone();
        }
        let name = if models.len() < MOST_MODELS { model.clone() } else { "other".into() };
        models.entry(name).or_default().clone()
    }

    fn read(&self) -> Vec<(Arc<str>, Arc<Saved>)> {
        let models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = models.iter().map(|(model, saved)| (model.clone(), saved.clone())).collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }
}

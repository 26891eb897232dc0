//! One place that knows what calls cost: before they are made, and after.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_provider_core::chat::{Content, Part};
use mainstay_provider_core::{ChatRequest, Event, Events, Severity};

use crate::cost::{Basis, Cost};
use crate::count::{Estimate, TokenCount, TokenCounter};
use crate::money::NanoUsd;
use crate::policy::UnknownPricePolicy;
use crate::prices::{ModelPrices, Most};
use crate::table::{PriceTable, Priced, UnknownPrice};
use crate::tokens::Tokens;

/// What calls cost: a price table, what to do where it says nothing, and a counter of tokens. A clone shares all of it.
#[derive(Clone)]
pub struct Meter(Arc<Inner>);

struct Inner {
    table: PriceTable,
    unknown: UnknownPricePolicy,
    counter: Arc<dyn TokenCounter>,
    largest_output: u64,
    events: Events,
    /// The models that an alarm was sent for.
    alarmed: Mutex<BTreeSet<(Box<str>, Box<str>)>>,
}

/// So many models get an alarm of their own; a caller can invent names without end.
const MOST_ALARMS: usize = 1_000;

impl Meter {
    /// Begins with the defaults.
    pub fn builder() -> MeterBuilder {
        MeterBuilder::default()
    }

    /// The price table.
    pub fn table(&self) -> &PriceTable {
        &self.0.table
    }

    /// What is done with a model whose price nobody knows.
    pub fn unknown_price(&self) -> &UnknownPricePolicy {
        &self.0.unknown
    }

    /// What a call to `model` at `provider` cost that used `tokens`: a `Usage`, or [`Tokens`] with recordings.
    ///
    /// # Errors
    /// [`UnknownPrice`] if no price is known and the policy is [`Deny`](UnknownPricePolicy::Deny).
    pub fn cost(&self, provider: &str, model: &str, tokens: impl Into<Tokens>) -> Result<Cost, UnknownPrice> {
        let priced = self.priced(provider, model)?;
        Ok(priced.prices.cost(tokens, self.0.table.version()).on(priced.basis))
    }

    /// How many input tokens a request has for this model.
    pub fn count(&self, provider: &str, model: &str, request: &ChatRequest) -> TokenCount {
        self.0.counter.count(provider, model, request)
    }

    /// How many tokens a text has for this model: what was delivered of an answer whose provider told no usage (M3, M5).
    pub fn count_text(&self, provider: &str, model: &str, text: &str) -> TokenCount {
        self.0.counter.count_text(provider, model, text)
    }

    /// The most that a request can use and cost at any of the models that may answer it, for a reservation (M1).
    ///
    /// The input is what the counter says with its error on top; the output is what the request allows, else the
    /// model's own limit, times the number of answers; the prices are the dearest that such a call can be billed at.
    /// Without a candidate the most is nothing.
    ///
    /// # Errors
    /// [`UnknownPrice`] if one of them has no price and the policy is [`Deny`](UnknownPricePolicy::Deny).
    pub fn reserve<'a>(
        &self,
        request: &ChatRequest,
        candidates: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Reserve, UnknownPrice> {
        let mut all = Reserve::default();
        let (long_cache, audio) = (writes_long_cache(request), has_audio(request));
        for (provider, model) in candidates {
            let prices = self.priced(provider, model)?.prices;
            let input = self.count(provider, model, request).at_most();
            let output = self.largest_output(request, prices, input);
            let cost = prices.most(Most { input, output, long_cache, audio });
            all.input = all.input.max(input);
            all.output = all.output.max(output);
            all.cost = all.cost.max(cost);
        }
        Ok(all)
    }

    /// The most output tokens of all answers to a request together.
    fn largest_output(&self, request: &ChatRequest, prices: &ModelPrices, input: u64) -> u64 {
        let limit = prices.max_output();
        let each = match (request.max_output_tokens(), limit) {
            // A provider refuses what is beyond its limit, or stops there.
            (Some(asked), Some(limit)) => asked.min(limit),
            (Some(asked), None) => asked,
            (None, Some(limit)) => limit,
            (None, None) => self.0.largest_output,
        };
        let room = prices.context_window().map(|window| window.saturating_sub(input).max(1));
        // Some list the largest input as the window, so the room bounds the answer only where no limit of its own is known.
        let each = match (limit, room) {
            (None, Some(room)) => each.min(room),
            _ => each,
        };
        each.saturating_mul(request.n.unwrap_or(1).max(1).into())
    }

    /// The prices that count, by the table or by the policy.
    fn priced(&self, provider: &str, model: &str) -> Result<Priced<'_>, UnknownPrice> {
        static NOT_KNOWN: ModelPrices = ModelPrices::FREE;
        let inner = &*self.0;
        if let Some(priced) = inner.table.prices(provider, model) {
            return Ok(priced);
        }
        match &inner.unknown {
            UnknownPricePolicy::Deny => Err(UnknownPrice::new(provider, model)),
            UnknownPricePolicy::Estimate(prices) => Ok(Priced { prices, basis: Basis::Assumed }),
            UnknownPricePolicy::AllowWithAlarm => {
                inner.alarm(provider, model);
                Ok(Priced { prices: &NOT_KNOWN, basis: Basis::Unpriced })
            }
        }
    }
}

impl Inner {
    fn alarm(&self, provider: &str, model: &str) {
        // A caller can also invent names of any length.
        const LONGEST: usize = 200;
        let short = |name: &str| name.chars().take(LONGEST).collect::<String>().into_boxed_str();
        let name = (short(provider), short(model));
        let (provider, model) = (name.0.to_string(), name.1.to_string());
        let is_first = {
            let mut alarmed = self.alarmed.lock().unwrap_or_else(PoisonError::into_inner);
            alarmed.len() < MOST_ALARMS && alarmed.insert(name)
        };
        if is_first {
            self.events.send(|| {
                Event::new("price.unknown", Severity::Alert).with("provider", provider).with("model", model)
            });
        }
    }
}

/// The most that a request can use and cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reserve {
    /// Input tokens.
    pub input: u64,
    /// Output tokens of all answers together.
    pub output: u64,
    /// The cost.
    pub cost: NanoUsd,
}

impl Reserve {
    /// Input and output together.
    pub fn tokens(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

/// Whether a part of the request asks for the one-hour prompt cache.
fn writes_long_cache(request: &ChatRequest) -> bool {
    let asks = |extra: &mainstay_provider_core::Extra| {
        let ttl = |value: &serde_json::Value| value.get("ttl").is_some_and(|ttl| ttl == "1h");
        ["cache_control", "cachePoint", "cache_point"].iter().any(|name| extra.get(name).is_some_and(ttl))
    };
    let in_parts = |content: &Content| match content {
        Content::Text(_) => false,
        Content::Parts(parts) => parts.iter().filter_map(Part::extra).any(asks),
    };
    asks(&request.extra)
        || request.tools.iter().any(|tool| asks(&tool.extra))
        || request
            .messages
            .iter()
            .any(|message| asks(&message.extra) || message.content.as_ref().is_some_and(in_parts))
}

/// Whether recordings go in or come out.
fn has_audio(request: &ChatRequest) -> bool {
    let in_content = |content: &Content| match content {
        Content::Text(_) => false,
        Content::Parts(parts) => parts.iter().any(|part| matches!(part, Part::Audio(_))),
    };
    request.extra.get("audio").is_some()
        || request.messages.iter().any(|message| message.content.as_ref().is_some_and(in_content))
}

impl Default for Meter {
    fn default() -> Self {
        MeterBuilder::default().build()
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter")
            .field("prices", self.0.table.version())
            .field("unknown_price", &self.0.unknown.as_str())
            .field("largest_output", &self.0.largest_output)
            .finish_non_exhaustive()
    }
}

/// Builds a [`Meter`].
#[derive(Clone)]
#[must_use]
pub struct MeterBuilder {
    table: PriceTable,
    unknown: UnknownPricePolicy,
    counter: Arc<dyn TokenCounter>,
    largest_output: u64,
    events: Events,
}

impl Default for MeterBuilder {
    fn default() -> Self {
        Self {
            table: PriceTable::built_in(),
            unknown: UnknownPricePolicy::Deny,
            counter: Arc::new(Estimate),
            largest_output: 16_384,
            events: Events::default(),
        }
    }
}

impl MeterBuilder {
    /// The price table; the built-in one when not set.
    pub fn table(mut self, table: PriceTable) -> Self {
        self.table = table;
        self
    }

    /// What is done with a model whose price nobody knows; its calls are refused when not set.
    pub fn unknown_price(mut self, policy: UnknownPricePolicy) -> Self {
        self.unknown = policy;
        self
    }

    /// What counts tokens; [`Estimate`] when not set.
    pub fn counter(mut self, counter: impl TokenCounter + 'static) -> Self {
        self.counter = Arc::new(counter);
        self
    }

    /// The longest answer of a model of which no limit is known, when the request sets none either; 16,384 tokens.
    pub fn largest_output(mut self, tokens: u64) -> Self {
        self.largest_output = tokens;
        self
    }

    /// Who hears of a model without a price.
    pub fn events(mut self, events: Events) -> Self {
        self.events = events;
        self
    }

    /// The meter.
    pub fn build(self) -> Meter {
        let Self { table, unknown, counter, largest_output, events } = self;
        Meter(Arc::new(Inner { table, unknown, counter, largest_output, events, alarmed: Mutex::default() }))
    }
}

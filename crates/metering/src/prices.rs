//! What a model costs, by kind of token and by length of the input.

use crate::cost::{Cost, Kind, PriceVersion};
use crate::money::{NanoUsd, Price};
use crate::tokens::Tokens;

/// What one token of each kind costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Rates {
    /// Input that is neither read from the prompt cache nor written to it.
    pub input: Price,
    /// Output that is not reasoning.
    pub output: Price,
    /// Input read from the prompt cache.
    pub cache_read: Price,
    /// Input written to the prompt cache for the usual time (five minutes at Anthropic).
    pub cache_write: Price,
    /// Input written to the prompt cache for the long time (one hour).
    pub cache_write_long: Price,
    /// Output spent on reasoning.
    pub reasoning: Price,
    /// Recordings in the input.
    pub audio_input: Price,
    /// Speech in the output.
    pub audio_output: Price,
}

impl Rates {
    /// All input at one price, all output at another.
    pub const fn new(input: Price, output: Price) -> Self {
        Self {
            input,
            output,
            cache_read: input,
            cache_write: input,
            cache_write_long: input,
            reasoning: output,
            audio_input: input,
            audio_output: output,
        }
    }

    fn of(&self, kind: Kind) -> Price {
        match kind {
            Kind::Input => self.input,
            Kind::CacheRead => self.cache_read,
            Kind::CacheWrite => self.cache_write,
            Kind::CacheWriteLong => self.cache_write_long,
            Kind::AudioInput => self.audio_input,
            Kind::Output => self.output,
            Kind::Reasoning => self.reasoning,
            Kind::AudioOutput => self.audio_output,
        }
    }
}

/// The prices of one model, and its limits as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPrices {
    base: Rates,
    /// In rising order.
    tiers: Vec<Tier>,
    context_window: Option<u64>,
    max_output: Option<u64>,
}

/// What every token of a call costs whose input is longer than `above`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tier {
    /// The input is longer than so many tokens.
    pub above: u64,
    /// The prices then.
    pub rates: Rates,
}

impl ModelPrices {
    /// It costs nothing: a model of one's own.
    pub const FREE: Self = Self::new(Rates::new(Price::FREE, Price::FREE));

    /// The same prices for inputs of all lengths.
    pub const fn new(rates: Rates) -> Self {
        Self { base: rates, tiers: Vec::new(), context_window: None, max_output: None }
    }

    /// All input at one price and all output at another, in US dollars per million tokens: `("2.50", "10")`.
    ///
    /// # Errors
    /// What is not a decimal number of at most six decimals.
    pub fn per_million(input: &str, output: &str) -> Result<Self, crate::InvalidAmount> {
        Ok(Self::new(Rates::new(Price::per_million(input)?, Price::per_million(output)?)))
    }

    /// Other prices for calls whose input is longer than `above` tokens.
    #[must_use]
    pub fn tier(mut self, above: u64, rates: Rates) -> Self {
        let place = self.tiers.partition_point(|tier| tier.above < above);
        if self.tiers.get(place).is_some_and(|tier| tier.above == above) {
            self.tiers.remove(place);
        }
        self.tiers.insert(place, Tier { above, rates });
        self
    }

    /// How many tokens a conversation may have.
    #[must_use]
    pub fn with_context_window(mut self, tokens: u64) -> Self {
        self.context_window = Some(tokens);
        self
    }

    /// How many tokens an answer may have.
    #[must_use]
    pub fn with_max_output(mut self, tokens: u64) -> Self {
        self.max_output = Some(tokens);
        self
    }

    /// The prices of a call with so many input tokens.
    pub fn rates(&self, input_tokens: u64) -> &Rates {
        let below = self.tiers.partition_point(|tier| tier.above < input_tokens);
        below.checked_sub(1).map_or(&self.base, |last| &self.tiers[last].rates)
    }

    /// The prices of short calls.
    pub fn base(&self) -> &Rates {
        &self.base
    }

    /// The prices of longer calls, in rising order.
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    /// How many tokens a conversation may have, if it is known.
    pub fn context_window(&self) -> Option<u64> {
        self.context_window
    }

    /// How many tokens an answer may have, if it is known.
    pub fn max_output(&self) -> Option<u64> {
        self.max_output
    }

    /// What a call cost that used these tokens.
    ///
    /// Exact in pico-dollars, rounded up once, at the sum; the parts are the steps of the rounded running sum, so that
    /// they add up to the total to the last nano-dollar.
    pub fn cost(&self, tokens: impl Into<Tokens>, version: &PriceVersion) -> Cost {
        let tokens = tokens.into();
        let rates = self.rates(tokens.usage.input);
        let mut cost = Cost::new(version.clone());
        let (mut picos, mut before) = (0u128, NanoUsd::ZERO);
        for kind in Kind::ALL {
            picos = picos.saturating_add(rates.of(kind).times(tokens.of(kind)));
            let after = NanoUsd::from_picos(picos);
            cost.put(kind, after.saturating_sub(before));
            before = after;
        }
        cost
    }

    /// The most that a call can cost with at most this input and this output, at the dearest prices that it can be
    /// billed at (M1): input at the price of a cache write where that is more, output at that of reasoning, and all of it
    /// at the dearest tier that so much input can reach.
    pub fn most(&self, most: Most) -> NanoUsd {
        let reachable = self.tiers.iter().take_while(|tier| tier.above < most.input).map(|tier| &tier.rates);
        let picos = std::iter::once(&self.base).chain(reachable).map(|rates| rates.most(most)).max();
        NanoUsd::from_picos(picos.unwrap_or(0))
    }
}

impl Rates {
    fn most(&self, most: Most) -> u128 {
        let Most { input, output, long_cache, audio } = most;
        let mut a_token_in = self.input.max(self.cache_write).max(self.cache_read);
        let mut a_token_out = self.output.max(self.reasoning);
        if long_cache {
            a_token_in = a_token_in.max(self.cache_write_long);
        }
        if audio {
            a_token_in = a_token_in.max(self.audio_input);
            a_token_out = a_token_out.max(self.audio_output);
        }
        a_token_in.times(input).saturating_add(a_token_out.times(output))
    }
}

/// The most that a call can use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Most {
    /// Input tokens.
    pub input: u64,
    /// Output tokens, of all answers together.
    pub output: u64,
    /// Whether it may write to the prompt cache for the long time.
    pub long_cache: bool,
    /// Whether it has or asks for recordings.
    pub audio: bool,
}

impl Most {
    /// At most so much, of text.
    pub fn new(input: u64, output: u64) -> Self {
        Self { input, output, ..Self::default() }
    }

    /// The same, with writes to the prompt cache for the long time.
    #[must_use]
    pub fn with_long_cache(mut self) -> Self {
        self.long_cache = true;
        self
    }

    /// The same, with recordings.
    #[must_use]
    pub fn with_audio(mut self) -> Self {
        self.audio = true;
        self
    }
}

//! Prices as they are written down: what is not said follows from what is.

use serde::Deserialize;

use crate::money::Price;
use crate::prices::{ModelPrices, Rates};

/// The prices of one model, in US dollars per million tokens. What is not said costs as all input does, or as all output
/// does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PriceSpec {
    /// Input.
    pub input: Price,
    /// Output.
    pub output: Price,
    /// Input read from the prompt cache. Default: as input.
    #[serde(default)]
    pub cache_read: Option<Price>,
    /// Input written to the prompt cache. Default: as input.
    #[serde(default)]
    pub cache_write: Option<Price>,
    /// Input written to it for the long time (one hour). Default: as any other write.
    #[serde(default)]
    pub cache_write_1h: Option<Price>,
    /// Output spent on reasoning. Default: as output.
    #[serde(default)]
    pub reasoning: Option<Price>,
    /// Recordings in the input. Default: as input.
    #[serde(default)]
    pub audio_input: Option<Price>,
    /// Speech in the output. Default: as output.
    #[serde(default)]
    pub audio_output: Option<Price>,
    /// Other prices for longer inputs.
    #[serde(default)]
    pub tiers: Vec<TierSpec>,
    /// How many tokens a conversation may have.
    #[serde(default)]
    pub context_window: Option<u64>,
    /// How many tokens an answer may have.
    #[serde(default)]
    pub max_output: Option<u64>,
}

/// The prices of calls whose input is longer than `above`. What is not said rises as the price of input rises, or as
/// that of output.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TierSpec {
    /// The input is longer than so many tokens.
    pub above: u64,
    /// Input. Default: as below.
    #[serde(default)]
    pub input: Option<Price>,
    /// Output. Default: as below.
    #[serde(default)]
    pub output: Option<Price>,
    /// Input read from the prompt cache.
    #[serde(default)]
    pub cache_read: Option<Price>,
    /// Input written to the prompt cache.
    #[serde(default)]
    pub cache_write: Option<Price>,
    /// Input written to it for the long time.
    #[serde(default)]
    pub cache_write_1h: Option<Price>,
}

impl PriceSpec {
    /// All input at one price, all output at another.
    pub fn new(input: Price, output: Price) -> Self {
        Self {
            input,
            output,
            cache_read: None,
            cache_write: None,
            cache_write_1h: None,
            reasoning: None,
            audio_input: None,
            audio_output: None,
            tiers: Vec::new(),
            context_window: None,
            max_output: None,
        }
    }

    /// With everything filled in.
    pub fn prices(&self) -> ModelPrices {
        let mut base = Rates::new(self.input, self.output);
        base.cache_read = self.cache_read.unwrap_or(base.cache_read);
        base.cache_write = self.cache_write.unwrap_or(base.cache_write);
        base.cache_write_long = self.cache_write_1h.unwrap_or(base.cache_write);
        base.reasoning = self.reasoning.unwrap_or(base.reasoning);
        base.audio_input = self.audio_input.unwrap_or(base.audio_input);
        base.audio_output = self.audio_output.unwrap_or(base.audio_output);
        let mut prices = ModelPrices::new(base);
        for tier in &self.tiers {
            prices = prices.tier(tier.above, tier.rates(&base));
        }
        if let Some(tokens) = self.context_window {
            prices = prices.with_context_window(tokens);
        }
        if let Some(tokens) = self.max_output {
            prices = prices.with_max_output(tokens);
        }
        prices
    }
}

impl TierSpec {
    /// Nothing is said of calls with longer input than `above` yet.
    pub fn new(above: u64) -> Self {
        Self { above, input: None, output: None, cache_read: None, cache_write: None, cache_write_1h: None }
    }

    fn rates(&self, base: &Rates) -> Rates {
        let input = self.input.unwrap_or(base.input);
        let output = self.output.unwrap_or(base.output);
        let raised =
            |said: Option<Price>, below: Price| said.unwrap_or_else(|| below.scaled(base.input, input));
        let raised_output = |below: Price| below.scaled(base.output, output);
        Rates {
            input,
            output,
            cache_read: raised(self.cache_read, base.cache_read),
            cache_write: raised(self.cache_write, base.cache_write),
            cache_write_long: raised(self.cache_write_1h, base.cache_write_long),
            reasoning: raised_output(base.reasoning),
            audio_input: raised(None, base.audio_input),
            audio_output: raised_output(base.audio_output),
        }
    }
}

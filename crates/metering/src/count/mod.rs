//! How many tokens a request has, before the provider counts them.

#[cfg(feature = "exact")]
mod exact;
mod family;
mod image;
mod media;
mod request;
mod text;

use mainstay_provider_core::ChatRequest;

#[cfg(feature = "exact")]
pub use self::exact::Exact;
use self::family::Family;

/// Counts tokens before a call, and of texts whose provider told no usage.
pub trait TokenCounter: Send + Sync {
    /// The input tokens of a request to `model` at `provider`, both as the adapters name them.
    fn count(&self, provider: &str, model: &str, request: &ChatRequest) -> TokenCount;

    /// The tokens of a text that stands for itself: an answer, a piece of one.
    fn count_text(&self, provider: &str, model: &str, text: &str) -> TokenCount;
}

/// A number of tokens, and how far off it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenCount {
    tokens: u64,
    /// What may be on top.
    slack: u64,
}

impl TokenCount {
    /// So many, of which nobody knows better.
    pub const fn exactly(tokens: u64) -> Self {
        Self { tokens, slack: 0 }
    }

    /// So many, and perhaps `slack` more.
    pub const fn about(tokens: u64, slack: u64) -> Self {
        Self { tokens, slack }
    }

    /// The number.
    pub const fn tokens(self) -> u64 {
        self.tokens
    }

    /// The number with its error on top, for a reservation.
    pub const fn at_most(self) -> u64 {
        self.tokens.saturating_add(self.slack)
    }
}

/// Counts without a vocabulary: one pass over the text, by kinds of characters, with weights that were fitted to
/// `o200k_base` and to what each family of models was seen to count. Takes no memory and knows every model.
///
/// The error that is stated with each count is 10 % and 10 tokens. [The documentation][docs] has what was measured, and
/// for what it does not hold.
///
/// [docs]: https://github.com/mainstay-rs/mainstay/blob/main/docs/metering.md
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate;

impl TokenCounter for Estimate {
    fn count(&self, _provider: &str, model: &str, request: &ChatRequest) -> TokenCount {
        let family = Family::of(model);
        request::count(request, family, |text| family.text(text), ESTIMATED)
    }

    fn count_text(&self, _provider: &str, model: &str, text: &str) -> TokenCount {
        ESTIMATED.of_milli(Family::of(model).text(text))
    }
}

/// How far off a count may be: a share of it, and some tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Error {
    permille: u64,
    tokens: u64,
}

const ESTIMATED: Error = Error { permille: 100, tokens: 10 };

impl Error {
    /// A count in thousandths of a token.
    fn of_milli(self, milli: u64) -> TokenCount {
        self.of(milli.div_ceil(1_000))
    }

    fn of(self, tokens: u64) -> TokenCount {
        TokenCount::about(tokens, share(tokens, self.permille).saturating_add(self.tokens))
    }
}

/// So many thousandths of `amount`.
fn share(amount: u64, permille: u64) -> u64 {
    u64::try_from(u128::from(amount) * u128::from(permille) / 1_000).unwrap_or(u64::MAX)
}

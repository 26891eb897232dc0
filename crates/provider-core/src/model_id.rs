//! `provider/model`: which provider a model string means.

use std::fmt;

/// A model string, taken apart (S1.2): `anthropic/claude-sonnet-4` is model `claude-sonnet-4` at `anthropic`.
///
/// Only the first part counts as a prefix, and only if it is a provider's name, which the caller knows: Together's
/// `meta-llama/Llama-3` has a slash and no prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModelId<'a> {
    /// The provider's name; `openai` when the string has no prefix.
    pub provider: &'a str,
    /// The model as the provider names it.
    pub model: &'a str,
}

impl<'a> ModelId<'a> {
    /// The provider that a model string without a prefix means.
    pub const DEFAULT_PROVIDER: &'static str = "openai";

    /// Takes a model string apart. `is_provider` tells whether a prefix is the name of a provider.
    pub fn parse(model: &'a str, is_provider: impl Fn(&str) -> bool) -> Self {
        match model.split_once('/') {
            Some((provider, rest)) if !rest.is_empty() && is_provider(provider) => {
                Self { provider, model: rest }
            }
            _ => Self { provider: Self::DEFAULT_PROVIDER, model },
        }
    }
}

impl fmt::Display for ModelId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

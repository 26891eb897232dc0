//! Tokens used by a call, in one form for all providers.

use std::ops::{Add, AddAssign};

/// Tokens used by one call.
///
/// One convention for all providers: `input` is the *whole* input, of which `cache_read` came from the provider's
/// prompt cache and `cache_write` was written to it; `output` is the *whole* output, of which `reasoning` was not shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Usage {
    /// All input tokens.
    pub input: u64,
    /// All output tokens, reasoning included.
    pub output: u64,
    /// Part of `input`: read from the provider's prompt cache.
    pub cache_read: u64,
    /// Part of `input`: written to the provider's prompt cache, for whatever lifetime.
    pub cache_write: u64,
    /// Part of `cache_write`: written with the long lifetime (one hour), which some providers price higher.
    pub cache_write_long: u64,
    /// Part of `output`: spent on reasoning.
    pub reasoning: u64,
}

impl Usage {
    /// Usage of `input` and `output` tokens, nothing cached, no reasoning.
    pub fn new(input: u64, output: u64) -> Self {
        Self { input, output, ..Self::default() }
    }

    /// Input and output together.
    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl AddAssign for Usage {
    /// Saturates: a hostile provider's figures must not panic.
    fn add_assign(&mut self, other: Self) {
        let Self { input, output, cache_read, cache_write, cache_write_long, reasoning } = other;
        self.input = self.input.saturating_add(input);
        self.output = self.output.saturating_add(output);
        self.cache_read = self.cache_read.saturating_add(cache_read);
        self.cache_write = self.cache_write.saturating_add(cache_write);
        self.cache_write_long = self.cache_write_long.saturating_add(cache_write_long);
        self.reasoning = self.reasoning.saturating_add(reasoning);
    }
}

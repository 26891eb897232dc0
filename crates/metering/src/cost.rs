//! What a call cost.

use std::fmt;
use std::sync::Arc;

use crate::money::NanoUsd;

/// What tokens are billed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Input that is none of the following.
    Input,
    /// Input read from the prompt cache.
    CacheRead,
    /// Input written to the prompt cache for the usual time.
    CacheWrite,
    /// Input written to the prompt cache for the long time.
    CacheWriteLong,
    /// Recordings in the input.
    AudioInput,
    /// Output that is none of the following.
    Output,
    /// Output spent on reasoning.
    Reasoning,
    /// Speech in the output.
    AudioOutput,
}

impl Kind {
    /// All kinds, in the order in which costs are added up.
    pub const ALL: [Self; 8] = [
        Self::Input,
        Self::CacheRead,
        Self::CacheWrite,
        Self::CacheWriteLong,
        Self::AudioInput,
        Self::Output,
        Self::Reasoning,
        Self::AudioOutput,
    ];

    /// The name in reports and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::CacheRead => "cache_read",
            Self::CacheWrite => "cache_write",
            Self::CacheWriteLong => "cache_write_long",
            Self::AudioInput => "audio_input",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
            Self::AudioOutput => "audio_output",
        }
    }
}

/// What a call cost, by kind of token. The parts add up to the total exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    parts: [NanoUsd; Kind::ALL.len()],
    version: PriceVersion,
    basis: Basis,
}

impl Cost {
    pub(crate) fn new(version: PriceVersion) -> Self {
        Self { parts: [NanoUsd::ZERO; Kind::ALL.len()], version, basis: Basis::Listed }
    }

    pub(crate) fn put(&mut self, kind: Kind, amount: NanoUsd) {
        self.parts[kind as usize] = amount;
    }

    pub(crate) fn on(mut self, basis: Basis) -> Self {
        self.basis = basis;
        self
    }

    /// The whole cost.
    pub fn total(&self) -> NanoUsd {
        self.parts.iter().copied().sum()
    }

    /// What the tokens of one kind cost.
    pub fn of(&self, kind: Kind) -> NanoUsd {
        self.parts[kind as usize]
    }

    /// The parts that are not nothing.
    pub fn parts(&self) -> impl Iterator<Item = (Kind, NanoUsd)> + '_ {
        Kind::ALL.into_iter().map(|kind| (kind, self.of(kind))).filter(|(_, amount)| !amount.is_zero())
    }

    /// The version of the prices that it was reckoned with.
    pub fn version(&self) -> &PriceVersion {
        &self.version
    }

    /// Where the prices are from.
    pub fn basis(&self) -> Basis {
        self.basis
    }
}

/// Where the prices of a cost are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Basis {
    /// The model stands in the table.
    Listed,
    /// The table has the model under a name that means the same: without its date or region, or at the provider behind
    /// this one.
    Related,
    /// The provider is one's own machine, and the table says nothing of it: it costs nothing.
    Local,
    /// No price is known; the one that was declared for this case was taken.
    Assumed,
    /// No price is known, and such calls were declared to be let through, with an alarm. The amount is zero and means
    /// "not known".
    Unpriced,
}

impl Basis {
    /// The name in reports and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Related => "related",
            Self::Local => "local",
            Self::Assumed => "assumed",
            Self::Unpriced => "unpriced",
        }
    }
}

/// Which prices a cost was reckoned with: the date of the built-in table, and the name of what was laid on top.
/// A clone copies a pointer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PriceVersion(Arc<str>);

impl PriceVersion {
    /// The version as it stands in a ledger: `2026-11-21`, `2026-11-21+acme-7`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for PriceVersion {
    fn from(version: &str) -> Self {
        Self(version.into())
    }
}

impl fmt::Display for PriceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

//! A user's own prices.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::names;
use crate::spec::PriceSpec;

/// A user's own prices, by `provider/model`, laid on top of a table with [`PriceTable::with`](super::PriceTable::with).
///
/// A name may end in `*`: the longest pattern that fits counts, after the exact name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PriceFile {
    /// What the version of the table is called with this file on top. Default: a number that changes with the file.
    pub version: Option<String>,
    /// The prices.
    pub prices: BTreeMap<String, PriceSpec>,
    /// Models that cost as another does: a deployment of one's own name at Azure.
    pub aliases: BTreeMap<String, String>,
}

impl PriceFile {
    /// Reads a file in JSON.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn from_json(text: &str) -> Result<Self, InvalidPriceFile> {
        serde_json::from_str(text).map_err(|error| InvalidPriceFile::Syntax { what: error.to_string() })
    }

    /// Reads a file in TOML.
    ///
    /// # Errors
    /// What is wrong, and where.
    #[cfg(feature = "toml")]
    #[cfg_attr(docsrs, doc(cfg(feature = "toml")))]
    pub fn from_toml(text: &str) -> Result<Self, InvalidPriceFile> {
        toml::from_str(text).map_err(|error| InvalidPriceFile::Syntax { what: error.to_string() })
    }

    pub(super) fn version(&self) -> String {
        self.version.clone().unwrap_or_else(|| format!("{:08x}", self.fingerprint()))
    }

    /// FNV-1a over what the file says: the same file has the same version on every machine.
    fn fingerprint(&self) -> u32 {
        let said = format!("{:?}{:?}", self.prices, self.aliases);
        said.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }
}

/// Takes a `provider/model` name apart.
pub(super) fn provider_and_model(name: &str) -> Result<(&str, &str), InvalidPriceFile> {
    match name.split_once('/') {
        Some((provider, model)) if !provider.is_empty() && !model.is_empty() => {
            Ok((names::canonical(provider), model))
        }
        _ => Err(InvalidPriceFile::Name { name: name.to_owned() }),
    }
}

/// Why prices are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPriceFile {
    /// The file cannot be read as what it should be.
    #[error("{what}")]
    Syntax {
        /// What is wrong, and where.
        what: String,
    },
    /// A line of a table in the built-in form is wrong.
    #[error("line {number}: {what}")]
    Line {
        /// Which line, from 1.
        number: usize,
        /// What is wrong.
        what: String,
    },
    /// A name is not `provider/model`.
    #[error("{name:?} is not provider/model")]
    Name {
        /// The name.
        name: String,
    },
    /// A model is named twice.
    #[error("{name:?} is there twice")]
    Twice {
        /// The model.
        name: String,
    },
    /// An alias names a model without a price.
    #[error("{name:?} should cost as {target:?}, which has no price")]
    NoSuchModel {
        /// The alias.
        name: String,
        /// What it names.
        target: String,
    },
}

//! The public name of a key.

use std::fmt;
use std::sync::Arc;

use mainstay_provider_core::{Namespace, Subject};
use serde::{Deserialize, Serialize};

use crate::grants::KEY;
use crate::secret::{NoRandomness, hex};

/// The public name of a key: 16 hexadecimal digits. It stands in logs, in records of usage and in the subject `key:ID`; whoever
/// knows it can do nothing with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(Arc<str>);

/// A text is no id of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id of a key has 16 hexadecimal digits")]
pub struct InvalidId;

impl KeyId {
    pub(crate) fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(NoRandomness)?;
        Ok(Self(hex(&bytes).into()))
    }

    /// Reads an id.
    ///
    /// # Errors
    /// When it is not 16 digits from `0` to `9` and `a` to `f`.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 16 && text.bytes().all(is_digit)).then(|| Self(text.into())).ok_or(InvalidId)
    }

    /// As whom the key pays: `key:ID`.
    pub fn subject(&self) -> Subject {
        Subject::new(KEY, &self.0)
    }

    /// The namespace that the key has by itself: no other key is given it, and no call may name it.
    pub fn namespace(&self) -> Namespace {
        Namespace::new(format!("{KEY}:{self}"))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for KeyId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.as_str().to_owned()
    }
}

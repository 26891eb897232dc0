//! What is kept of a key.

use serde::{Deserialize, Serialize};

use crate::id::KeyId;
use crate::secret::KeyDigest;
use crate::settings::KeySettings;

/// What is kept of a key: everything but its secret.
///
/// Serialized it holds digests, so it is for stores; what is shown to people is made of its other members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct VirtualKey {
    /// Its public name.
    pub id: KeyId,
    /// What is decided about it.
    pub settings: KeySettings,
    /// The key that made it; `None` for the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maker: Option<KeyId>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When its secret was made, if that was later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_ms: Option<u64>,
    /// Since when it is disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_ms: Option<u64>,
    /// The last four letters of its secret.
    pub hint: String,
    /// Of its secret.
    pub digest: KeyDigest,
    /// Of its secret before the last rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousDigest>,
    /// Which state of the store it was written with; 0 for one that is not there yet. A store writes it.
    #[serde(default)]
    pub revision: u64,
}

/// The digest of a secret that another has replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PreviousDigest {
    /// Of that secret.
    pub digest: KeyDigest,
    /// Until when it is taken, in milliseconds since 1970.
    pub until_ms: u64,
}

impl PreviousDigest {
    /// A digest that is taken until then.
    pub fn new(digest: KeyDigest, until_ms: u64) -> Self {
        Self { digest, until_ms }
    }
}

/// What a key may manage. Later ones may all that earlier ones may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Nothing: it calls models.
    #[default]
    Member,
    /// The keys that it has made, and those that these have made.
    Manager,
    /// Every key, and everything else that is managed.
    Admin,
}

impl Role {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Manager => "manager",
            Self::Admin => "admin",
        }
    }
}

impl VirtualKey {
    /// A key that is not in a store yet, for tests of stores and for those who make keys themselves.
    pub fn new(
        id: KeyId,
        settings: KeySettings,
        digest: KeyDigest,
        hint: impl Into<String>,
        created_ms: u64,
    ) -> Self {
        Self {
            id,
            settings,
            maker: None,
            created_ms,
            rotated_ms: None,
            disabled_ms: None,
            hint: hint.into(),
            digest,
            previous: None,
            revision: 0,
        }
    }
}

#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod access;
mod clock;
#[cfg(feature = "test-kit")]
pub mod contract;
mod grants;
mod id;
mod index;
mod limit;
mod manager;
mod pattern;
mod record;
mod ring;
mod secret;
mod settings;
mod store;

pub use self::access::{Access, NotAllowed};
pub use self::clock::Clock;
pub use self::grants::{Grants, Wider};
pub use self::id::{InvalidId, KeyId};
pub use self::index::Refusal;
pub use self::limit::{InvalidLimit, KeyLimit, LimitPeriod, LimitUnit};
pub use self::manager::{Actor, KeyManager, ManageError};
pub use self::pattern::{InvalidPattern, Pattern};
pub use self::record::{PreviousDigest, Role, VirtualKey};
pub use self::ring::{KeyChange, KeyRing, RingConfig, RingStats};
pub use self::secret::{InvalidSecret, KeyDigest, KeyHasher, KeySecret, NoRandomness, SecretToken};
pub use self::settings::{InvalidSettings, KeySettings};
pub use self::store::{FileStore, KeyStore, MemoryStore, Snapshot, StoreError, StoreFuture};
#[cfg(feature = "postgres")]
pub use self::store::{PostgresConfig, PostgresStore};
#[cfg(feature = "redis")]
pub use self::store::{RedisConfig, RedisStore};

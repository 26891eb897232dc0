#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod partition;
pub mod store;

pub use self::partition::Partition;
pub use self::store::SemanticStore;

#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod row;
mod store;
mod usage;

pub use self::row::{RowStatus, UsageRow};
#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub use self::store::postgres;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use self::store::redis;
pub use self::store::{
    AccountKey, Answer, Balance, BudgetStore, Charge, Draw, ENDED_KEPT, ExpiredHold, HoldId, MOST,
    Reservation, Reserved, Settled, Settlement, StoreError, Window,
};
pub use self::usage::{RowsPage, RowsQuery, UsageQuery, UsageTotal};

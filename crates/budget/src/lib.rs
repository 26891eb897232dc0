#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
mod book;
mod budget;
mod clock;
mod config;
#[cfg(feature = "test-kit")]
pub mod contract;
mod forecast;
mod further;
mod guard;
mod hash;
mod keeper;
mod layer;
mod limit;
mod outbox;
mod period;
mod plan;
mod refusal;
mod row;
mod service;
mod shared;
mod spending;
mod store;
mod sync;
mod teller;
mod threads;
mod ticket;
mod told;
mod usage;

pub use self::attempt::{AttemptMeterLayer, AttemptMetered};
pub use self::book::LimitBook;
pub use self::budget::{Budget, Standing, Stats, StoreStats, Unflushed};
pub use self::config::{BudgetBuilder, CandidateList, InvalidConfig};
pub use self::layer::BudgetLayer;
pub use self::limit::{InvalidLimit, Limit, Unit, WhenStoreFails};
pub use self::period::{Period, Zone};
pub use self::plan::LostHold;
pub use self::refusal::BudgetExceeded;
pub use self::row::{RowStatus, UsageRow};
pub use self::service::Budgeted;
pub use self::spending::{Spending, Spent};
#[cfg(feature = "journal")]
#[cfg_attr(docsrs, doc(cfg(feature = "journal")))]
pub use self::store::journal::{Durability, JournalConfig, JournalStore};
pub use self::store::memory::MemoryStore;
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

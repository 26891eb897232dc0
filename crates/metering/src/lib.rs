#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod cost;
mod count;
mod decimal;
mod meter;
mod money;
mod policy;
mod prices;
mod spec;
mod table;
mod tokens;

pub use self::cost::{Basis, Cost, Kind, PriceVersion};
#[cfg(feature = "exact")]
#[cfg_attr(docsrs, doc(cfg(feature = "exact")))]
pub use self::count::Exact;
pub use self::count::{Estimate, TokenCount, TokenCounter};
pub use self::decimal::InvalidAmount;
pub use self::meter::{Meter, MeterBuilder, Reserve};
pub use self::money::{NanoUsd, Price};
pub use self::policy::UnknownPricePolicy;
pub use self::prices::{ModelPrices, Most, Rates, Tier};
pub use self::spec::{PriceSpec, TierSpec};
pub use self::table::{InvalidPriceFile, PriceFile, PriceTable, Priced, UnknownPrice};
pub use self::tokens::Tokens;

#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backoff;
mod budget;
mod config;
mod events;
mod layer;
mod policy;
mod progress;
mod reprompt;
mod run;
mod service;
mod shorten;
mod strict;
mod sync;
mod wait;

pub use self::backoff::Jitter;
pub use self::budget::RetryBudget;
pub use self::config::{InvalidConfig, RetryBuilder, RetryConfig};
pub use self::layer::RetryLayer;
pub use self::policy::{Action, RetryPolicy, StandardPolicy};
pub use self::service::Retry;
pub use self::shorten::{Shorten, Summariser};

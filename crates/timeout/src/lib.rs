#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod alarm;
mod config;
mod layer;
mod service;
mod stream;

pub use self::config::{InvalidConfig, ModelTimers, TimeoutBuilder, TimeoutConfig, Timers};
pub use self::layer::TimeoutLayer;
pub use self::service::Timeout;

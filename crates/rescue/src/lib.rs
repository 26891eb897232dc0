#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod hold_back;
mod layer;
mod plan;
mod rescue;
mod seam;
mod sent;
mod service;
mod splice;
mod stream;

pub use self::config::{
    HoldBack, InvalidConfig, ModelRules, RescueBuilder, RescueConfig, RescuePolicy, Rules,
};
pub use self::layer::RescueLayer;
pub use self::service::Rescue;

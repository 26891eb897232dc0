#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod candidate;
mod config;
mod embed;
mod explain;
mod failure;
mod flight;
mod group;
mod hedge;
mod load;
mod past;
mod quantile;
mod race;
mod resolve;
mod route;
mod service;
mod session;
mod stats;
pub mod strategy;
mod survey;

pub use self::builder::RouterBuilder;
pub use self::candidate::{Candidate, Chance, Choice, Session};
pub use self::config::{Deployment, InvalidConfig, Model, Price};
pub use self::explain::{Considered, Explanation, Relation, Standing, Tier};
pub use self::hedge::Hedging;
pub use self::resolve::ResolveModel;
pub use self::service::Router;
pub use self::stats::DeploymentStats;
#[doc(inline)]
pub use self::strategy::Strategy;

#![doc = include_str!("../README.md")]

mod queue;
mod socket;
mod stream;

pub use self::stream::Corked;

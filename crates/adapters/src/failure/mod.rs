//! Turns what a provider says when it refuses or fails into an [`Error`](mainstay_provider_core::Error): its kind, the
//! provider's own words, code, parameter and request id, and how long to wait.
//!
//! [`classify()`] takes an answer with an error status, [`classify_in_answer`] a `200 OK` that holds an error, and
//! [`classify_in_stream`] an error event within a stream that began with `200 OK`. Which kind an answer is, is decided by the ordered list of rules in [`rules`] and nowhere else.

mod body;
mod classify;
mod generation;
mod headers;
mod mask;
mod rules;
#[cfg(test)]
mod tests;
mod wait;

pub(crate) use self::classify::{classify, classify_in_answer, classify_in_stream};
pub use self::generation::FailedGeneration;
pub(crate) use self::headers::{rate_limits, request_id};

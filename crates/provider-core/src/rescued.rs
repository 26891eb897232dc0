//! What became of an answer whose stream broke off.

use crate::error::ErrorKind;

/// Streams that broke off and were taken over by another, as the head of the reply tells it: before the caller had
/// anything of them. What happens after that is told by the last chunk, in its member `mainstay.rescue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rescued {
    /// How many streams broke off.
    pub breaks: u32,
    /// Why the last of them did.
    pub reason: ErrorKind,
    /// Whether each of them told its usage, which is then in the usage of the answer. One that did not counts nothing.
    pub usage_known: bool,
}

impl Rescued {
    /// One stream that broke off for this reason.
    pub fn new(reason: ErrorKind) -> Self {
        Self { breaks: 1, reason, usage_known: true }
    }
}

//! Which questions may be compared with each other.

use mainstay_provider_core::{Digest, Namespace};

/// Which questions may be compared with each other: those of one namespace, and in it of one model, system prompt,
/// earlier turns, tools, parameters, form of answer and embedder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Partition {
    /// Whose data it is.
    pub namespace: Namespace,
    /// Of everything else, and of the namespace too.
    pub digest: Digest,
}

//! Which vectors may be compared.

use std::fmt;
use std::sync::Arc;

use mainstay_provider_core::Embedder;

/// Names what makes the vectors of an embedder what they are: weights, tokenizer, window, pooling, precision. Vectors of
/// two embedders may be compared if, and only if, their identities are equal; a store keeps it with its vectors.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    name: Arc<str>,
    dimensions: usize,
}

impl Identity {
    /// An identity by a name of your own, for an embedder of your own. Change the name when the vectors change.
    pub fn new(name: impl Into<Arc<str>>, dimensions: usize) -> Self {
        Self { name: name.into(), dimensions }
    }

    /// It in one word, the same in each process and on each machine.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The length of each vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// An [`Embedder`] that says which vectors it makes. They have unit length.
pub trait Identified: Embedder {
    /// Which vectors it makes.
    fn identity(&self) -> &Identity;
}

//! The settings of the store in this process.

/// The settings of a [`MemoryStore`](super::MemoryStore), as they stand in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct MemoryConfig {
    /// How many bytes all entries together may take: 268,435,456 (256 MiB), about 90,000 entries of 384 dimensions
    /// with answers of 1 KB.
    pub max_bytes: usize,
    /// How many entries there may be: 1,000,000.
    pub max_entries: usize,
    /// Partitions of at most this many entries are searched by looking at every vector: 2,048. Above that, by looking
    /// at a sketch of each of 64 bytes, and at the real vectors of the nearest 512.
    pub exact_up_to: usize,
    /// Partitions of more than this many entries are searched by a graph: 180,000, from where on it is quicker, as
    /// `cargo xtask bench --only semantic-crossover` measures it. Needs the feature `hnsw`; without it, or while the
    /// graph is being built, the sketches are searched.
    pub graph_above: usize,
    /// For choosing who has to go; by chance when not set.
    pub seed: Option<u64>,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            max_entries: 1_000_000,
            exact_up_to: 2_048,
            graph_above: 180_000,
            seed: None,
        }
    }
}

impl MemoryConfig {
    /// With this many bytes for all entries.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// With at most this many entries.
    #[must_use]
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.max_entries = entries;
        self
    }

    /// Looking at every vector of partitions of at most this many entries.
    #[must_use]
    pub fn exact_up_to(mut self, entries: usize) -> Self {
        self.exact_up_to = entries;
        self
    }

    /// With a graph for partitions of more than this many entries.
    #[must_use]
    pub fn graph_above(mut self, entries: usize) -> Self {
        self.graph_above = entries;
        self
    }

    /// With the same chance in each run.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// # Errors
    /// When no entry would fit.
    pub(super) fn checked(self) -> Result<Self, InvalidMemory> {
        if self.max_bytes < 64 << 10 {
            return Err(InvalidMemory::Bytes);
        }
        if self.max_entries == 0 || self.max_entries > u32::MAX as usize / 2 {
            return Err(InvalidMemory::Entries);
        }
        Ok(self)
    }
}

/// Settings that make no store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMemory {
    /// Less than 64 KiB.
    #[error("max_bytes must be at least 65536")]
    Bytes,
    /// None, or more than can be counted.
    #[error("max_entries must be from 1 to 2147483647")]
    Entries,
}

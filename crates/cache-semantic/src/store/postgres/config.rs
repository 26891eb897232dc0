//! The settings of the store in PostgreSQL.

use std::fmt;
use std::time::Duration;

/// The settings of a [`PostgresStore`](super::PostgresStore).
#[derive(Clone)]
pub struct PostgresConfig {
    pub(super) url: String,
    pub(super) embedder: String,
    pub(super) dims: usize,
    pub(super) table: String,
    pub(super) index: PgIndex,
    pub(super) connections: usize,
    pub(super) timeout: Duration,
    pub(super) max_entries: u64,
}

/// How a partition is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PgIndex {
    /// In full: nothing is missed. For partitions of up to some ten thousand entries.
    #[default]
    Exact,
    /// By a graph over all partitions (pgvector's `hnsw`, 16 links, 64 looked at when it is built), where the server
    /// thinks that it pays. Needs pgvector 0.8, and vectors of at most 2,000 parts.
    Hnsw,
}

impl PostgresConfig {
    /// At this address (`postgresql://user@host/database`), for vectors of this embedder (its whole identity) and
    /// length.
    pub fn new(url: impl Into<String>, embedder: impl Into<String>, dims: usize) -> Self {
        Self {
            url: url.into(),
            embedder: embedder.into(),
            dims,
            table: "mainstay_semantic".to_owned(),
            index: PgIndex::Exact,
            connections: 8,
            timeout: Duration::from_millis(50),
            max_entries: 1_000_000,
        }
    }

    /// In tables whose names begin so; `mainstay_semantic` when not set.
    #[must_use]
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }

    /// How a partition is searched; in full when not set.
    #[must_use]
    pub fn index(mut self, index: PgIndex) -> Self {
        self.index = index;
        self
    }

    /// Through at most this many connections; 8 when not set.
    #[must_use]
    pub fn connections(mut self, most: usize) -> Self {
        self.connections = most;
        self
    }

    /// How long an operation may take; 50 ms when not set.
    #[must_use]
    pub fn timeout(mut self, longest: Duration) -> Self {
        self.timeout = longest;
        self
    }

    /// How many entries there may be, about: it is looked at after every 256 inserts; 1,000,000 when not set.
    #[must_use]
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.max_entries = entries;
        self
    }
}

/// The address may hold a password.
impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("embedder", &self.embedder)
            .field("dims", &self.dims)
            .field("table", &self.table)
            .field("index", &self.index)
            .field("connections", &self.connections)
            .field("timeout", &self.timeout)
            .field("max_entries", &self.max_entries)
            .finish_non_exhaustive()
    }
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPostgres {
    /// No address, or no pool of connections can be made of it.
    #[error("that is no address of a PostgreSQL server")]
    Url(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A name of a table is of `a` to `z`, digits and `_`, begins with a letter and has at most 40 of them.
    #[error("{0:?} is no name for a table: a to z, 0 to 9 and _ only, beginning with a letter, at most 40")]
    Table(String),
    /// pgvector's vectors have 1 to 16,000 parts.
    #[error("vectors of {0} parts cannot be kept: 1 to 16000, and at most 2000 with an index")]
    Dimensions(usize),
    /// The server is not there, or does not let us make the tables.
    #[error("the tables of the semantic cache cannot be used")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The tables hold vectors that mean nothing beside ours.
    #[error("the tables hold vectors of the embedder {found}, not of {wanted}: use other tables")]
    OtherEmbedder {
        /// Whose vectors they hold.
        found: String,
        /// Whose were asked for.
        wanted: String,
    },
}

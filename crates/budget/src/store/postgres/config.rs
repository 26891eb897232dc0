//! The settings of the store in PostgreSQL.

use std::fmt;

/// Where the accounts are, and how long what is kept beside them.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PostgresConfig {
    /// `postgresql://user[:password]@host[:port]/database`.
    pub url: String,
    /// What the names of tables and functions begin with; `mainstay_budget`.
    #[serde(default = "default_tables")]
    pub tables: String,
    /// At most so many connections; 8.
    #[serde(default = "default_connections")]
    pub connections: usize,
    /// For how many days usage rows are kept; 90. Totals stay when rows go.
    #[serde(default = "default_rows_days")]
    pub rows_days: u32,
    /// For how many days the totals of a day are kept; 400.
    #[serde(default = "default_totals_days")]
    pub totals_days: u32,
}

impl PostgresConfig {
    /// The store at this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tables: default_tables(),
            connections: default_connections(),
            rows_days: default_rows_days(),
            totals_days: default_totals_days(),
        }
    }

    /// Another [`PostgresConfig::tables`].
    #[must_use]
    pub fn tables(mut self, prefix: impl Into<String>) -> Self {
        self.tables = prefix.into();
        self
    }

    /// Another [`PostgresConfig::connections`].
    #[must_use]
    pub fn connections(mut self, most: usize) -> Self {
        self.connections = most;
        self
    }

    /// Another [`PostgresConfig::rows_days`].
    #[must_use]
    pub fn rows_days(mut self, days: u32) -> Self {
        self.rows_days = days;
        self
    }

    /// Another [`PostgresConfig::totals_days`].
    #[must_use]
    pub fn totals_days(mut self, days: u32) -> Self {
        self.totals_days = days;
        self
    }

    pub(super) fn check(&self) -> Result<(), InvalidPostgres> {
        let is_name = self.tables.len() <= 40
            && self.tables.starts_with(|first: char| first.is_ascii_lowercase())
            && self.tables.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if !is_name {
            return Err(InvalidPostgres::Tables(self.tables.clone()));
        }
        if self.connections == 0 {
            return Err(InvalidPostgres::Connections);
        }
        for days in [self.rows_days, self.totals_days] {
            if !(1..=36_500).contains(&days) {
                return Err(InvalidPostgres::Days(days));
            }
        }
        Ok(())
    }
}

fn default_tables() -> String {
    "mainstay_budget".to_owned()
}

fn default_connections() -> usize {
    8
}

fn default_rows_days() -> u32 {
    90
}

fn default_totals_days() -> u32 {
    400
}

/// The address may have a password in it.
impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("tables", &self.tables)
            .field("connections", &self.connections)
            .field("rows_days", &self.rows_days)
            .field("totals_days", &self.totals_days)
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
    /// The prefix of tables is of `a` to `z`, digits and `_`, begins with a letter and has at most 40 of them.
    #[error("{0:?} is no prefix for tables: a to z, 0 to 9 and _ only, beginning with a letter, at most 40")]
    Tables(String),
    /// Without connections nothing is reached.
    #[error("at least one connection is needed")]
    Connections,
    /// Rows and totals are kept for at least a day, and for a hundred years at most.
    #[error("rows and totals are kept for 1 to 36500 days, not {0}")]
    Days(u32),
}

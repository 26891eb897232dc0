//! The three kinds of store, and how a process of a seed opens its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mainstay_budget::postgres::{PostgresConfig, PostgresStore};
use mainstay_budget::redis::{RedisConfig, RedisStore};
use mainstay_budget::{BudgetStore, JournalConfig, JournalStore};

use crate::plan::Plan;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Journal,
    Redis,
    Postgres,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
    }
}

/// Where the accounts of a seed are.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In this folder.
    Journal(PathBuf),
    /// At this address, under this tag.
    Redis(String, String),
    /// At this address, in tables with this prefix.
    Postgres(String, String),
}

impl Place {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Journal(_) => Kind::Journal,
            Self::Redis(..) => Kind::Redis,
            Self::Postgres(..) => Kind::Postgres,
        }
    }

    pub(crate) fn open_journal(&self, plan: &Plan) -> Option<JournalStore> {
        let Self::Journal(folder) = self else { return None };
        let config = JournalConfig::new(folder).durability(plan.durability).compact_at(plan.compact_at);
        // Opened again at once, it may be locked yet: what starts the processes of other seeds holds all files open for a moment.
        let mut opened = JournalStore::open(config.clone());
        for _ in 0..100 {
            if opened.is_ok() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
            opened = JournalStore::open(config.clone());
        }
        Some(opened.unwrap())
    }

    pub(crate) fn open(&self, plan: &Plan) -> Arc<dyn BudgetStore> {
        match self {
            Self::Journal(_) => Arc::new(self.open_journal(plan).unwrap()),
            Self::Redis(url, tag) => Arc::new(RedisStore::new(RedisConfig::new(url).tag(tag)).unwrap()),
            Self::Postgres(url, tables) => {
                let config = PostgresConfig::new(url).tables(tables).connections(2);
                Arc::new(PostgresStore::new(config).unwrap())
            }
        }
    }

    /// For the command line of a child.
    pub(crate) fn write(&self) -> String {
        match self {
            Self::Journal(folder) => format!("journal {}", folder.display()),
            Self::Redis(url, tag) => format!("redis {url} {tag}"),
            Self::Postgres(url, tables) => format!("postgres {url} {tables}"),
        }
    }

    pub(crate) fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(' ')?;
        if kind == "journal" {
            return Some(Self::Journal(rest.into()));
        }
        let (url, name) = rest.split_once(' ')?;
        let (url, name) = (url.to_owned(), name.to_owned());
        Some(if kind == "redis" { Self::Redis(url, name) } else { Self::Postgres(url, name) })
    }
}

//! The store in a file, for one process that survives a crash.

mod file;
mod record;
mod recovery;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mainstay_provider_core::{Event, Events, Severity};

use super::memory::{Engine, Kept};
use super::{
    AccountKey, Answer, Balance, BudgetStore, ExpiredHold, HoldId, Reservation, Reserved, Settled,
    Settlement, StoreError, Window,
};
use crate::usage::{RowsPage, RowsQuery, UsageQuery, UsageTotal};

use self::writer::{Journal, Keeper};

/// The store in a folder of its own: in memory, and each change in a journal, so that it survives a crash of its process.
///
/// Whatever the process was told to be reserved or booked is in the operating system's hands before it is told, so a process that
/// is killed loses nothing. What a machine that loses power loses is up to [`Durability`]: by default the last 100 ms.
///
/// When it is opened again, the holds of the calls that were under way are booked at their estimates, with `lost` rows, once
/// ([`recovered`](Self::recovered)). A record that was torn off at the end of the journal is left out. So is one that is damaged before
/// that, which no crash of the process leaves: the event `budget.journal_damaged` says how many bytes that is, and the journal is kept beside the
/// others, as `….journal.damaged`.
///
/// It keeps the last 100,000 rows and the totals of the last 62 days. One process at a time can have it open.
///
/// # Blocking
/// Each change is one short write to a file, in the caller's thread; what waits for the disk is a thread of its own.
#[derive(Debug)]
pub struct JournalStore {
    engine: Arc<Engine<Journal>>,
    recovered: Vec<ExpiredHold>,
    damaged: Vec<recovery::Damaged>,
    /// Ends with the store.
    _keeper: Keeper,
}

/// When changes are on the disk, and not only in the operating system's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// At the latest after this time, and nobody waits for it. The default, with 100 ms: so much a loss of power may lose.
    Batch(Duration),
    /// Before anybody is told: a call waits for the disk twice.
    Each,
}

/// Where a [`JournalStore`] is, and how it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct JournalConfig {
    folder: PathBuf,
    durability: Durability,
    compact_at: u64,
    rows: usize,
    days: u32,
}

impl JournalConfig {
    /// In this folder, which is made if it is not there. It belongs to the store alone.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let Kept { days, .. } = Kept::default();
        let rows = 100_000;
        let durability = Durability::Batch(Duration::from_millis(100));
        Self { folder: folder.into(), durability, compact_at: 16 << 20, rows, days }
    }

    /// When changes are on the disk; after 100 ms at the latest when not set.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// At how many bytes of journal it is written anew as what it comes to; 16 MiB when not set, and never before it is twice
    /// as large as that.
    pub fn compact_at(mut self, bytes: u64) -> Self {
        self.compact_at = bytes;
        self
    }

    /// How many rows are kept, and totals of how many days; 100,000 and 62 when not set.
    pub fn keep(mut self, rows: usize, days: u32) -> Self {
        (self.rows, self.days) = (rows, days);
        self
    }
}

impl JournalStore {
    /// Opens the store, and books the holds that nobody settled.
    ///
    /// # Errors
    /// The folder cannot be read or written, another process has it open, or its snapshot is damaged. Of a journal what is torn off
    /// or damaged is left out.
    pub fn open(config: JournalConfig) -> Result<Self, StoreError> {
        let recovery::Opened { engine, recovered, damaged } = recovery::open(&config)?;
        let engine = Arc::new(engine);
        let keeper = Keeper::start(engine.clone(), &config)?;
        Ok(Self { engine, recovered, damaged, _keeper: keeper })
    }

    /// The holds that were booked at their estimates when the store was opened.
    pub fn recovered(&self) -> &[ExpiredHold] {
        &self.recovered
    }

    /// What a change answers: at once, or when it is on the disk.
    fn changed<'a, T: Send + 'a>(
        &'a self,
        change: impl FnOnce(&Engine<Journal>) -> T + Send + 'a,
    ) -> Answer<'a, Result<T, StoreError>> {
        let journal = &self.engine.log;
        if !journal.is_waited_for() {
            return Answer::ready(journal.check().map(|()| change(&self.engine)).and_then(|done| {
                journal.check()?;
                Ok(done)
            }));
        }
        Answer::later(async move {
            journal.check()?;
            let done = change(&self.engine);
            journal.on_disk().await?;
            Ok(done)
        })
    }
}

impl BudgetStore for JournalStore {
    fn reserve<'a>(&'a self, ask: Reservation<'a>) -> Answer<'a, Result<Reserved, StoreError>> {
        self.changed(move |engine| engine.reserve(&ask))
    }

    fn settle<'a>(&'a self, settlement: Settlement<'a>) -> Answer<'a, Result<Settled, StoreError>> {
        self.changed(move |engine| engine.settle(&settlement))
    }

    fn renew<'a>(
        &'a self,
        holds: &'a [HoldId],
        lease: Duration,
        now_ms: u64,
    ) -> Answer<'a, Result<(), StoreError>> {
        self.engine.renew(holds, lease, now_ms);
        Answer::ready(Ok(()))
    }

    fn expire(&self, now_ms: u64) -> Answer<'_, Result<Vec<ExpiredHold>, StoreError>> {
        self.changed(move |engine| engine.expire(now_ms))
    }

    fn balances<'a>(
        &'a self,
        accounts: &'a [(AccountKey, Window)],
        _now_ms: u64,
    ) -> Answer<'a, Result<Vec<Balance>, StoreError>> {
        Answer::ready(Ok(self.engine.balances(accounts)))
    }

    fn usage<'a>(&'a self, query: &'a UsageQuery) -> Answer<'a, Result<Vec<UsageTotal>, StoreError>> {
        Answer::ready(Ok(self.engine.usage(query)))
    }

    fn rows<'a>(&'a self, query: &'a RowsQuery) -> Answer<'a, Result<RowsPage, StoreError>> {
        Answer::ready(Ok(self.engine.rows(query)))
    }

    fn ping(&self) -> Answer<'_, Result<(), StoreError>> {
        Answer::ready(self.engine.log.check())
    }

    fn flush(&self) -> Answer<'_, Result<(), StoreError>> {
        Answer::later(self.engine.log.on_disk())
    }

    fn is_local(&self) -> bool {
        true
    }

    fn tell_found(&self, events: &Events) {
        for recovery::Damaged { file, left_out } in &self.damaged {
            events.send(|| {
                Event::new("budget.journal_damaged", Severity::Alert)
                    .with("file", file.display().to_string())
                    .with("bytes_left_out", left_out.to_string())
            });
        }
    }
}

fn failed(error: impl Into<mainstay_provider_core::BoxError>) -> StoreError {
    StoreError::Failed(error.into())
}

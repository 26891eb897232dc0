//! Opens what a process has left, however it ended.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::record::{Hex, Record, add_to, read_row};
use super::writer::{Journal, rewrite};
use super::{JournalConfig, failed, file};
use crate::store::memory::{Engine, Kept, Snapshot};
use crate::store::{Charge, ExpiredHold, Reservation, Settlement, StoreError};

pub(super) struct Opened {
    pub(super) engine: Engine<Journal>,
    pub(super) recovered: Vec<ExpiredHold>,
    pub(super) damaged: Vec<Damaged>,
}

/// A journal in which something was damaged that sound records came after.
#[derive(Debug)]
pub(super) struct Damaged {
    /// Where it is kept.
    pub(super) file: PathBuf,
    /// So many bytes of it were left out.
    pub(super) left_out: usize,
}

pub(super) fn open(config: &JournalConfig) -> Result<Opened, StoreError> {
    let folder = &config.folder;
    fs::create_dir_all(folder).map_err(failed)?;
    let lock = lock(folder)?;
    let engine = Engine::new(Journal::new(config, lock), Kept { rows: config.rows, days: config.days });
    let (journals, snapshots) = file::generations(folder).map_err(failed)?;
    let newest = restore(&engine, folder, &snapshots)?;
    let journals: Vec<_> = journals.into_iter().filter(|number| *number >= newest).collect();
    let mut damaged = Vec::new();
    for number in &journals {
        damaged.extend(replay(&engine, &file::journal(folder, *number))?);
    }
    let recovered = engine.lose_all();
    // What was found is written anew, in a generation that was never used.
    let last = journals.last().copied().unwrap_or(newest).max(newest);
    engine.log.begin_after(last);
    rewrite(&engine).map_err(failed)?;
    Ok(Opened { engine, recovered, damaged })
}

/// Two processes on one folder would both be wrong.
fn lock(folder: &Path) -> Result<File, StoreError> {
    let lock = File::create(folder.join("lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            Err(failed(format!("another process has the budgets in {} open", folder.display())))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Fills the engine from the newest snapshot; says which it is.
fn restore(engine: &Engine<Journal>, folder: &Path, snapshots: &[u64]) -> Result<u64, StoreError> {
    let Some(newest) = snapshots.last() else { return Ok(0) };
    let path = file::snapshot(folder, *newest);
    let damaged = || StoreError::Damaged(path.display().to_string());
    let contents = file::read(&path).map_err(failed)?;
    let mut snapshot = Snapshot::default();
    let mut records = contents.records;
    // A snapshot gets its name when all of it is on the disk.
    if contents.is_torn || contents.left_out > 0 || !matches!(records.pop(), Some(Record::End)) {
        return Err(damaged());
    }
    for record in records {
        add_to(&mut snapshot, record).ok_or_else(damaged)?;
    }
    engine.restore(snapshot);
    Ok(*newest)
}

/// Does again what stands in a journal, as far as it is sound. The newest may end in the middle of a record; one before it is
/// followed by another when it ended well, or when it could not be written, and then what follows stands for itself.
///
/// What is damaged before its end is left out alone: each record says what became of one hold, and a hold whose end is not known is booked
/// at its estimate. The file is copied first, since it goes when all is written anew.
fn replay(engine: &Engine<Journal>, path: &Path) -> Result<Option<Damaged>, StoreError> {
    let contents = file::read(path).map_err(failed)?;
    let damaged = || StoreError::Damaged(path.display().to_string());
    for record in contents.records {
        redo(engine, record).ok_or_else(damaged)?;
    }
    if contents.left_out == 0 {
        return Ok(None);
    }
    let file = file::aside(path);
    fs::copy(path, &file).map_err(failed)?;
    Ok(Some(Damaged { file, left_out: contents.left_out }))
}

fn redo(engine: &Engine<Journal>, record: Record) -> Option<()> {
    match record {
        Record::Reserved { hold: Hex(hold), charges, row } => {
            let charges: Vec<Charge> =
                charges.into_iter().map(|charge| charge.charge()).collect::<Option<_>>()?;
            let (if_lost, lease) = (read_row(&row)?, std::time::Duration::MAX);
            engine.reserve(&Reservation {
                hold,
                lease,
                charges: &charges,
                if_lost: &if_lost,
                now_ms: hold.made_ms(),
            });
        }
        Record::Settled { hold: Hex(hold), charges, actual, rows } => {
            let charges: Vec<Charge> =
                charges.into_iter().map(|charge| charge.charge()).collect::<Option<_>>()?;
            let rows: Vec<_> = rows.iter().map(|row| read_row(row)).collect::<Option<_>>()?;
            let settlement =
                Settlement { hold, charges: &charges, actual: &actual, rows: &rows, now_ms: hold.made_ms() };
            engine.settle(&settlement);
        }
        Record::Lost { hold: Hex(hold) } => engine.lose_one(hold),
        _ => return None,
    }
    Some(())
}

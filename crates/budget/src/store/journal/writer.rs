//! Writes the journal, has it on the disk in time, and writes it anew when it is long.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;

use super::record::{ChargeRecord, Hex, Record, records_of};
use super::{Durability, JournalConfig, failed, file};
use crate::store::memory::{Engine, Log, Snapshot};
use crate::store::{HoldId, Reservation, Settlement, StoreError};

/// The journal of an engine.
#[derive(Debug)]
pub(super) struct Journal {
    state: Mutex<State>,
    /// There is something to do for the thread that waits for the disk.
    work: Condvar,
    /// How many records are on the disk.
    synced: watch::Sender<u64>,
    durability: Durability,
    folder: PathBuf,
    /// Another process that opens the folder is refused by this.
    _lock: File,
}

#[derive(Debug)]
struct State {
    /// None while the engine is being filled from what was written before.
    file: Option<Arc<File>>,
    generation: u64,
    /// How many records were written since the store was opened.
    written: u64,
    bytes: u64,
    /// What went wrong: nothing is changed any more until all was written anew.
    broken: Option<io::ErrorKind>,
    /// Whether something was changed since this journal began that does not stand in it.
    is_missing: bool,
    is_over: bool,
}

impl Journal {
    pub(super) fn new(config: &JournalConfig, lock: File) -> Self {
        let state = State {
            file: None,
            generation: 0,
            written: 0,
            bytes: 0,
            broken: None,
            is_missing: false,
            is_over: false,
        };
        Self {
            state: Mutex::new(state),
            work: Condvar::new(),
            synced: watch::Sender::new(0),
            durability: config.durability,
            folder: config.folder.clone(),
            _lock: lock,
        }
    }

    /// The next journal comes after this generation.
    pub(super) fn begin_after(&self, generation: u64) {
        self.lock().generation = generation;
    }

    /// Whether changes can be written.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self.lock().broken {
            Some(kind) => Err(failed(io::Error::from(kind))),
            None => Ok(()),
        }
    }

    /// Whether who changes something waits for the disk.
    pub(super) fn is_waited_for(&self) -> bool {
        self.durability == Durability::Each
    }

    /// Waits until all that was written up to now is on the disk.
    pub(super) async fn on_disk(&self) -> Result<(), StoreError> {
        let written = self.lock().written;
        let mut synced = self.synced.subscribe();
        self.work.notify_all();
        loop {
            self.check()?;
            if *synced.borrow_and_update() >= written {
                return Ok(());
            }
            synced.changed().await.map_err(failed)?;
        }
    }

    fn write(&self, record: &Record) {
        let framed = file::framed(record);
        let mut state = self.lock();
        let Some(file) = state.file.clone() else { return };
        if state.broken.is_some() {
            state.is_missing = true;
            return;
        }
        let written = framed.and_then(|bytes| (&*file).write_all(&bytes).map(|()| bytes.len()));
        match written {
            Ok(bytes) => {
                state.written += 1;
                state.bytes += bytes as u64;
            }
            // Part of it may stand there: nothing may come after it.
            Err(error) => (state.broken, state.is_missing) = (Some(error.kind()), true),
        }
        drop(state);
        self.work.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Journal {
    fn reserved(&self, ask: &Reservation<'_>) {
        if self.lock().file.is_some() {
            let charges = ask.charges.iter().map(ChargeRecord::from).collect();
            self.write(&Record::Reserved { hold: Hex(ask.hold), charges, row: ask.if_lost.to_json() });
        }
    }

    fn settled(&self, settlement: &Settlement<'_>) {
        if self.lock().file.is_some() {
            let charges = settlement.charges.iter().map(ChargeRecord::from).collect();
            let rows = settlement.rows.iter().map(|row| row.to_json()).collect();
            let actual = settlement.actual.to_vec();
            self.write(&Record::Settled { hold: Hex(settlement.hold), charges, actual, rows });
        }
    }

    fn lost(&self, hold: HoldId) {
        if self.lock().file.is_some() {
            self.write(&Record::Lost { hold: Hex(hold) });
        }
    }
}

/// The thread that waits for the disk. When this is dropped, all is on the disk, and it ends.
#[derive(Debug)]
pub(super) struct Keeper {
    engine: Arc<Engine<Journal>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn start(engine: Arc<Engine<Journal>>, config: &JournalConfig) -> Result<Self, StoreError> {
        let compact_at = config.compact_at;
        let own = engine.clone();
        let thread = thread::Builder::new()
            .name("budget-journal".into())
            .spawn(move || keep(&own, compact_at))
            .map_err(failed)?;
        Ok(Self { engine, thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.engine.log.lock().is_over = true;
        self.engine.log.work.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell.
            let _ended = thread.join();
        }
    }
}

/// After a fault, all is written anew as often as this.
const HEALS: Duration = Duration::from_secs(1);

fn keep(engine: &Engine<Journal>, compact_at: u64) {
    let journal = &engine.log;
    let mut snapshot_bytes = 0;
    loop {
        let (file, written, is_over) = {
            let state = journal.lock();
            let idle = |state: &mut State| {
                !state.is_over && state.broken.is_none() && state.written == *journal.synced.borrow()
            };
            let state = journal.work.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
            let state = match journal.durability {
                // What comes in this time goes to the disk together.
                Durability::Batch(time) if !state.is_over => pause(journal, state, time),
                _ => state,
            };
            (state.file.clone(), state.written, state.is_over)
        };
        if let Some(file) = file {
            match file.sync_data() {
                Ok(()) => drop(journal.synced.send_replace(written)),
                Err(error) => journal.lock().broken = Some(error.kind()),
            }
        }
        if is_over {
            return;
        }
        let (bytes, is_broken) = {
            let state = journal.lock();
            (state.bytes, state.broken.is_some())
        };
        if is_broken {
            journal.synced.send_modify(|_| ());
        }
        if is_broken || bytes > compact_at.max(snapshot_bytes * 2) {
            match rewrite(engine) {
                Ok(length) => snapshot_bytes = length,
                Err(error) => {
                    let mut state = journal.lock();
                    state.broken = Some(error.kind());
                    drop(pause(journal, state, HEALS));
                }
            }
        }
    }
}

fn pause<'a>(journal: &'a Journal, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
    let going = |state: &mut State| !state.is_over;
    let (state, _over) =
        journal.work.wait_timeout_while(state, time, going).unwrap_or_else(PoisonError::into_inner);
    state
}

/// Begins a new journal and writes what all before it comes to. Says how long that is.
pub(super) fn rewrite(engine: &Engine<Journal>) -> io::Result<u64> {
    let begun = begin(engine)?;
    finish(&engine.log, begun)
}

/// A new journal, and what stands before it.
struct Begun {
    snapshot: Snapshot,
    generation: u64,
    written: u64,
}

fn begin(engine: &Engine<Journal>) -> io::Result<Begun> {
    let journal = &engine.log;
    // Nothing is changed while the new journal begins, so the snapshot is exactly what stands before it.
    engine.frozen(|snapshot| {
        let mut state = journal.lock();
        let generation = state.generation + 1;
        let path = file::journal(&journal.folder, generation);
        if path.exists() {
            fs::remove_file(&path)?;
        }
        let file = file::create(&path)?;
        (state.file, state.generation, state.bytes) = (Some(Arc::new(file)), generation, 0);
        state.is_missing = false;
        Ok(Begun { snapshot, generation, written: state.written })
    })
}

fn finish(journal: &Journal, begun: Begun) -> io::Result<u64> {
    let Begun { snapshot, generation, written } = begun;
    let length = file::write_whole(&file::snapshot(&journal.folder, generation), records_of(snapshot))?;
    let mut state = journal.lock();
    // What went wrong in the new journal meanwhile is not made good by what stands before it.
    if !state.is_missing {
        state.broken = None;
    }
    drop(state);
    journal.synced.send_modify(|synced| *synced = written.max(*synced));
    let (journals, snapshots) = file::generations(&journal.folder)?;
    let older = |all: Vec<u64>| all.into_iter().filter(move |number| *number < generation);
    for path in older(journals)
        .map(|number| file::journal(&journal.folder, number))
        .chain(older(snapshots).map(|number| file::snapshot(&journal.folder, number)))
    {
        // What cannot be removed now is removed the next time.
        let _gone = fs::remove_file(path);
    }
    Ok(length)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that panics has failed")]
mod tests {
    use super::super::recovery;
    use super::*;
    use crate::row::UsageRow;
    use crate::store::{AccountKey, Charge, Window};

    /// Reserves one of an account.
    fn reserve(engine: &Engine<Journal>) {
        let hold = HoldId::by_chance(0);
        let window = Window { start_ms: 0, end_ms: None, slice_ms: None };
        let charges = [Charge::new(AccountKey::new("a"), window, 100, 1)];
        let if_lost = Arc::new(UsageRow::new(hold, 0));
        let lease = Duration::from_secs(60);
        engine.reserve(&Reservation { hold, lease, charges: &charges, if_lost: &if_lost, now_ms: 0 });
    }

    // M4: what would come after a record that was torn off would never be read again.
    #[test]
    fn a_record_that_could_not_be_written_while_the_rest_is_written_anew_is_not_forgotten() {
        let folder = tempfile::TempDir::new().unwrap();
        let config = JournalConfig::new(folder.path());
        let engine = recovery::open(&config).unwrap().engine;
        let begun = begin(&engine).unwrap();
        let new = engine.log.lock().file.clone();
        // The disk is full for a moment.
        let full = File::open(file::journal(folder.path(), begun.generation)).unwrap();
        engine.log.lock().file = Some(Arc::new(full));
        reserve(&engine);
        engine.log.lock().file = new;
        finish(&engine.log, begun).unwrap();
        assert!(engine.log.check().is_err(), "nothing is written after it");
        rewrite(&engine).unwrap();
        assert!(engine.log.check().is_ok());
        reserve(&engine);
        drop(engine);
        assert_eq!(recovery::open(&config).unwrap().recovered.len(), 2);
    }
}

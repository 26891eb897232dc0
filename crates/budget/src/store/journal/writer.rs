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
use crate::store::memory::{Engine, Log};
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
    is_over: bool,
}

impl Journal {
    pub(super) fn new(config: &JournalConfig, lock: File) -> Self {
        let state = State { file: None, generation: 0, written: 0, bytes: 0, broken: None, is_over: false };
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
            return;
        }
        let written = framed.and_then(|bytes| (&*file).write_all(&bytes).map(|()| bytes.len()));
        match written {
            Ok(bytes) => {
                state.written += 1;
                state.bytes += bytes as u64;
            }
            // Part of it may stand there: nothing may come after it.
            Err(error) => state.broken = Some(error.kind()),
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
    let journal = &engine.log;
    // Nothing is changed while the new journal begins, so the snapshot is exactly what stands before it.
    let (snapshot, generation, written) = engine.frozen(|snapshot| {
        let mut state = journal.lock();
        let generation = state.generation + 1;
        let path = file::journal(&journal.folder, generation);
        if path.exists() {
            fs::remove_file(&path)?;
        }
        let file = file::create(&path)?;
        (state.file, state.generation, state.bytes) = (Some(Arc::new(file)), generation, 0);
        io::Result::Ok((snapshot, generation, state.written))
    })?;
    let length = file::write_whole(&file::snapshot(&journal.folder, generation), records_of(snapshot))?;
    journal.lock().broken = None;
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

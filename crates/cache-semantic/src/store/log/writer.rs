//! The thread that writes.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::StoreError;
use super::super::clock::Clock;
use super::super::memory::MemoryStore;
use super::super::record::Record;
use super::file::LogFile;
use super::{LogConfig, LogStats, OpenError, frame, io};

pub(super) struct Writer {
    orders: Mutex<Option<Sender<Order>>>,
    shared: Arc<Shared>,
    max_waiting: usize,
}

#[derive(Default)]
struct Shared {
    /// Bytes handed over and not yet written.
    waiting: AtomicUsize,
    bytes: AtomicU64,
    restored: u64,
    damaged: u64,
    lost: AtomicU64,
    compactions: AtomicU64,
}

type Done = oneshot::Sender<std::io::Result<()>>;

enum Order {
    Append(Vec<u8>),
    Sync(Done),
    Compact(Done),
    Close(Done),
}

impl Writer {
    pub(super) fn start(
        file: LogFile,
        config: LogConfig,
        memory: MemoryStore,
        stats: LogStats,
    ) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared {
            bytes: AtomicU64::new(stats.bytes),
            restored: stats.restored,
            damaged: stats.damaged,
            ..Shared::default()
        });
        let (orders, received) = mpsc::channel();
        let LogConfig { path, sync_every, compact_from, max_waiting, clock, .. } = config;
        let thread = Thread {
            compact_at: compact_from.max(2 * file.len()),
            file,
            memory,
            clock,
            compact_from,
            sync_every,
            unsynced: None,
            failed: None,
            shared: shared.clone(),
        };
        thread::Builder::new()
            .name("semantic-cache-log".to_owned())
            .spawn(move || thread.run(&received))
            .map_err(|source| io(&path, source))?;
        Ok(Self { orders: Mutex::new(Some(orders)), shared, max_waiting })
    }

    /// Hands a record over.
    pub(super) fn write(&self, record: &Record) {
        let is_forgetting = matches!(record, Record::Remove(..) | Record::Purge(_) | Record::Tighten(..));
        let Some(bytes) = frame::framed(&record.to_bytes()) else { return self.shared.lose() };
        let length = bytes.len();
        // What must be forgotten waits however much there is: it is small, and matters more than what is kept.
        let waiting = self.shared.waiting.fetch_add(length, Ordering::Relaxed);
        let has_room = is_forgetting || waiting + length <= self.max_waiting;
        if !(has_room && self.order(Order::Append(bytes))) {
            self.shared.waiting.fetch_sub(length, Ordering::Relaxed);
            self.shared.lose();
        }
    }

    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        self.ordered(Order::Sync).await
    }

    pub(super) async fn compact(&self) -> Result<(), StoreError> {
        self.ordered(Order::Compact).await
    }

    pub(super) async fn close(&self) -> Result<(), StoreError> {
        let closed = self.ordered(Order::Close).await;
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).take();
        closed
    }

    pub(super) fn stats(&self) -> LogStats {
        let shared = &*self.shared;
        LogStats {
            bytes: shared.bytes.load(Ordering::Relaxed),
            restored: shared.restored,
            damaged: shared.damaged,
            lost: shared.lost.load(Ordering::Relaxed),
            compactions: shared.compactions.load(Ordering::Relaxed),
        }
    }

    async fn ordered(&self, order: impl FnOnce(Done) -> Order) -> Result<(), StoreError> {
        let (done, result) = oneshot::channel();
        self.order(order(done));
        match result.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(StoreError::Unreachable(Box::new(error))),
            Err(closed) => Err(StoreError::Unreachable(Box::new(closed))),
        }
    }

    fn order(&self, order: Order) -> bool {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.as_ref().is_some_and(|orders| orders.send(order).is_ok())
    }
}

impl Shared {
    fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }
}

struct Thread {
    file: LogFile,
    memory: MemoryStore,
    clock: Clock,
    compact_from: u64,
    /// At this length the file is written anew.
    compact_at: u64,
    sync_every: Duration,
    /// Since when there is something that is not forced to the disk.
    unsynced: Option<Instant>,
    /// What went wrong since somebody asked.
    failed: Option<std::io::Error>,
    shared: Arc<Shared>,
}

impl Thread {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let order = match self.unsynced {
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(since) => orders.recv_timeout(self.sync_every.saturating_sub(since.elapsed())),
            };
            match order {
                Ok(Order::Append(bytes)) => self.append(&bytes),
                Ok(Order::Sync(done)) => {
                    self.sync();
                    self.tell(done);
                }
                Ok(Order::Compact(done)) => {
                    self.compact();
                    self.sync();
                    self.tell(done);
                }
                Ok(Order::Close(done)) => {
                    self.sync();
                    let result = self.failed.take().map_or(Ok(()), Err);
                    // Whoever hears of it may open the file at once.
                    drop(self.file);
                    let _ = done.send(result);
                    return;
                }
                Err(RecvTimeoutError::Timeout) => self.sync(),
                Err(RecvTimeoutError::Disconnected) => return self.sync(),
            }
            if self.unsynced.is_some_and(|since| since.elapsed() >= self.sync_every) {
                self.sync();
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        match self.file.append(bytes) {
            Ok(()) => {
                self.unsynced.get_or_insert_with(Instant::now);
            }
            Err(error) => {
                self.shared.lose();
                self.failed = Some(error);
            }
        }
        self.shared.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        if self.file.len() >= self.compact_at {
            self.compact();
        }
        self.shared.bytes.store(self.file.len(), Ordering::Relaxed);
    }

    fn sync(&mut self) {
        if self.unsynced.take().is_none() {
            return;
        }
        if let Err(error) = self.file.sync() {
            self.failed = Some(error);
        }
    }

    fn tell(&mut self, done: Done) {
        // Nobody waits any more: nobody is told.
        let _ = done.send(self.failed.take().map_or(Ok(()), Err));
    }

    /// Writes the entries that are kept into a new file. Changes that happen meanwhile wait, and are added after it.
    fn compact(&mut self) {
        match self.rewrite() {
            Ok(()) => {
                self.shared.compactions.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => self.failed = Some(error),
        }
        // Again when it has doubled: over time each entry is written twice more, however many there are.
        self.compact_at = self.compact_from.max(2 * self.file.len());
        self.shared.bytes.store(self.file.len(), Ordering::Relaxed);
    }

    fn rewrite(&mut self) -> std::io::Result<()> {
        let mut successor = self.file.successor()?;
        let (now, wall) = (Instant::now(), self.clock.millis());
        let mut vector = Vec::new();
        let mut batch = Vec::new();
        let mut items = self.memory.items();
        // The oldest first: when all do not fit next time, the last ones stay.
        items.sort_by_key(|item| std::cmp::Reverse(item.age(now)));
        for item in items.iter().filter(|item| !item.is_expired(now)) {
            let record = Record::of(item, &self.memory, item.age(now), wall, &mut vector);
            let framed = record.and_then(|record| frame::framed(&record.to_bytes()));
            batch.extend(framed.into_iter().flatten());
            if batch.len() >= 1 << 20 {
                successor.append(&batch)?;
                batch.clear();
            }
        }
        successor.append(&batch)?;
        successor.take_place_of(&mut self.file)
    }
}

//! What the others tell.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};
use tokio::sync::watch;

use super::super::clock::Clock;
use super::super::memory::MemoryStore;
use super::super::record::Record;
use super::books::{Books, Origin};
use super::outbox::{FIRST_WAIT, LAST_WAIT, connect};
use super::{State, books};

pub(super) struct Follower {
    pub(super) client: redis::Client,
    pub(super) stream: String,
    pub(super) memory: MemoryStore,
    pub(super) clock: Clock,
    pub(super) state: Arc<State>,
    pub(super) books: Arc<Mutex<Books>>,
    /// Whether the stream is being read from its beginning, or was never read.
    pub(super) behind: watch::Sender<bool>,
    /// The stream holds at least so many.
    pub(super) max_entries: u64,
    /// The last that was read.
    pub(super) last: Id,
}

/// The place of a change in the stream: a time and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Id(u64, u64);

/// What was read, and where it stood; `None` when it was not ours.
type Entry = (Id, Option<(Origin, Vec<u8>)>);

/// How many changes are read in one go.
const BATCH: usize = 256;

/// How long Redis is asked to wait for news.
const BLOCK: Duration = Duration::from_secs(1);

/// Beyond that; then a connection is thought dead.
const PATIENCE: Duration = Duration::from_secs(2);

impl Follower {
    pub(super) async fn run(mut self) {
        let mut wait = FIRST_WAIT;
        loop {
            let before = self.state.applied.load(Ordering::Relaxed);
            // It ends with an error only.
            let _ = self.follow().await;
            self.state.connected.store(false, Ordering::Relaxed);
            self.forget_a_part();
            let came_on = self.state.applied.load(Ordering::Relaxed) > before;
            wait = if came_on { FIRST_WAIT } else { (wait * 2).min(LAST_WAIT) };
            tokio::time::sleep(wait).await;
        }
    }

    async fn follow(&mut self) -> RedisResult<()> {
        let mut connection = in_time(connect(&self.client)).await?;
        self.look_for_gaps(&mut connection, self.last).await?;
        self.state.connected.store(true, Ordering::Relaxed);
        // A stream that has lost something holds at least as many changes after it.
        let suspicious = usize::try_from(self.max_entries).unwrap_or(BATCH).clamp(1, BATCH);
        loop {
            let (behind, before) = (*self.behind.borrow(), self.last);
            let entries = self.read(&mut connection, (!behind).then_some(BLOCK)).await?;
            let count = entries.len();
            let now = self.clock.millis();
            if behind && self.others_said(&entries) {
                self.state.is_part.store(true, Ordering::Release);
            }
            for (id, record) in entries {
                self.last = id;
                self.apply(record, now);
            }
            if count >= suspicious {
                // So much at once: perhaps more than the stream holds.
                self.look_for_gaps(&mut connection, before).await?;
                tokio::task::yield_now().await;
            }
            if count < BATCH && self.last >= before {
                self.state.is_part.store(false, Ordering::Release);
                self.behind.send_if_modified(std::mem::take);
            }
        }
    }

    fn others_said(&self, entries: &[Entry]) -> bool {
        let books = books(&self.books);
        entries.iter().filter_map(|(_, told)| told.as_ref()).any(|(origin, _)| !books.is_ours(*origin))
    }

    /// Redis was lost while the stream was read from its beginning: an order to forget what was read may be in the rest. So
    /// it is as if nothing had been read.
    fn forget_a_part(&mut self) {
        if self.state.is_part.load(Ordering::Relaxed) {
            self.forget_all();
            self.last = Id::default();
            self.state.is_part.store(false, Ordering::Release);
        }
    }

    fn forget_all(&self) {
        let mut books = books(&self.books);
        self.memory.clear();
        books.begin_anew();
    }

    fn apply(&self, told: Option<(Origin, Vec<u8>)>, now: u64) {
        let record = told.and_then(|(origin, record)| Some((origin, Record::from_bytes(record.into())?)));
        let Some((origin, record)) = record else {
            self.state.damaged.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if books(&self.books).hear(origin, record, &self.memory, now) {
            self.state.applied.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Begins anew when the stream no longer holds the change up to which all was read: those after it may be gone too, and
    /// with them an order to forget.
    async fn look_for_gaps(&mut self, connection: &mut MultiplexedConnection, read: Id) -> RedisResult<()> {
        if read == Id::default() {
            return Ok(());
        }
        let mut first = redis::cmd("XRANGE");
        first.arg(&self.stream).arg("-").arg("+").arg("COUNT").arg(1);
        let first = entries(&in_time(first.query_async::<Value>(connection)).await?);
        match first.first() {
            Some((first, _)) if *first <= read => return Ok(()),
            Some(_) if !self.is_whole(connection).await? => {
                self.forget_all();
                self.state.resets.fetch_add(1, Ordering::Relaxed);
            }
            // Another Redis, or one that was emptied: nothing that it lost says that anything is to be forgotten.
            _ => {}
        }
        self.last = Id::default();
        self.behind.send_replace(true);
        Ok(())
    }

    /// Whether the stream still has all that was ever in it. A Redis before 7 does not know.
    async fn is_whole(&self, connection: &mut MultiplexedConnection) -> RedisResult<bool> {
        let mut info = redis::cmd("XINFO");
        let info = in_time(info.arg("STREAM").arg(&self.stream).query_async::<Value>(connection)).await?;
        let Value::Array(members) = info else { return Ok(false) };
        let member = |name: &str| {
            let mut pairs = members.chunks_exact(2);
            pairs.find(|pair| text(&pair[0]) == Some(name)).and_then(|pair| match pair[1] {
                Value::Int(number) => Some(number),
                _ => None,
            })
        };
        Ok(member("length").is_some() && member("length") == member("entries-added"))
    }

    async fn read(
        &self,
        connection: &mut MultiplexedConnection,
        block: Option<Duration>,
    ) -> RedisResult<Vec<Entry>> {
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(BATCH);
        if let Some(block) = block {
            read.arg("BLOCK").arg(block.as_millis() as u64);
        }
        read.arg("STREAMS").arg(&self.stream).arg(format!("{}-{}", self.last.0, self.last.1));
        let reply = in_time(read.query_async::<Value>(connection)).await?;
        // One stream was asked for: [[its name, its entries]], or nothing.
        Ok(match &reply {
            Value::Array(streams) => match streams.first() {
                Some(Value::Array(stream)) => stream.get(1).map(entries).unwrap_or_default(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        })
    }
}

async fn in_time<T>(asked: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    match tokio::time::timeout(BLOCK + PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

/// `[[id, [field, value, ...]], ...]`
fn entries(value: &Value) -> Vec<Entry> {
    let Value::Array(entries) = value else { return Vec::new() };
    entries.iter().filter_map(entry).collect()
}

fn entry(value: &Value) -> Option<Entry> {
    let Value::Array(entry) = value else { return None };
    let (time, number) = text(entry.first()?)?.split_once('-')?;
    let id = Id(time.parse().ok()?, number.parse().ok()?);
    let told = match entry.get(1) {
        Some(Value::Array(fields)) => told(fields),
        _ => None,
    };
    Some((id, told))
}

fn told(fields: &[Value]) -> Option<(Origin, Vec<u8>)> {
    let [o, origin, r, Value::BulkString(record)] = fields else { return None };
    let (who, number) = text(origin)?.split_once('-')?;
    let origin = Origin { who: who.parse().ok()?, number: number.parse().ok()? };
    (text(o) == Some("o") && text(r) == Some("r")).then(|| (origin, record.clone()))
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

//! What the others are to be told.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::sync::{mpsc, oneshot};

use super::super::record::Record;
use super::books::{Books, Origin};
use super::{RedisConfig, State, books};

pub(super) struct Outbox {
    letters: mpsc::UnboundedSender<Letter>,
    waiting: Arc<AtomicUsize>,
    max_waiting: usize,
    state: Arc<State>,
}

struct Letter {
    origin: Origin,
    record: Vec<u8>,
    told: Option<oneshot::Sender<()>>,
}

/// How many changes are told in one go.
const BATCH: usize = 64;

/// After this a connection is thought dead, and another one made.
const PATIENCE: Duration = Duration::from_secs(2);

/// The outbox, and the work that empties it.
pub(super) fn new(
    client: redis::Client,
    stream: String,
    config: &RedisConfig,
    state: Arc<State>,
    books: Arc<Mutex<Books>>,
) -> (Outbox, impl Future<Output = ()> + use<>) {
    let (letters, received) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let carrier =
        Carrier { client, stream, max_entries: config.max_entries, waiting: waiting.clone(), books };
    (Outbox { letters, waiting, max_waiting: config.max_waiting, state }, carrier.run(received))
}

impl Outbox {
    /// Whether others may be told of another entry. If not, they do without.
    pub(super) fn has_room(&self) -> bool {
        let has_room = self.waiting.load(Ordering::Relaxed) <= self.max_waiting;
        if !has_room {
            self.state.unshared.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    /// What others will hear of, however late. `told` hears when Redis has it.
    pub(super) fn post(
        &self,
        books: &mut Books,
        record: &Record,
        bytes: Vec<u8>,
        told: Option<oneshot::Sender<()>>,
    ) {
        self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        // Nobody carries any more when the runtime ends.
        let _ = self.letters.send(Letter { origin: books.say(record), record: bytes, told });
    }
}

struct Carrier {
    client: redis::Client,
    stream: String,
    max_entries: u64,
    waiting: Arc<AtomicUsize>,
    books: Arc<Mutex<Books>>,
}

impl Carrier {
    async fn run(self, mut letters: mpsc::UnboundedReceiver<Letter>) {
        let (mut connection, mut wait) = (None, FIRST_WAIT);
        let mut batch = Vec::new();
        while letters.recv_many(&mut batch, BATCH).await > 0 {
            // Perhaps twice: it is added once.
            while !self.carry(&batch, &mut connection).await {
                connection = None;
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LAST_WAIT);
            }
            wait = FIRST_WAIT;
            if let Some(last) = batch.last() {
                books(&self.books).delivered(last.origin.number);
            }
            for letter in batch.drain(..) {
                self.waiting.fetch_sub(letter.record.len(), Ordering::Relaxed);
                if let Some(told) = letter.told {
                    let _ = told.send(());
                }
            }
        }
    }

    async fn carry(&self, letters: &[Letter], connection: &mut Option<MultiplexedConnection>) -> bool {
        let carried = async {
            let connection = match connection {
                Some(connection) => connection,
                None => connection.insert(connect(&self.client).await?),
            };
            self.telling(letters).query_async::<()>(connection).await
        };
        matches!(tokio::time::timeout(PATIENCE, carried).await, Ok(Ok(())))
    }

    /// All words of a batch are of one who said them, in the order in which they were said.
    fn telling(&self, letters: &[Letter]) -> redis::Cmd {
        let who = letters.first().map_or(0, |letter| letter.origin.who);
        let mut tell = redis::cmd("EVAL");
        tell.arg(TELL).arg(2).arg(&self.stream).arg(format!("{{{}}}:{who}", self.stream));
        tell.arg(self.max_entries).arg(who).arg(REMEMBERED.as_millis() as u64);
        for letter in letters {
            tell.arg(letter.origin.number).arg(&letter.record);
        }
        tell
    }
}

/// Adds to the stream what is not there yet. A batch is told again when nobody heard whether it arrived, and then it may have:
/// told twice, an entry would stand behind an order to forget it that another gave meanwhile, and who comes so late that the
/// first one has left the stream would take it for one that was kept after that. Beside the stream stands which word of whom
/// was the last. (Its name has the stream's in braces, so that a cluster keeps both in one place.)
const TELL: &str = "
    local last = tonumber(redis.call('GET', KEYS[2]) or 0)
    for at = 4, #ARGV, 2 do
        if tonumber(ARGV[at]) > last then
            local origin = ARGV[2] .. '-' .. ARGV[at]
            redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'o', origin, 'r', ARGV[at + 1])
            redis.call('SET', KEYS[2], ARGV[at], 'PX', ARGV[3])
        end
    end";

/// How long it is remembered what somebody said last: far longer than a batch is on its way.
const REMEMBERED: Duration = Duration::from_secs(7 * 86_400);

pub(super) const FIRST_WAIT: Duration = Duration::from_millis(50);
pub(super) const LAST_WAIT: Duration = Duration::from_secs(2);

/// A connection without limits of its own: whoever uses it has some.
pub(super) async fn connect(client: &redis::Client) -> redis::RedisResult<MultiplexedConnection> {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await
}

#[cfg(all(test, feature = "test-kit"))]
mod tests;

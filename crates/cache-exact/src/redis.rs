//! The second level in Redis.

mod clock;
mod names;
mod value;
mod writing;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisError, cmd, pipe};

use tokio::time::Instant;

use self::clock::ServerClock;
use self::names::Names;
use crate::key::{Key, Scope};
use crate::store::{Entry, ExactStore, StoreError, StoreFuture};

/// Where the second level is.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct RedisConfig {
    /// `redis://[user[:password]@]host[:port][/database]`, or `unix:///path`.
    pub url: String,
    /// What all keys begin with; `mainstay`.
    #[cfg_attr(feature = "serde", serde(default = "default_prefix"))]
    pub prefix: String,
    /// Answers with more bytes than this are compressed (LZ4); 4096.
    #[cfg_attr(feature = "serde", serde(default = "default_compress_over"))]
    pub compress_over: usize,
}

impl RedisConfig {
    /// The store at this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), prefix: default_prefix(), compress_over: default_compress_over() }
    }

    /// Another [`RedisConfig::prefix`].
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Another [`RedisConfig::compress_over`].
    #[must_use]
    pub fn compress_over(mut self, bytes: usize) -> Self {
        self.compress_over = bytes;
        self
    }
}

fn default_prefix() -> String {
    "mainstay".to_owned()
}

fn default_compress_over() -> usize {
    4096
}

/// The address may have a password in it.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("prefix", &self.prefix)
            .field("compress_over", &self.compress_over)
            .finish_non_exhaustive()
    }
}

/// Why an address is not taken.
#[derive(Debug, thiserror::Error)]
#[error("the address of the exact cache's Redis cannot be read")]
pub struct InvalidRedis(#[source] RedisError);

/// Answers in Redis, or in anything that speaks its protocol, shared by several processes.
///
/// An entry is one key with `SET … PX`, so the server forgets it by itself; a look-up is one `GET`. It is set by a script that sees
/// whether its scope was purged, or the key written, since the write began: one that comes late undoes neither. Its value says when it was
/// made by the server's clock, which is asked for (`TIME`) with the first look-up of a connection and once a minute: the
/// clocks of the machines need not agree.
///
/// A clone is another handle of the same connection, which is made when it is first needed and again when it broke.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    client: Client,
    config: RedisConfig,
    names: Names,
    /// None when it is first needed, and after it broke.
    connection: Mutex<Option<Connected>>,
    /// One connects at a time; the others wait for that.
    connecting: tokio::sync::Mutex<()>,
}

/// A connection, and what is known of the clock at its other end.
#[derive(Clone)]
struct Connected {
    connection: MultiplexedConnection,
    clock: Option<ServerClock>,
}

impl Connected {
    fn clock(&self) -> Option<ServerClock> {
        self.clock.filter(ServerClock::is_good)
    }
}

impl RedisStore {
    /// A store at this address. Nothing is connected yet: a server that is down when the process starts does no harm.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn new(config: RedisConfig) -> Result<Self, InvalidRedis> {
        let client = Client::open(config.url.as_str()).map_err(InvalidRedis)?;
        let (connection, connecting) = (Mutex::new(None), tokio::sync::Mutex::new(()));
        let names = Names::new(config.prefix.clone());
        Ok(Self(Arc::new(Inner { client, config, names, connection, connecting })))
    }

    async fn connection(&self) -> Result<MultiplexedConnection, StoreError> {
        self.connected().await.map(|connected| connected.connection)
    }

    async fn connected(&self) -> Result<Connected, StoreError> {
        match self.known() {
            Some(connected) => Ok(connected),
            // What is seldom done must not make every look-up's future large.
            None => Box::pin(self.connect()).await,
        }
    }

    async fn connect(&self) -> Result<Connected, StoreError> {
        let _connecting = self.0.connecting.lock().await;
        if let Some(connected) = self.known() {
            return Ok(connected);
        }
        // Whoever asks has a timeout of its own, which is shorter.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(LONGEST)).set_response_timeout(None);
        let made = self.0.client.get_multiplexed_async_connection_with_config(&config).await;
        let made = made.map_err(|error| StoreError::Failed(error.into()))?;
        let made = Connected { connection: made, clock: None };
        *self.place() = Some(made.clone());
        Ok(made)
    }

    fn known(&self) -> Option<Connected> {
        self.place().clone()
    }

    fn place(&self) -> std::sync::MutexGuard<'_, Option<Connected>> {
        // Plain values: a panic elsewhere leaves them as good as they were.
        self.0.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose_connection(&self) {
        let lost = self.place().take();
        drop(lost);
    }

    /// What stands under a name, and the server's clock: most often that is known, and nothing but the value is asked for.
    async fn look(&self, name: &str) -> Result<(Option<Bytes>, ServerClock), StoreError> {
        let mut connected = self.connected().await?;
        let Some(clock) = connected.clock() else {
            return Box::pin(self.look_at_both(name, connected)).await;
        };
        let value = get(name).query_async(&mut connected.connection).await;
        value.map(|value| (value, clock)).map_err(|error| self.failed(error))
    }

    async fn look_at_both(
        &self,
        name: &str,
        mut connected: Connected,
    ) -> Result<(Option<Bytes>, ServerClock), StoreError> {
        let asked = Instant::now();
        let both = pipe().add_command(get(name)).cmd("TIME").query_async(&mut connected.connection).await;
        both.map(|(value, time)| (value, self.clock_says(asked, time))).map_err(|error| self.failed(error))
    }

    async fn clock(&self, connected: &mut Connected) -> Result<ServerClock, StoreError> {
        if let Some(clock) = connected.clock() {
            return Ok(clock);
        }
        let asked = Instant::now();
        let time = cmd("TIME").query_async(&mut connected.connection).await;
        time.map(|time| self.clock_says(asked, time)).map_err(|error| self.failed(error))
    }

    fn clock_says(&self, asked: Instant, time: (u64, u64)) -> ServerClock {
        let clock = ServerClock::new(asked, time);
        if let Some(connected) = &mut *self.place() {
            connected.clock = Some(clock);
        }
        clock
    }

    fn failed(&self, error: RedisError) -> StoreError {
        if error.is_unrecoverable_error() || error.is_io_error() || error.is_timeout() {
            self.lose_connection();
        }
        StoreError::Failed(error.into())
    }

    async fn delete_batch(
        &self,
        connection: &mut MultiplexedConnection,
        keys: &[Bytes],
    ) -> Result<u64, StoreError> {
        if keys.is_empty() {
            return Ok(0);
        }
        let mut unlink = cmd("UNLINK");
        keys.iter().for_each(|key| {
            unlink.arg(&key[..]);
        });
        unlink.query_async::<u64>(connection).await.map_err(|error| self.failed(error))
    }
}

const LONGEST: Duration = Duration::from_secs(5);

/// With memory for all of it at once.
fn get(name: &str) -> Cmd {
    const GET: &str = "GET";
    let mut get = Cmd::with_capacity(2, GET.len() + name.len());
    get.arg(GET).arg(name);
    get
}

/// An entry with its age. `None` when its time is over: the server would have forgotten it, but somebody may have put it there
/// for ever. And when it was made in the time to come: that cannot be dated, since another server's clock is not this one's.
fn aged(mut entry: Entry, made: u64, now: u64) -> Option<Entry> {
    if made > now.saturating_add(MOST_AHEAD_MS) {
        return None;
    }
    entry.age = Duration::from_millis(now.saturating_sub(made));
    (entry.age < entry.kept_for()).then_some(entry)
}

/// What two who asked for the server's time may differ by.
const MOST_AHEAD_MS: u64 = 1_000;

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl ExactStore for RedisStore {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Entry>> {
        Box::pin(async move {
            let (value, clock) = self.look(&self.0.names.key(key)).await?;
            let Some(value) = value else { return Ok(None) };
            let (entry, made) = value::read(value, key.digest()).ok_or(StoreError::Damaged)?;
            Ok(aged(entry, made, clock.at_most()))
        })
    }

    fn put<'a>(&'a self, key: &'a Key, entry: &'a Entry) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let left = entry.kept_for().saturating_sub(entry.age).as_millis();
            let Ok(left @ 1..) = i64::try_from(left) else { return Ok(()) };
            let mut connected = self.connected().await?;
            let made = self.clock(&mut connected).await?.at_least().saturating_sub(millis(entry.age));
            let value = value::write(entry, made, key.digest(), self.0.config.compress_over);
            self.write(&mut connected, key, &value, left).await
        })
    }

    fn remove<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut connected = self.connected().await?;
            self.purges_now(&mut connected, key.scope()).await?;
            let name = self.0.names.key(key);
            let removed = cmd("UNLINK").arg(name).query_async::<u64>(&mut connected.connection).await;
            removed.map(drop).map_err(|error| self.failed(error))
        })
    }

    /// Goes through the keys of the database with `SCAN`, which blocks nobody.
    fn clear<'a>(&'a self, scope: &'a Scope) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            let mut connected = self.connected().await?;
            self.purges_now(&mut connected, scope).await?;
            let mut connection = connected.connection;
            // A prefix may have letters that mean something in a pattern.
            let mut pattern = String::new();
            for letter in self.0.names.scope(scope).chars() {
                if matches!(letter, '*' | '?' | '[' | ']' | '^' | '\\') {
                    pattern.push('\\');
                }
                pattern.push(letter);
            }
            pattern.push('*');
            let (mut cursor, mut removed) = (0_u64, 0);
            loop {
                let (next, keys): (u64, Vec<Bytes>) = cmd("SCAN")
                    .arg(cursor)
                    .arg("MATCH")
                    .arg(&pattern)
                    .arg("COUNT")
                    .arg(1000)
                    .query_async(&mut connection)
                    .await
                    .map_err(|error| self.failed(error))?;
                removed += self.delete_batch(&mut connection, &keys).await?;
                if next == 0 {
                    return Ok(removed);
                }
                cursor = next;
            }
        })
    }

    fn ping(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let mut connection = self.connection().await?;
            let answered = cmd("PING").query_async::<String>(&mut connection).await;
            answered.map(drop).map_err(|error| self.failed(error))
        })
    }

    fn timed_out(&self) {
        self.lose_connection();
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisStore").field(&self.0.config).finish()
    }
}

#[cfg(test)]
mod tests;

//! Keys in Redis.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, cmd};

use super::{KeyStore, Snapshot, StoreError, StoreFuture};
use crate::id::KeyId;
use crate::record::VirtualKey;

/// Where the keys are.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisConfig {
    /// `redis://[user[:password]@]host[:port][/database]`, or `unix:///path`.
    pub url: String,
    /// What all names of keys begin with; `mainstay`.
    pub prefix: String,
}

impl RedisConfig {
    /// The store at this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), prefix: "mainstay".to_owned() }
    }

    /// Another [`RedisConfig::prefix`].
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }
}

/// The address may have a password in it.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Keys in Redis, or in anything that speaks its protocol, shared by several processes.
///
/// Each operation is one script and one round trip; to look whether anything has changed reads one small value. The server
/// must not forget keys by itself: no eviction of keys without an expiry, and a disk if the keys shall outlive it.
///
/// A clone is another handle of the same connection, which is made when it is first needed and again when it broke.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    client: Client,
    config: RedisConfig,
    connection: Mutex<Option<MultiplexedConnection>>,
}

/// The state, and if it is not the one that is known, all records.
const READ: &str = "
local revision = redis.call('GET', KEYS[1]) or '0'
if revision == ARGV[1] then return {revision} end
return {revision, redis.call('HVALS', KEYS[2])}";

/// A record begins with its revision. The new one is the time in microseconds, if that is later: a store that was emptied
/// never comes to a revision that it has had before. Below 2^53, so that Lua's numbers are exact.
const CHANGE: &str = "
local there = redis.call('HGET', KEYS[2], ARGV[1])
local revision = there and string.match(there, '^%d+') or '0'
if revision ~= ARGV[2] then return false end
local time = redis.call('TIME')
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local next = string.format('%.0f', math.max(last + 1, time[1] * 1000000 + time[2]))
redis.call('SET', KEYS[1], next)
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[2], ARGV[1])
else
  redis.call('HSET', KEYS[2], ARGV[1], next .. '\\n' .. ARGV[3])
end
return next";

const CONNECT: Duration = Duration::from_secs(5);

impl RedisStore {
    /// A store at this address. Nothing is connected yet: a server that is down when the process starts does no harm.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn new(config: RedisConfig) -> Result<Self, StoreError> {
        let client = Client::open(config.url.as_str()).map_err(StoreError::failed)?;
        Ok(Self(Arc::new(Inner { client, config, connection: Mutex::new(None) })))
    }

    fn place(&self) -> MutexGuard<'_, Option<MultiplexedConnection>> {
        // A plain value: a panic elsewhere leaves it as good as it was.
        self.0.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connection(&self) -> Result<MultiplexedConnection, StoreError> {
        if let Some(connection) = self.place().clone() {
            return Ok(connection);
        }
        // Whoever asks has a timeout of its own.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
        let made = self.0.client.get_multiplexed_async_connection_with_config(&config).await;
        let made = made.map_err(StoreError::failed)?;
        *self.place() = Some(made.clone());
        Ok(made)
    }

    /// Runs a script. A connection that failed, or was waited for in vain, is not used again.
    async fn run<T: FromRedisValue>(&self, script: &str, arguments: &[&str]) -> Result<T, StoreError> {
        let mut connection = self.connection().await?;
        let doubt = Doubt(Some(self));
        let tag = format!("{{{}:keys}}", self.0.config.prefix);
        let mut eval = cmd("EVAL");
        eval.arg(script).arg(2).arg(format!("{tag}:revision")).arg(format!("{tag}:records")).arg(arguments);
        let answer = eval.query_async(&mut connection).await.map_err(StoreError::failed)?;
        doubt.settle();
        Ok(answer)
    }

    async fn change(&self, id: &KeyId, revision: u64, record: &str) -> Result<u64, StoreError> {
        let arguments = [id.as_str(), &revision.to_string(), record];
        let next: Option<String> = self.run(CHANGE, &arguments).await?;
        next.ok_or(StoreError::Conflict)?.parse().map_err(StoreError::failed)
    }
}

/// A connection that is lost unless its answer came.
struct Doubt<'a>(Option<&'a RedisStore>);

impl Doubt<'_> {
    fn settle(mut self) {
        self.0 = None;
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if let Some(store) = self.0 {
            let lost = store.place().take();
            drop(lost);
        }
    }
}

impl KeyStore for RedisStore {
    fn read(&self, known: Option<u64>) -> StoreFuture<'_, Option<Snapshot>> {
        Box::pin(async move {
            let known = known.map_or_else(String::new, |known| known.to_string());
            let answer: Vec<redis::Value> = self.run(READ, &[&known]).await?;
            let mut answer = answer.into_iter();
            let revision: String = of(answer.next())?;
            let Some(records) = answer.next() else { return Ok(None) };
            let records: Vec<String> = of(Some(records))?;
            let revision = revision.parse().map_err(StoreError::failed)?;
            Snapshot::of_texts(revision, records, read_record).await.map(Some)
        })
    }

    fn write(&self, mut key: VirtualKey) -> StoreFuture<'_, VirtualKey> {
        Box::pin(async move {
            let revision = std::mem::take(&mut key.revision);
            let record = serde_json::to_string(&key).map_err(StoreError::failed)?;
            key.revision = self.change(&key.id, revision, &record).await?;
            Ok(key)
        })
    }

    fn delete<'a>(&'a self, id: &'a KeyId, revision: u64) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.change(id, revision.max(1), "").await.map(drop) })
    }
}

fn read_record(record: &str) -> Option<VirtualKey> {
    let (revision, json) = record.split_once('\n')?;
    let mut key: VirtualKey = serde_json::from_str(json).ok()?;
    key.revision = revision.parse().ok()?;
    Some(key)
}

fn of<T: FromRedisValue>(value: Option<redis::Value>) -> Result<T, StoreError> {
    let value = value.ok_or_else(|| StoreError::Damaged("an empty answer".into()))?;
    redis::from_redis_value(value).map_err(StoreError::failed)
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisStore").field(&self.0.config).finish()
    }
}

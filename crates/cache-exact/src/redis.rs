//! The second level in Redis.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use mainstay_provider_core::{Digest, Recording};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, cmd, pipe};

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
/// An entry is one key with `SET … PX`, so the server forgets it by itself; a look-up is one round trip. How old an entry is
/// follows from what is left of its time by the server's clock: the clocks of the machines need not agree.
///
/// A clone is another handle of the same connection, which is made when it is first needed and again when it broke.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    client: Client,
    config: RedisConfig,
    /// The connection, and how many there were before it.
    connection: Mutex<(u64, Option<MultiplexedConnection>)>,
    /// One connects at a time; the others wait for that.
    connecting: tokio::sync::Mutex<()>,
}

impl RedisStore {
    /// A store at this address. Nothing is connected yet: a server that is down when the process starts does no harm.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn new(config: RedisConfig) -> Result<Self, InvalidRedis> {
        let client = Client::open(config.url.as_str()).map_err(InvalidRedis)?;
        let (connection, connecting) = (Mutex::new((0, None)), tokio::sync::Mutex::new(()));
        Ok(Self(Arc::new(Inner { client, config, connection, connecting })))
    }

    async fn connection(&self) -> Result<MultiplexedConnection, StoreError> {
        if let Some(connection) = self.known() {
            return Ok(connection);
        }
        let _connecting = self.0.connecting.lock().await;
        if let Some(connection) = self.known() {
            return Ok(connection);
        }
        // Whoever asks has a timeout of its own, which is shorter.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(LONGEST)).set_response_timeout(None);
        let made = self.0.client.get_multiplexed_async_connection_with_config(&config).await;
        let made = made.map_err(|error| StoreError::Failed(error.into()))?;
        let mut place = self.place();
        place.1 = Some(made.clone());
        Ok(made)
    }

    fn known(&self) -> Option<MultiplexedConnection> {
        self.place().1.clone()
    }

    fn place(&self) -> std::sync::MutexGuard<'_, (u64, Option<MultiplexedConnection>)> {
        // Two plain values: a panic elsewhere leaves them as good as they were.
        self.0.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose_connection(&self) {
        let lost = {
            let mut place = self.place();
            place.0 += 1;
            place.1.take()
        };
        drop(lost);
    }

    fn failed(&self, error: RedisError) -> StoreError {
        if error.is_unrecoverable_error() || error.is_io_error() || error.is_timeout() {
            self.lose_connection();
        }
        StoreError::Failed(error.into())
    }

    /// What the keys of a scope begin with. 128 bits of its name do: it is not what keeps tenants apart, the digest is.
    fn scope(&self, scope: &Scope) -> String {
        const VERSION: &str = ":exact:1:";
        let prefix = &self.0.config.prefix;
        let mut name = String::with_capacity(prefix.len() + VERSION.len() + 32 + 1 + 64);
        name.push_str(prefix);
        name.push_str(VERSION);
        push_hex(&mut name, &scope.digest().as_bytes()[..16]);
        name
    }

    fn key(&self, key: &Key) -> String {
        let mut name = self.scope(key.scope());
        name.push(':');
        push_hex(&mut name, key.digest().as_bytes());
        name
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

/// Every look-up makes a name: formatting it took longer than all the rest of that.
fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)].into());
        text.push(DIGITS[usize::from(byte & 15)].into());
    }
}

impl ExactStore for RedisStore {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Entry>> {
        Box::pin(async move {
            let name = self.key(key);
            let mut connection = self.connection().await?;
            let (value, left): (Option<Bytes>, i64) = pipe()
                .cmd("GET")
                .arg(&name)
                .cmd("PTTL")
                .arg(&name)
                .query_async(&mut connection)
                .await
                .map_err(|error| self.failed(error))?;
            // Below zero: it has gone in between, or somebody else put it there for ever.
            let (Some(value), Ok(left)) = (value, u64::try_from(left)) else { return Ok(None) };
            let mut entry = read(value, key.digest()).ok_or(StoreError::Damaged)?;
            entry.age = entry.kept_for().saturating_sub(Duration::from_millis(left));
            Ok(Some(entry))
        })
    }

    fn put<'a>(&'a self, key: &'a Key, entry: &'a Entry) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let left = entry.kept_for().saturating_sub(entry.age).as_millis();
            let Ok(left @ 1..) = i64::try_from(left) else { return Ok(()) };
            let value = write(entry, key.digest(), self.0.config.compress_over);
            let mut connection = self.connection().await?;
            cmd("SET")
                .arg(self.key(key))
                .arg(value)
                .arg("PX")
                .arg(left)
                .query_async::<()>(&mut connection)
                .await
                .map_err(|error| self.failed(error))
        })
    }

    fn remove<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut connection = self.connection().await?;
            let removed = cmd("UNLINK").arg(self.key(key)).query_async::<u64>(&mut connection).await;
            removed.map(drop).map_err(|error| self.failed(error))
        })
    }

    /// Goes through the keys of the database with `SCAN`, which blocks nobody.
    fn clear<'a>(&'a self, scope: &'a Scope) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            let mut connection = self.connection().await?;
            // A prefix may have letters that mean something in a pattern.
            let mut pattern = String::new();
            for letter in self.scope(scope).chars() {
                if matches!(letter, '*' | '?' | '[' | ']' | '^' | '\\') {
                    pattern.push('\\');
                }
                pattern.push(letter);
            }
            pattern.push_str(":*");
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

/// The value of a key: what it is, the checksum of the rest, whose key it is, its times, how it is packed, and the answer.
const MAGIC: &[u8] = b"mainstay exact 1\n";
const CHECKSUM: usize = 4;
const HEAD: usize = MAGIC.len() + CHECKSUM + 32 + 8 + 8 + 1;

/// No answer that was kept is larger when it is unpacked: what says so is not one of ours.
const MOST_UNPACKED: usize = 256 << 20;

fn write(entry: &Entry, key: &Digest, compress_over: usize) -> Vec<u8> {
    let answer = entry.recording.to_bytes();
    let packed = (answer.len() > compress_over).then(|| lz4_flex::compress_prepend_size(&answer));
    let body = packed.as_deref().unwrap_or(&answer);
    let mut value = Vec::with_capacity(HEAD + body.len());
    value.extend_from_slice(MAGIC);
    value.extend_from_slice(&[0; CHECKSUM]);
    value.extend_from_slice(key.as_bytes());
    for time in [entry.ttl, entry.stale_for] {
        value.extend_from_slice(&u64::try_from(time.as_millis()).unwrap_or(u64::MAX).to_le_bytes());
    }
    value.push(u8::from(packed.is_some()));
    value.extend_from_slice(body);
    let (head, rest) = value.split_at_mut(MAGIC.len() + CHECKSUM);
    head[MAGIC.len()..].copy_from_slice(&checksum(rest));
    value
}

fn read(mut value: Bytes, key: &Digest) -> Option<Entry> {
    let (sum, rest) = value.strip_prefix(MAGIC)?.split_first_chunk::<CHECKSUM>()?;
    let is_sound = *sum == checksum(rest);
    let (whose, rest) = rest.split_first_chunk::<32>()?;
    let (ttl, rest) = rest.split_first_chunk::<8>()?;
    let (stale_for, rest) = rest.split_first_chunk::<8>()?;
    let is_packed = match rest.first()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    if !is_sound || whose != key.as_bytes() {
        return None;
    }
    let (ttl, stale_for) = (time(*ttl), time(*stale_for));
    value.advance(HEAD);
    let answer = if is_packed { unpack(&value)?.into() } else { value };
    Some(Entry::new(Recording::from_bytes(answer)?, ttl, stale_for))
}

fn time(bytes: [u8; 8]) -> Duration {
    Duration::from_millis(u64::from_le_bytes(bytes))
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let (size, rest) = lz4_flex::block::uncompressed_size(packed).ok()?;
    (size <= MOST_UNPACKED).then(|| lz4_flex::decompress(rest, size).ok()).flatten()
}

/// CRC-32: it is there against damage; against a value of another key there is the digest.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    crc32fast::hash(bytes).to_le_bytes()
}

#[cfg(test)]
mod tests;

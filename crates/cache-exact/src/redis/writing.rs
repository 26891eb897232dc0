//! A write that comes too late is none.
//!
//! Nobody waits for a write longer than the store's timeout, but the server may still do it: a frozen one when it goes on. By then
//! its scope may have been purged, or something newer may stand under its name. So a write says what was there when it began, and
//! the server looks whether that still holds.

use std::time::Duration;

use bytes::Bytes;
use redis::{RedisError, cmd, pipe};

use super::value::HEAD;
use super::{Connected, RedisStore};
use crate::key::{Key, Scope};
use crate::store::StoreError;

/// What was there when a write began.
pub(super) struct Before {
    name: String,
    purges_name: String,
    /// How often something of the scope was forgotten.
    purges: Bytes,
    /// The head of what stood under the name. It says when that was made, to the millisecond.
    head: Bytes,
}

/// What the server did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Done {
    Written,
    /// Something else was written meanwhile.
    Overtaken,
    /// Something of the scope was forgotten meanwhile.
    Purged,
}

const WRITE: &str = "
    if (redis.call('GET', KEYS[2]) or '') ~= ARGV[1] then return 2 end
    local head = redis.pcall('GETRANGE', KEYS[1], 0, ARGV[3])
    if type(head) == 'table' then head = '' end
    if head ~= ARGV[2] then return 1 end
    redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
    return 0";

/// How often it is looked anew at what stands there.
const MOST_TRIES: usize = 4;

/// How long it is known that a scope was purged: far longer than a write is on its way.
const KNOWN: Duration = Duration::from_secs(30 * 86_400);

impl RedisStore {
    /// Writes a value that the server forgets after so many milliseconds.
    pub(super) async fn write(
        &self,
        connected: &mut Connected,
        key: &Key,
        value: &[u8],
        left: i64,
    ) -> Result<(), StoreError> {
        let mut before = self.before(connected, key).await?;
        for _ in 0..MOST_TRIES {
            match self.write_if(connected, &before, value, left).await? {
                Done::Written | Done::Purged => return Ok(()),
                // By somebody who had begun earlier, or at the same time.
                Done::Overtaken => before.head = self.before(connected, key).await?.head,
            }
        }
        // Many write the same at once: one of them stays.
        Ok(())
    }

    pub(super) async fn before(&self, connected: &mut Connected, key: &Key) -> Result<Before, StoreError> {
        let (name, purges_name) = (self.0.names.key(key), self.0.names.purges(key.scope()));
        let mut asked = pipe();
        asked.cmd("GET").arg(&purges_name).cmd("GETRANGE").arg(&name).arg(0).arg(HEAD - 1);
        let told = match asked.query_async::<(Option<Bytes>, Bytes)>(&mut connected.connection).await {
            // No text stands there: it is replaced, as if nothing did.
            Err(error) if is_refusal(&error) => {
                let purges = cmd("GET").arg(&purges_name).query_async(&mut connected.connection).await;
                purges.map(|purges| (purges, Bytes::new()))
            }
            told => told,
        };
        let (purges, head) = told.map_err(|error| self.failed(error))?;
        Ok(Before { name, purges_name, purges: purges.unwrap_or_default(), head })
    }

    /// Writes if everything still is as it was before.
    pub(super) async fn write_if(
        &self,
        connected: &mut Connected,
        before: &Before,
        value: &[u8],
        left: i64,
    ) -> Result<Done, StoreError> {
        let Before { name, purges_name, purges, head } = before;
        let mut write = cmd("EVAL");
        write.arg(WRITE).arg(2).arg(name).arg(purges_name);
        write.arg(&purges[..]).arg(&head[..]).arg(HEAD - 1).arg(value).arg(left);
        match write.query_async::<u8>(&mut connected.connection).await {
            Ok(0) => Ok(Done::Written),
            Ok(1) => Ok(Done::Overtaken),
            Ok(_) => Ok(Done::Purged),
            // It knows no scripts, or none over two keys, or does not let us: then a write that comes too late is done.
            Err(error) if is_refusal(&error) => {
                let mut set = cmd("SET");
                set.arg(name).arg(value).arg("PX").arg(left);
                let set = set.query_async::<()>(&mut connected.connection).await;
                set.map(|()| Done::Written).map_err(|error| self.failed(error))
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Before anything of a scope is forgotten: what is being written to it now is not.
    pub(super) async fn purges_now(
        &self,
        connected: &mut Connected,
        scope: &Scope,
    ) -> Result<(), StoreError> {
        let name = self.0.names.purges(scope);
        let mut count = pipe();
        count
            .cmd("INCR")
            .arg(&name)
            .ignore()
            .cmd("PEXPIRE")
            .arg(&name)
            .arg(KNOWN.as_millis() as u64)
            .ignore();
        let counted = count.query_async::<()>(&mut connected.connection).await;
        counted.map_err(|error| self.failed(error))
    }
}

/// The server answered, and said no.
fn is_refusal(error: &RedisError) -> bool {
    !(error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error())
}

//! Keys in PostgreSQL.

use std::fmt;
use std::sync::Arc;

use deadpool_postgres::{Manager, Object, Pool};
use tokio::sync::OnceCell;
use tokio_postgres::{NoTls, Row};

use super::{KeyStore, Snapshot, StoreError, StoreFuture};
use crate::id::KeyId;
use crate::record::VirtualKey;

/// Where the keys are.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresConfig {
    /// `postgresql://user@host/database`.
    pub url: String,
    /// The table of the records; `mainstay_keys`. A second one, with `_state` behind its name, has the state.
    pub table: String,
    /// The most connections; 2.
    pub connections: usize,
}

impl PostgresConfig {
    /// The store at this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), table: "mainstay_keys".to_owned(), connections: 2 }
    }

    /// Another [`PostgresConfig::table`].
    #[must_use]
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }
}

/// The address may have a password in it.
impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig").field("table", &self.table).finish_non_exhaustive()
    }
}

/// Keys in PostgreSQL, shared by all who use the same tables. Clones share the connections.
///
/// Changes stand in line at the one row of the state's table, so that revisions grow in the order in which they can be seen.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    pool: Pool,
    config: PostgresConfig,
    tables: OnceCell<()>,
}

impl PostgresStore {
    /// A store at this address, without TLS. Nothing is connected yet: a server that is down when the process starts does no
    /// harm. The tables are made when they are first needed.
    ///
    /// # Errors
    /// When the address cannot be read, or the table's name is not of `a` to `z`, digits and `_`, at most 40.
    pub fn new(config: PostgresConfig) -> Result<Self, StoreError> {
        let parsed: tokio_postgres::Config = config.url.parse().map_err(StoreError::failed)?;
        let manager = Manager::new(parsed, NoTls);
        let pool = Pool::builder(manager).max_size(config.connections.max(1)).build();
        Self::with_pool(pool.map_err(StoreError::failed)?, config)
    }

    /// The same through connections that you make yourself, for instance with TLS.
    ///
    /// # Errors
    /// When the table's name is not as it must be.
    pub fn with_pool(pool: Pool, config: PostgresConfig) -> Result<Self, StoreError> {
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        let table = config.table.as_bytes();
        if !(1..=40).contains(&table.len())
            || table[0].is_ascii_digit()
            || !table.iter().all(|byte| is_plain(*byte))
        {
            let why = format!("{:?} is no name for a table: a to z, 0 to 9 and _, at most 40", config.table);
            return Err(StoreError::Damaged(why));
        }
        Ok(Self(Arc::new(Inner { pool, config, tables: OnceCell::new() })))
    }

    async fn client(&self) -> Result<Lent, StoreError> {
        let client = Lent(Some(self.0.pool.get().await.map_err(StoreError::failed)?));
        let tables = async || {
            // Who may not make tables may use those that are there: making one needs the right to, also where it would do nothing.
            let (table, state) = (&self.0.config.table, format!("{}_state", self.0.config.table));
            let there = "SELECT to_regclass($1) IS NOT NULL AND to_regclass($2) IS NOT NULL";
            let are_there = client.get().query_one(there, &[table, &state]).await?.get(0);
            // Two who begin at the same time would both find nothing there. Statements that are sent together are one transaction;
            // one that they began themselves would stay behind on the connection when something in it failed.
            let make = format!(
                "SELECT pg_advisory_xact_lock(7165925611); \
                 CREATE TABLE IF NOT EXISTS {table} (id text PRIMARY KEY, revision bigint NOT NULL, record text NOT NULL); \
                 CREATE TABLE IF NOT EXISTS {state} (one boolean PRIMARY KEY CHECK (one), revision bigint NOT NULL);"
            );
            let make = if are_there { "" } else { &make };
            let begin = format!("INSERT INTO {state} VALUES (true, 0) ON CONFLICT DO NOTHING");
            client.get().batch_execute(&format!("{make} {begin}")).await
        };
        match self.0.tables.get_or_try_init(tables).await {
            Ok(()) => Ok(client),
            Err(error) => {
                client.has_answered();
                Err(StoreError::failed(error))
            }
        }
    }

    /// Changes one record under the state's lock.
    async fn change(
        &self,
        id: &KeyId,
        revision: u64,
        record: impl FnOnce(u64) -> Result<Option<String>, StoreError>,
    ) -> Result<u64, StoreError> {
        let mut client = self.client().await?;
        let changed = self.change_over(client.get_mut(), id, revision, record).await;
        client.has_answered();
        changed
    }

    async fn change_over(
        &self,
        client: &mut Object,
        id: &KeyId,
        revision: u64,
        record: impl FnOnce(u64) -> Result<Option<String>, StoreError>,
    ) -> Result<u64, StoreError> {
        let table = &self.0.config.table;
        let transaction = client.transaction().await.map_err(StoreError::failed)?;
        // The time in microseconds, if that is later: tables that were emptied never come to a revision that they had before.
        let next = format!(
            "SELECT greatest(revision + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) FROM {table}_state FOR UPDATE"
        );
        let next: i64 = transaction.query_one(&next, &[]).await.map_err(StoreError::failed)?.get(0);
        let (id, there) = (id.as_str(), i64::try_from(revision).map_err(StoreError::failed)?);
        let changed = match record(next.unsigned_abs())? {
            Some(record) if there == 0 => {
                let insert = format!("INSERT INTO {table} VALUES ($1, $2, $3) ON CONFLICT DO NOTHING");
                transaction.execute(&insert, &[&id, &next, &record]).await
            }
            Some(record) => {
                let update =
                    format!("UPDATE {table} SET revision = $2, record = $3 WHERE id = $1 AND revision = $4");
                transaction.execute(&update, &[&id, &next, &record, &there]).await
            }
            None => {
                let delete = format!("DELETE FROM {table} WHERE id = $1 AND revision = $2");
                transaction.execute(&delete, &[&id, &there]).await
            }
        };
        if changed.map_err(StoreError::failed)? == 0 {
            return Err(StoreError::Conflict);
        }
        let state = format!("UPDATE {table}_state SET revision = $1");
        transaction.execute(&state, &[&next]).await.map_err(StoreError::failed)?;
        transaction.commit().await.map_err(StoreError::failed)?;
        Ok(next.unsigned_abs())
    }

    /// The state and all records; none if it is the one that is known.
    async fn read_over(
        &self,
        client: &Object,
        known: Option<u64>,
    ) -> Result<Option<Vec<Row>>, tokio_postgres::Error> {
        let table = &self.0.config.table;
        let row = client.query_one(&format!("SELECT revision FROM {table}_state"), &[]).await?;
        if known == Some(row.get::<_, i64>(0).unsigned_abs()) {
            return Ok(None);
        }
        // One statement sees one state of both tables.
        let all = format!("SELECT s.revision, k.record FROM {table}_state s LEFT JOIN {table} k ON true");
        client.query(&all, &[]).await.map(Some)
    }
}

/// A connection that is given back when it has answered. One whose caller did not wait for that is closed: if the network has lost
/// it, it would be waited for in vain again and again.
struct Lent(Option<Object>);

impl Lent {
    fn get(&self) -> &Object {
        self.0.as_ref().expect("it is there until it has answered")
    }

    fn get_mut(&mut self) -> &mut Object {
        self.0.as_mut().expect("it is there until it has answered")
    }

    fn has_answered(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        drop(self.0.take().map(Object::take));
    }
}

impl KeyStore for PostgresStore {
    fn read(&self, known: Option<u64>) -> StoreFuture<'_, Option<Snapshot>> {
        Box::pin(async move {
            let client = self.client().await?;
            let read = self.read_over(client.get(), known).await;
            client.has_answered();
            let Some(rows) = read.map_err(StoreError::failed)? else { return Ok(None) };
            let revision = rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs());
            let records = rows.iter().filter_map(|row| row.get::<_, Option<String>>(1)).collect();
            Snapshot::of_texts(revision, records, |record| serde_json::from_str(record).ok()).await.map(Some)
        })
    }

    fn write(&self, mut key: VirtualKey) -> StoreFuture<'_, VirtualKey> {
        Box::pin(async move {
            let (id, revision) = (key.id.clone(), key.revision);
            self.change(&id, revision, |next| {
                key.revision = next;
                serde_json::to_string(&key).map(Some).map_err(StoreError::failed)
            })
            .await?;
            Ok(key)
        })
    }

    fn delete<'a>(&'a self, id: &'a KeyId, revision: u64) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.change(id, revision.max(1), |_| Ok(None)).await.map(drop) })
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresStore").field(&self.0.config).finish()
    }
}

//! Entries in PostgreSQL, found by pgvector.

mod busy;
mod config;
mod set_up;
mod statements;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use deadpool_postgres::{Client, Hook, HookError, Manager, Object, Pool};
use mainstay_provider_core::{Namespace, Recording};
use pgvector::Vector;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::{NoTls, Row};

use self::busy::Busy;
pub use self::config::{InvalidPostgres, PgIndex, PostgresConfig};
use self::set_up::SetUp;
use self::statements::Statements;
use super::{EntryId, Neighbour, NewEntry, SemanticStore, StoreError, StoreFuture, StoreStats};
use crate::partition::Partition;

/// Entries in PostgreSQL with the extension `vector`, shared by all who use the same tables. Clones share the
/// connections.
///
/// A partition is searched through the primary key and in full, so that nothing is missed; for partitions of many
/// thousands there is [`PgIndex::Hnsw`].
///
/// # Cancellation
/// A dropped operation may have happened. The connection that it used is closed, not used again.
///
/// # How it fails
/// Every operation ends within [`PostgresConfig::timeout`], 50 ms: with an error when the server is gone, frozen or
/// slow, and when what it gave is not an entry. A connection that did not answer in time is thrown away; new ones are
/// made in the background, so that a server far away is reached although connecting takes longer than that. So are the
/// tables of a store that was not [connected](PostgresStore::connect) but begun [lazily](PostgresStore::lazy).
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    pool: Pool,
    config: PostgresConfig,
    statements: Statements,
    set_up: SetUp,
    /// About; put right by each sweep.
    entries: AtomicU64,
    inserts: AtomicU64,
    evictions: AtomicU64,
    connecting: Arc<AtomicBool>,
    sweeping: Arc<AtomicBool>,
}

/// After how many inserts it is looked at what has expired and what is too much.
const SWEEP_EVERY: u64 = 256;

/// No deadline of an answer waits for these.
const BACKGROUND: Duration = Duration::from_secs(30);

/// PostgreSQL's times end somewhere.
const LONGEST_TTL: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Else the graph gives the nearest of all partitions, and what is of ours among them may be nothing.
const FILTERED_GRAPH: &str = "SET hnsw.iterative_scan = strict_order";

impl PostgresStore {
    /// Connects without TLS, and makes the tables that are not there.
    ///
    /// # Errors
    /// When the settings are wrong, the server is not there, or the tables hold another embedder's vectors.
    pub async fn connect(config: PostgresConfig) -> Result<Self, InvalidPostgres> {
        Self::lazy(config)?.set_up_now().await
    }

    /// Connects when it is first used, without TLS: a server that is not there yet does no harm. Until the tables are
    /// there every operation fails within [`PostgresConfig::timeout`], and the next one tries again.
    ///
    /// # Errors
    /// When the settings are wrong.
    pub fn lazy(config: PostgresConfig) -> Result<Self, InvalidPostgres> {
        let parsed: tokio_postgres::Config =
            config.url.parse().map_err(|error| InvalidPostgres::Url(Box::new(error)))?;
        let mut pool = Pool::builder(Manager::new(parsed, NoTls)).max_size(config.connections);
        if config.index == PgIndex::Hnsw {
            pool = pool.post_create(Hook::async_fn(|client, _| {
                Box::pin(
                    async move { client.batch_execute(FILTERED_GRAPH).await.map_err(HookError::Backend) },
                )
            }));
        }
        let pool = pool.build().map_err(|error| InvalidPostgres::Url(Box::new(error)))?;
        Self::of(pool, config)
    }

    /// The same through connections that you make yourself, for instance with TLS. For [`PgIndex::Hnsw`] each must begin
    /// with `SET hnsw.iterative_scan = strict_order`.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn with_pool(pool: Pool, config: PostgresConfig) -> Result<Self, InvalidPostgres> {
        Self::of(pool, config)?.set_up_now().await
    }

    fn of(pool: Pool, config: PostgresConfig) -> Result<Self, InvalidPostgres> {
        let statements = Statements::of(&config)?;
        Ok(Self(Arc::new(Inner {
            pool,
            config,
            statements,
            set_up: SetUp::default(),
            entries: AtomicU64::new(0),
            inserts: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            connecting: Arc::default(),
            sweeping: Arc::default(),
        })))
    }

    /// Within the time, on a connection that is thrown away when it took longer.
    async fn timed<T, F>(&self, work: impl FnOnce(Arc<Client>) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let deadline = Instant::now() + self.0.config.timeout;
        self.set_up_by(deadline).await?;
        let Ok(client) = tokio::time::timeout_at(deadline, self.0.pool.get()).await else {
            self.connect_behind();
            return Err(StoreError::Unreachable("no connection in time".into()));
        };
        // Dropped with the future, in the middle of a query as well: then it is not used again.
        let client = Lent(Some(Arc::new(client.map_err(|error| StoreError::Unreachable(Box::new(error)))?)));
        let worked = tokio::time::timeout_at(deadline, work(client.get())).await;
        let Ok(result) = worked else {
            self.connect_behind();
            return Err(StoreError::Unreachable("no answer in time".into()));
        };
        client.give_back();
        result.map_err(|error| StoreError::Unreachable(Box::new(error)))
    }

    /// One connection is made without anybody waiting for it, if none is being made.
    fn connect_behind(&self) {
        let Some(busy) = Busy::begin(&self.0.connecting) else { return };
        let store = self.clone();
        tokio::spawn(async move {
            // It goes back to the others when it is dropped.
            let made = tokio::time::timeout(BACKGROUND, store.0.pool.get()).await;
            if let Ok(Ok(client)) = made {
                // A query that never ends would lend a dead connection to the next caller.
                if tokio::time::timeout(BACKGROUND, client.simple_query("")).await.is_err() {
                    drop(Object::take(client));
                }
            }
            drop(busy);
        });
    }

    fn sweep_behind(&self) {
        let Some(busy) = Busy::begin(&self.0.sweeping) else { return };
        let store = self.clone();
        tokio::spawn(async move {
            // What fails now is done next time.
            let _ = tokio::time::timeout(BACKGROUND, store.sweep()).await;
            drop(busy);
        });
    }

    /// Forgets what has expired, and of too many those that are worth least.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        self.set_up_by(Instant::now() + BACKGROUND).await?;
        let swept = async {
            let client = self.0.pool.get().await.map_err(|error| Box::new(error) as BoxError)?;
            let Statements { expire, count, evict, .. } = &self.0.statements;
            client.execute(expire, &[]).await?;
            let entries = client.query_one(count, &[]).await?.get::<_, i64>(0).unsigned_abs();
            let over = entries.saturating_sub(self.0.config.max_entries);
            let evicted = if over > 0 { client.execute(evict, &[&(over as i64)]).await? } else { 0 };
            self.0.evictions.fetch_add(evicted, Ordering::Relaxed);
            self.0.entries.store(entries - evicted, Ordering::Relaxed);
            Ok::<_, BoxError>(())
        };
        swept.await.map_err(StoreError::Unreachable)
    }

    fn fits(&self, vector: &[f32]) -> Result<(), StoreError> {
        let (given, wanted) = (vector.len(), self.0.config.dims);
        if given != wanted {
            return Err(StoreError::Dimensions { given, wanted });
        }
        if !vector.iter().all(|value| value.is_finite()) {
            return Err(StoreError::NotAVector);
        }
        Ok(())
    }

    fn count_down(&self, gone: u64) {
        let entries = &self.0.entries;
        let _ = entries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some(n.saturating_sub(gone)));
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connection that is closed unless it is given back.
struct Lent(Option<Arc<Client>>);

impl Lent {
    fn get(&self) -> Arc<Client> {
        self.0.clone().expect("it is there until it is given back")
    }

    fn give_back(mut self) {
        // The work is done, so this is the last pointer: dropping it puts the connection back.
        drop(self.0.take());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(client) = self.0.take().and_then(Arc::into_inner) {
            drop(Object::take(client));
        }
    }
}

impl SemanticStore for PostgresStore {
    fn nearest<'a>(
        &'a self,
        partition: &'a Partition,
        vector: &'a [f32],
        k: usize,
    ) -> StoreFuture<'a, Vec<Neighbour>> {
        Box::pin(async move {
            self.fits(vector)?;
            let (vector, k) = (Vector::from(vector.to_vec()), i64::try_from(k).unwrap_or(i64::MAX));
            let rows = self
                .timed(|client| async move {
                    let nearest = client.prepare_cached(&self.0.statements.nearest).await?;
                    let (namespace, digest) = place(partition);
                    client.query(&nearest, &[&namespace, &digest, &vector, &k]).await
                })
                .await?;
            rows.iter().map(neighbour).collect()
        })
    }

    fn by_text<'a>(&'a self, partition: &'a Partition, text: &'a str) -> StoreFuture<'a, Option<Neighbour>> {
        Box::pin(async move {
            let row = self
                .timed(|client| async move {
                    let by_text = client.prepare_cached(&self.0.statements.by_text).await?;
                    let (namespace, digest) = place(partition);
                    client.query_opt(&by_text, &[&namespace, &digest, &text.as_bytes()]).await
                })
                .await?;
            row.as_ref().map(neighbour).transpose()
        })
    }

    fn fetch<'a>(&'a self, partition: &'a Partition, id: EntryId) -> StoreFuture<'a, Option<Recording>> {
        Box::pin(async move {
            let row = self
                .timed(|client| async move {
                    let fetch = client.prepare_cached(&self.0.statements.fetch).await?;
                    let (namespace, digest) = place(partition);
                    client.query_opt(&fetch, &[&namespace, &digest, &name(id)]).await
                })
                .await?;
            let Some(row) = row else { return Ok(None) };
            let bytes: Vec<u8> = row.try_get(0).map_err(|_| StoreError::Damaged)?;
            let Some(recording) = Recording::from_bytes(Bytes::from(bytes)) else {
                self.behind(self.0.statements.remove.clone(), partition, id);
                return Err(StoreError::Damaged);
            };
            self.behind(self.0.statements.used.clone(), partition, id);
            Ok(Some(recording))
        })
    }

    fn insert<'a>(&'a self, partition: &'a Partition, entry: NewEntry) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.fits(&entry.vector)?;
            let vector = Vector::from(entry.vector.to_vec());
            let recording = entry.recording.to_bytes();
            let ttl = entry.ttl.min(LONGEST_TTL).as_millis() as i64;
            let saves = i64::try_from(entry.saves).unwrap_or(i64::MAX);
            let done = self
                .timed(|client| async move {
                    let insert = client.prepare_cached(&self.0.statements.insert).await?;
                    let (namespace, digest) = place(partition);
                    let (text, recording) = (entry.text.as_bytes(), recording.as_ref());
                    let id = name(entry.id);
                    let inserted = client
                        .query_opt(
                            &insert,
                            &[&namespace, &digest, &id, &text, &vector, &recording, &ttl, &saves],
                        )
                        .await;
                    match inserted {
                        // Somebody else kept the same question at the same time: then it is there.
                        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(None),
                        other => other,
                    }
                })
                .await?;
            let replaced = done.map_or(1, |row| row.get::<_, i64>(0).unsigned_abs());
            self.0.entries.fetch_add(1, Ordering::Relaxed);
            self.count_down(replaced);
            if self.0.inserts.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
                self.sweep_behind();
            }
            Ok(())
        })
    }

    fn tighten<'a>(&'a self, partition: &'a Partition, id: EntryId, above: f32) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            if above.is_nan() {
                return Ok(());
            }
            self.timed(|client| async move {
                let tighten = client.prepare_cached(&self.0.statements.tighten).await?;
                let (namespace, digest) = place(partition);
                client.execute(&tighten, &[&namespace, &digest, &name(id), &above]).await
            })
            .await?;
            Ok(())
        })
    }

    fn remove<'a>(&'a self, partition: &'a Partition, id: EntryId) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let gone = self
                .timed(|client| async move {
                    let remove = client.prepare_cached(&self.0.statements.remove).await?;
                    let (namespace, digest) = place(partition);
                    client.execute(&remove, &[&namespace, &digest, &name(id)]).await
                })
                .await?;
            self.count_down(gone);
            Ok(())
        })
    }

    fn purge<'a>(&'a self, namespace: &'a Namespace) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            // An operator's order, not a caller's question: it may take its time.
            self.set_up_by(Instant::now() + BACKGROUND).await?;
            let purged = async {
                let client = self.0.pool.get().await.map_err(|error| Box::new(error) as BoxError)?;
                Ok::<_, BoxError>(
                    client.execute(&self.0.statements.purge, &[&namespace.as_str().as_bytes()]).await?,
                )
            };
            let purged =
                tokio::time::timeout(BACKGROUND, purged).await.map_err(|late| Box::new(late) as BoxError);
            let gone = purged.flatten().map_err(StoreError::Unreachable)?;
            self.count_down(gone);
            Ok(gone)
        })
    }

    fn stats(&self) -> StoreStats {
        StoreStats {
            entries: self.0.entries.load(Ordering::Relaxed),
            evictions: self.0.evictions.load(Ordering::Relaxed),
            ..StoreStats::default()
        }
    }
}

impl PostgresStore {
    /// A statement about one entry that nobody waits for.
    fn behind(&self, statement: String, partition: &Partition, id: EntryId) {
        let (store, partition) = (self.clone(), partition.clone());
        tokio::spawn(async move {
            let _ = store
                .timed(|client| async move {
                    let statement = client.prepare_cached(&statement).await?;
                    let (namespace, digest) = place(&partition);
                    client.execute(&statement, &[&namespace, &digest, &name(id)]).await
                })
                .await;
        });
    }
}

fn place(partition: &Partition) -> (&[u8], &[u8]) {
    (partition.namespace.as_str().as_bytes(), partition.digest.as_bytes())
}

fn name(id: EntryId) -> Vec<u8> {
    id.0.to_be_bytes().to_vec()
}

fn neighbour(row: &Row) -> Result<Neighbour, StoreError> {
    read(row).ok_or(StoreError::Damaged)
}

fn read(row: &Row) -> Option<Neighbour> {
    let id = row.try_get::<_, &[u8]>(0).ok()?.try_into().ok()?;
    let text = std::str::from_utf8(row.try_get(1).ok()?).ok()?;
    let score = row.try_get::<_, f64>(2).ok().filter(|score| score.is_finite())?;
    let age = Duration::from_millis(u64::try_from(row.try_get::<_, i64>(3).ok()?).unwrap_or(0));
    Some(Neighbour {
        id: EntryId(u128::from_be_bytes(id)),
        score: score as f32,
        text: text.into(),
        age,
        tightened: row.try_get(4).ok()?,
    })
}

/// Addresses hold passwords: only how full it is is shown.
impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

//! The store in PostgreSQL.

mod ask;
mod config;
mod connections;
mod reports;
mod statements;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, Pool};
use tokio::time::Instant;
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};

use self::ask::{Charges, Rows, Subjects};
pub use self::config::{InvalidPostgres, PostgresConfig};
use self::connections::Connections;
use self::statements::Statements;
use super::{
    AccountKey, Answer, Balance, BudgetStore, Draw, ENDED_KEPT, ExpiredHold, HoldId, Reservation, Reserved,
    Settled, Settlement, StoreError, Window,
};
use crate::usage::{RowsPage, RowsQuery, UsageQuery, UsageTotal};

/// Accounts in PostgreSQL (13 or later), shared by all who use the same tables.
///
/// Each operation is one call of a function and one round trip, after the first of each on a connection, which prepares it.
/// The rows of accounts are locked in the order of their names, so nobody waits in a circle. Leases run by the
/// server's clock: the clocks of the machines need not agree. Tables and functions that are not there are made when the server is first
/// reached, once, however many begin at the same time.
///
/// A clone shares the connections.
///
/// # Cancellation
/// A dropped operation may have happened; asking again is safe. Its connection is used again when it has answered, and closed
/// when it has not after 5 seconds.
///
/// # How it fails
/// It waits for at most 5 seconds; the guard that the budget puts around it waits for 50 ms. It never answers from anything
/// but the server. Connections are made in the background, so that a server far away is reached although the guard waits
/// for less.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    connections: Connections,
    config: PostgresConfig,
    statements: Statements,
    purged: Mutex<Option<Instant>>,
}

/// How many lost holds are told at once.
const LOST_AT_ONCE: i64 = 100;

/// How often it is looked for what nobody asks for any more.
const PURGED_EVERY: Duration = Duration::from_secs(60);

impl PostgresStore {
    /// A store at this address, without TLS. Nothing is connected yet: a server that is down when the process starts does
    /// no harm.
    ///
    /// # Errors
    /// When the settings are wrong.
    pub fn new(config: PostgresConfig) -> Result<Self, InvalidPostgres> {
        let parsed: tokio_postgres::Config =
            config.url.parse().map_err(|error| InvalidPostgres::Url(Box::new(error)))?;
        let pool = Pool::builder(Manager::new(parsed, NoTls))
            .max_size(config.connections.max(1))
            .post_create(Hook::async_fn(|client, _| {
                let set = client.batch_execute(statements::READ_COMMITTED);
                Box::pin(async move { set.await.map_err(HookError::Backend) })
            }))
            .build();
        Self::with_pool(pool.map_err(|error| InvalidPostgres::Url(Box::new(error)))?, config)
    }

    /// The same through connections that you make yourself, for instance with TLS. Their transactions must be `read committed`, as
    /// they are when neither database nor role says otherwise: the operations lock what they change and then look at it.
    ///
    /// # Errors
    /// When the settings are wrong.
    pub fn with_pool(pool: Pool, config: PostgresConfig) -> Result<Self, InvalidPostgres> {
        config.check()?;
        let statements = Statements::of(&config.tables);
        let connections = Connections::new(pool, statements::schema(&config.tables), statements.last.clone());
        Ok(Self(Arc::new(Inner { connections, config, statements, purged: Mutex::new(None) })))
    }

    async fn query(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        self.0.connections.query(statement, parameters).await
    }

    async fn one(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row, StoreError> {
        let row = self.query(statement, parameters).await?.into_iter().next();
        row.ok_or_else(|| ask::damaged("an answer without a row"))
    }

    async fn reserve_now(&self, ask: Reservation<'_>) -> Result<Reserved, StoreError> {
        let charges = Charges::of(ask.charges, ask.hold.made_ms());
        let row = Rows::of([ask.if_lost]);
        let subjects = ask::subjects(ask.if_lost);
        let (lock, hold, lease) = (ask::lock(ask.hold), ask::name(ask.hold), ask::millis(ask.lease));
        let Charges { accounts, slices, starts, rolls, forget, limits, takes, if_lost } = &charges;
        let answer = self
            .one(
                &self.0.statements.reserve,
                &[
                    &lock,
                    &&hold[..],
                    &lease,
                    accounts,
                    slices,
                    starts,
                    rolls,
                    forget,
                    limits,
                    takes,
                    if_lost,
                    &row.json[0],
                    &row.at[0],
                    &row.day[0],
                    &row.model[0],
                    &subjects,
                    &row.amounts,
                ],
            )
            .await?;
        ask::reserved(&answer)
    }

    async fn settle_now(&self, settlement: Settlement<'_>) -> Result<Settled, StoreError> {
        let charges = Charges::of(settlement.charges, settlement.hold.made_ms());
        let mut actual: Vec<i64> = settlement.actual.iter().map(|actual| ask::amount(*actual)).collect();
        actual.resize(settlement.charges.len(), 0);
        let draws: Vec<&Draw> = settlement.charges.iter().filter_map(|charge| charge.from.as_ref()).collect();
        let leases: Vec<[u8; 16]> = draws.iter().map(|draw| ask::name(draw.lease)).collect();
        let leases: Vec<&[u8]> = leases.iter().map(|lease| &lease[..]).collect();
        let left: Vec<i64> = draws.iter().map(|draw| ask::amount(draw.left)).collect();
        let of_leases = Rows::of(draws.iter().map(|draw| &draw.if_lost));
        let rows = Rows::of(settlement.rows);
        let mut subjects = Subjects::default();
        (1..).zip(settlement.rows).for_each(|(number, row)| subjects.add(number, row));
        (1..).zip(&draws).for_each(|(number, draw): (i32, _)| subjects.add(-number, &draw.if_lost));
        let (lock, hold, kept) =
            (ask::lock(settlement.hold), ask::name(settlement.hold), ask::millis(ENDED_KEPT));
        let Charges { accounts, slices, starts, rolls, forget, .. } = &charges;
        let answer = self
            .one(
                &self.0.statements.settle,
                &[
                    &lock,
                    &&hold[..],
                    &kept,
                    accounts,
                    slices,
                    starts,
                    rolls,
                    forget,
                    &actual,
                    &leases,
                    &left,
                    &of_leases.json,
                    &of_leases.at,
                    &of_leases.day,
                    &of_leases.model,
                    &of_leases.amounts,
                    &rows.json,
                    &rows.at,
                    &rows.day,
                    &rows.model,
                    &rows.amounts,
                    &subjects.of,
                    &subjects.subject,
                ],
            )
            .await?;
        ask::settled(&answer)
    }

    async fn expire_now(&self) -> Result<Vec<ExpiredHold>, StoreError> {
        let rows = self.query(&self.0.statements.expire, &[&LOST_AT_ONCE]).await?;
        self.purge_behind();
        // All of them are booked: one that cannot be told keeps none of the others from it.
        Ok(rows.iter().filter_map(ask::expired).collect())
    }

    /// Forgets what nobody asks for any more, once a minute, without anybody waiting for it.
    fn purge_behind(&self) {
        let now = Instant::now();
        {
            let mut purged = self.0.purged.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if purged.is_some_and(|purged| now - purged < PURGED_EVERY) {
                return;
            }
            *purged = Some(now);
        }
        let store = self.clone();
        tokio::spawn(async move {
            let days = |days: u32| i32::try_from(days).unwrap_or(i32::MAX);
            let (rows, totals) = (days(store.0.config.rows_days), days(store.0.config.totals_days));
            // What fails now is done next time.
            let _ = store.query(&store.0.statements.purge, &[&rows, &totals]).await;
        });
    }

    async fn balances_now(
        &self,
        accounts: &[(AccountKey, Window)],
        now_ms: u64,
    ) -> Result<Vec<Balance>, StoreError> {
        let mut charges = Charges::default();
        accounts.iter().for_each(|(account, window)| charges.add(account, window, now_ms));
        let rows = self
            .query(
                &self.0.statements.balances,
                &[&charges.accounts, &charges.slices, &charges.starts, &charges.rolls],
            )
            .await?;
        let balance = |row: &Row| Some(ask::balance(row.try_get(0).ok()?, row.try_get(1).ok()?));
        rows.iter().map(balance).collect::<Option<_>>().ok_or_else(|| ask::damaged("a balance"))
    }
}

impl BudgetStore for PostgresStore {
    fn reserve<'a>(&'a self, ask: Reservation<'a>) -> Answer<'a, Result<Reserved, StoreError>> {
        Answer::later(self.reserve_now(ask))
    }

    fn settle<'a>(&'a self, settlement: Settlement<'a>) -> Answer<'a, Result<Settled, StoreError>> {
        Answer::later(self.settle_now(settlement))
    }

    fn renew<'a>(
        &'a self,
        holds: &'a [HoldId],
        lease: Duration,
        _now_ms: u64,
    ) -> Answer<'a, Result<(), StoreError>> {
        Answer::later(async move {
            let holds: Vec<[u8; 16]> = holds.iter().map(|hold| ask::name(*hold)).collect();
            let holds: Vec<&[u8]> = holds.iter().map(|hold| &hold[..]).collect();
            self.query(&self.0.statements.renew, &[&holds, &ask::millis(lease)]).await?;
            Ok(())
        })
    }

    fn expire(&self, _now_ms: u64) -> Answer<'_, Result<Vec<ExpiredHold>, StoreError>> {
        Answer::later(self.expire_now())
    }

    fn balances<'a>(
        &'a self,
        accounts: &'a [(AccountKey, Window)],
        now_ms: u64,
    ) -> Answer<'a, Result<Vec<Balance>, StoreError>> {
        Answer::later(self.balances_now(accounts, now_ms))
    }

    fn usage<'a>(&'a self, query: &'a UsageQuery) -> Answer<'a, Result<Vec<UsageTotal>, StoreError>> {
        Answer::later(self.usage_now(query))
    }

    fn rows<'a>(&'a self, query: &'a RowsQuery) -> Answer<'a, Result<RowsPage, StoreError>> {
        Answer::later(self.page(query))
    }

    fn ping(&self) -> Answer<'_, Result<(), StoreError>> {
        Answer::later(async move {
            self.query("SELECT 1", &[]).await?;
            Ok(())
        })
    }
}

/// The address may have a password in it.
impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresStore").field(&self.0.config).finish()
    }
}

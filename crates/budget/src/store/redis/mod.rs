//! The store in Redis.

mod ask;
mod config;
mod connection;
mod names;
mod pack;
mod row;
mod rows;
mod scripts;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::{Client, Value};
use tokio::time::Instant;

pub use self::config::{InvalidRedis, RedisConfig};
use self::connection::Connection;
use self::names::Names;
use self::pack::Pack;
use super::{
    AccountKey, Answer, Balance, BudgetStore, ExpiredHold, HoldId, Reservation, Reserved, Settled,
    Settlement, StoreError, Window,
};
use crate::usage::{RowsPage, RowsQuery, UsageQuery, UsageTotal};

/// Accounts in Redis (6.2 or later) or in what speaks its protocol and runs its scripts, shared by several processes.
///
/// Each operation is one script and one round trip, so it is done as a whole or not at all. Leases run by the server's
/// clock: the clocks of the machines need not agree. Numbers are at most [`MOST`](super::MOST), up to which the
/// script's are exact.
///
/// A clone is another handle of the same connection, which is made when it is first needed and again when it broke.
///
/// # Cancellation
/// A dropped operation may have happened; asking again is safe.
///
/// # How it fails
/// It waits for at most 5 seconds; the guard that the budget puts around it waits for 50 ms. It never answers from
/// anything but the server. What Redis forgets, it forgets too: keep it from evicting (`maxmemory-policy noeviction`), and
/// have it write to disk (`appendonly yes`).
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    connection: Connection,
    config: RedisConfig,
    /// What scripts are told of them.
    settings: Pack,
    names: Names,
    /// How many rows were written since they were collected.
    written: AtomicUsize,
}

/// After so many rows they are put in the stream and the totals, if nobody has looked for lost holds or at rows meanwhile.
const COLLECTED_AFTER: usize = 256;

/// How many holds are renewed by one script.
const RENEWED_AT_ONCE: usize = 200;

/// How many rows or totals are read in one go.
const READ_AT_ONCE: usize = 1_000;

impl RedisStore {
    /// A store at this address. Nothing is connected yet: a server that is down when the process starts does no harm.
    ///
    /// # Errors
    /// When the address cannot be read, or the hash tag is none.
    pub fn new(config: RedisConfig) -> Result<Self, InvalidRedis> {
        let client = Client::open(config.url.as_str()).map_err(|error| InvalidRedis::Url(Box::new(error)))?;
        if !(1..=36_500).contains(&config.totals_days) {
            return Err(InvalidRedis::TotalsDays(config.totals_days));
        }
        Self::over(Connection::new(client), config)
    }

    /// The accounts under another hash tag, through the same connection: one for each organisation, for instance, so
    /// that those of one are together on a cluster and those of several are spread over it.
    ///
    /// # Errors
    /// When it is no hash tag.
    pub fn tagged(&self, tag: impl Into<String>) -> Result<Self, InvalidRedis> {
        Self::over(self.0.connection.clone(), self.0.config.clone().tag(tag))
    }

    fn over(connection: Connection, config: RedisConfig) -> Result<Self, InvalidRedis> {
        if config.tag.is_empty() || config.tag.contains(['{', '}']) {
            return Err(InvalidRedis::Tag(config.tag));
        }
        let (names, settings) = (Names::new(&config.tag), ask::settings(&config));
        Ok(Self(Arc::new(Inner { connection, config, settings, names, written: AtomicUsize::new(0) })))
    }
}

impl BudgetStore for RedisStore {
    fn reserve<'a>(&'a self, ask: Reservation<'a>) -> Answer<'a, Result<Reserved, StoreError>> {
        let Inner { connection, settings, names, .. } = &*self.0;
        Answer::later(async move {
            let open = connection.get().await?;
            let (script, command) = ask::reserve(&ask, names, settings, open.server_ms());
            ask::reserved(&connection.run_over(open, script, &command).await?)
        })
    }

    fn settle<'a>(&'a self, settlement: Settlement<'a>) -> Answer<'a, Result<Settled, StoreError>> {
        let Inner { connection, settings, names, .. } = &*self.0;
        Answer::later(async move {
            let (script, command) = ask::settle(&settlement, names, settings);
            let settled = ask::settled(&connection.run(script, &command).await?);
            self.collect_behind(settlement.rows.len());
            settled
        })
    }

    fn renew<'a>(
        &'a self,
        holds: &'a [HoldId],
        lease: Duration,
        _now_ms: u64,
    ) -> Answer<'a, Result<(), StoreError>> {
        let Inner { connection, names, .. } = &*self.0;
        Answer::later(async move {
            for holds in holds.chunks(RENEWED_AT_ONCE) {
                let command = ask::renew(holds, lease, names);
                connection.run::<i64>(&scripts::RENEW, &command).await?;
            }
            Ok(())
        })
    }

    fn expire(&self, _now_ms: u64) -> Answer<'_, Result<Vec<ExpiredHold>, StoreError>> {
        let Inner { connection, settings, names, .. } = &*self.0;
        Answer::later(async move {
            let (asked, command) = (Instant::now(), ask::expire(names, settings));
            let lost: Vec<Value> = connection.run(&scripts::EXPIRE, &command).await?;
            let (now, lost) = lost.split_first().ok_or_else(|| ask::damaged("the answer to a look"))?;
            connection.told(asked, ask::number(now).ok_or_else(|| ask::damaged("the time"))?);
            // All of them are booked: one that cannot be told keeps none of the others from it.
            Ok(lost.iter().filter_map(ask::expired).collect())
        })
    }

    fn balances<'a>(
        &'a self,
        accounts: &'a [(AccountKey, Window)],
        now_ms: u64,
    ) -> Answer<'a, Result<Vec<Balance>, StoreError>> {
        let Inner { connection, names, .. } = &*self.0;
        Answer::later(async move {
            let command = ask::balances_of(accounts, now_ms, names);
            let numbers: Vec<u64> = connection.run(&scripts::BALANCES, &command).await?;
            let balances = ask::balances(&numbers);
            if balances.len() == accounts.len() { Ok(balances) } else { Err(ask::damaged("balances")) }
        })
    }

    /// Puts the rows in the totals that are not there yet, then reads those day by day and piece by piece, which blocks nobody.
    fn usage<'a>(&'a self, query: &'a UsageQuery) -> Answer<'a, Result<Vec<UsageTotal>, StoreError>> {
        Answer::later(async move {
            self.collect().await?;
            let days: Vec<String> =
                self.0.connection.ask(redis::cmd("SMEMBERS").arg(&self.0.names.days)).await?;
            let mut totals = rows::Totals::default();
            for key in &days {
                let day = self.0.names.day_of(key).ok_or_else(|| ask::damaged("a day"))?;
                if (query.from_day..=query.to_day).contains(&day) {
                    for (field, value) in self.fields_of(key).await? {
                        let added = totals.add(query, day, &field, &value);
                        added.ok_or_else(|| ask::damaged("a total"))?;
                    }
                }
            }
            Ok(totals.into_vec())
        })
    }

    fn rows<'a>(&'a self, query: &'a RowsQuery) -> Answer<'a, Result<RowsPage, StoreError>> {
        Answer::later(self.page(query))
    }

    fn ping(&self) -> Answer<'_, Result<(), StoreError>> {
        Answer::later(async move {
            self.0.connection.ask::<String>(&redis::cmd("PING")).await?;
            Ok(())
        })
    }

    fn timed_out(&self) {
        self.0.connection.lose();
    }
}

impl RedisStore {
    /// Puts the rows that were written in the stream and the totals.
    async fn collect(&self) -> Result<(), StoreError> {
        let Inner { connection, settings, names, written, .. } = &*self.0;
        written.store(0, Ordering::Relaxed);
        let command = ask::collect(names, settings);
        loop {
            let asked = Instant::now();
            let (now, more): (u64, u64) = connection.run(&scripts::COLLECT, &command).await?;
            connection.told(asked, now);
            if more == 0 {
                return Ok(());
            }
        }
    }

    /// The same now and then, without anybody waiting for it.
    fn collect_behind(&self, rows: usize) {
        let before = self.0.written.fetch_add(rows, Ordering::Relaxed);
        if before < COLLECTED_AFTER && before + rows >= COLLECTED_AFTER {
            let store = self.clone();
            tokio::spawn(async move {
                // What fails now is done next time.
                let _ = store.collect().await;
            });
        }
    }

    /// Each field once, whatever the hash does while it is read.
    async fn fields_of(&self, key: &str) -> Result<HashMap<String, Vec<u8>>, StoreError> {
        let (mut fields, mut cursor) = (HashMap::new(), 0_u64);
        loop {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(key).arg(cursor).arg("COUNT").arg(READ_AT_ONCE);
            let (next, some): (u64, Vec<(String, Vec<u8>)>) = self.0.connection.ask(&scan).await?;
            fields.extend(some);
            if next == 0 {
                return Ok(fields);
            }
            cursor = next;
        }
    }

    /// Goes through the stream until the page is full and one more row is found, or none is left.
    async fn page(&self, query: &RowsQuery) -> Result<RowsPage, StoreError> {
        self.collect().await?;
        let mut page = RowsPage::default();
        let (mut after, mut last) = (query.after.clone(), None);
        loop {
            let mut range = redis::cmd("XRANGE");
            range.arg(&self.0.names.rows);
            match &after {
                Some(id) => range.arg(format!("({id}")),
                None => range.arg("-"),
            };
            let reply: Value = self.0.connection.ask(range.arg("+").arg("COUNT").arg(READ_AT_ONCE)).await?;
            let entries = rows::entries(&reply);
            for (id, row) in &entries {
                let row = row.clone().ok_or_else(|| ask::damaged("a usage row"))?;
                if !rows::is_asked_for(query, &row) {
                    continue;
                }
                if page.rows.len() == query.limit.max(1) {
                    page.next = last;
                    return Ok(page);
                }
                page.rows.push(row);
                last = Some((*id).to_owned());
            }
            match entries.last() {
                Some((id, _)) if entries.len() == READ_AT_ONCE => after = Some((*id).to_owned()),
                _ => return Ok(page),
            }
        }
    }
}

/// The address may have a password in it.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisStore").field(&self.0.config).finish()
    }
}

//! A real server that freezes or dies in the middle of everything, under each policy, through the whole layer (S1, S2, S3).
#![cfg(all(feature = "postgres", feature = "redis"))]
#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

mod common;
mod store_cases;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{call_of, meter, streaming};
use mainstay_budget::postgres::{PostgresConfig, PostgresStore};
use mainstay_budget::redis::{RedisConfig, RedisStore};
use mainstay_budget::{
    Budget, BudgetLayer, BudgetStore, Budgeted, Limit, LimitBook, Period, RowsQuery, UsageQuery,
    WhenStoreFails,
};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{Provider, Usage};
use mainstay_test_servers::Server;
use store_cases::all_rows;
use tokio::time::{Instant, sleep};
use tower::Layer;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// What a busy machine adds to a timer. Who waited for the server would wait for much longer; `guard.rs` has the 50 ms to the
/// millisecond, on a clock of its own.
const SLACK: Duration = Duration::from_millis(450);

/// What all of a call's time is: when it began, how long it took, whether it went through.
type Timed = (Instant, Duration, bool);

/// One process, and a handle of the store for the test alone.
struct Process {
    budgeted: Budgeted<Scripted>,
    budget: Budget,
    store: Arc<dyn BudgetStore>,
    calls: Arc<Mutex<Vec<Timed>>>,
    /// Between two calls of a caller.
    pause: Duration,
}

impl Process {
    async fn new((store, pause): Store, limit: u64, policy: WhenStoreFails) -> Self {
        store.ping().await.unwrap();
        let book = LimitBook::default();
        book.set_kind("user", [Limit::tokens(limit, Period::Forever).when_store_fails(policy)]).unwrap();
        let layer = BudgetLayer::builder_over(meter(), store.clone(), book).lease(Duration::from_secs(3));
        let layer = layer.build().unwrap();
        // 100 tokens, of which up to 124 are reserved.
        let answer = Step::stream([Piece::text("hi"), Piece::stop(), Piece::Usage(Usage::new(60, 40))]);
        let budgeted = layer.layer(Scripted::repeating(answer));
        Self { budgeted, budget: layer.budget().clone(), store, calls: Arc::default(), pause }
    }

    async fn ask(&self) -> bool {
        let begun = Instant::now();
        let asked = async {
            self.budgeted.ask(streaming(call_of(&["user:a"]))).await?.collect().await?;
            Ok::<_, mainstay_provider_core::Error>(())
        };
        let is_admitted = asked.await.is_ok();
        self.calls.lock().unwrap().push((begun, begun.elapsed(), is_admitted));
        is_admitted
    }

    /// Four callers, each with a call every few milliseconds, while `meanwhile` happens.
    async fn busy(self: &Arc<Self>, meanwhile: impl Future<Output = ()>) {
        let is_over = Arc::new(AtomicBool::new(false));
        let callers = (0..4).map(|_| {
            let (process, is_over) = (self.clone(), is_over.clone());
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    process.ask().await;
                    sleep(process.pause).await;
                }
            })
        });
        let callers: Vec<_> = callers.collect();
        meanwhile.await;
        is_over.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.await.unwrap();
        }
    }

    fn admitted(&self) -> u64 {
        self.calls.lock().unwrap().iter().filter(|(.., is_admitted)| *is_admitted).count() as u64
    }

    /// The calls that began in this time.
    fn between(&self, from: Instant, to: Instant) -> Vec<Timed> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(begun, ..)| (from..to).contains(begun)).copied().collect()
    }

    fn is_away(&self) -> bool {
        self.budget.stats().store.unwrap().is_away
    }

    /// Some calls have been made, and a share has been taken where the policy says so.
    async fn until_ready(&self, policy: WhenStoreFails) {
        sleep(MS(500)).await;
        let begun = Instant::now();
        while matches!(policy, WhenStoreFails::Lease { .. }) && self.budget.stats().store.unwrap().leases == 0
        {
            assert!(begun.elapsed() < Duration::from_secs(20), "no share: {:?}", self.budget.stats());
            sleep(MS(20)).await;
        }
    }

    /// Calls until the store is used again.
    async fn until_back(&self) {
        let begun = Instant::now();
        while self.is_away() || self.budget.stats().owed > 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", self.budget.stats());
            self.ask().await;
            sleep(MS(50)).await;
        }
    }

    /// M6: every call that went through is booked once, and nothing else; nothing is reserved.
    async fn assert_booked(&self) {
        self.budget.flush(Duration::from_secs(10)).await.unwrap();
        // What was reserved without anybody hearing of it is over with its lease.
        for _ in 0..100 {
            if self.stands().await.1 == 0 {
                break;
            }
            self.budget.maintain().await;
            sleep(MS(100)).await;
        }
        let spent = self.admitted() * 100;
        assert_eq!(self.stands().await, (spent, 0), "{:?}", self.budget.stats());
        let rows = all_rows(&*self.store).await;
        assert_eq!(rows.iter().map(|row| row.usage.total()).sum::<u64>(), spent);
        let totals = self.store.usage(&UsageQuery::default()).await.unwrap();
        assert_eq!(totals.iter().map(|total| total.usage.total()).sum::<u64>(), spent);
        assert!(self.store.rows(&RowsQuery::default()).await.is_ok());
    }

    async fn stands(&self) -> (u64, u64) {
        let account = mainstay_budget::AccountKey::new("user:a|tokens|forever");
        let balance = self.store.balances(&[(account, store_cases::FOREVER)], 0).await.unwrap()[0];
        (balance.spent, balance.reserved)
    }
}

const POLICIES: [WhenStoreFails; 3] =
    [WhenStoreFails::Closed, WhenStoreFails::Lease { share: 100 }, WhenStoreFails::Open];

/// A store, and how long each of four callers of one account waits between two calls: what the store does in its stride
/// on a small machine that has other work.
type Store = (Arc<dyn BudgetStore>, Duration);

fn redis_store(server: &Server, number: usize) -> Store {
    let config = RedisConfig::new(server.redis_url()).tag(format!("t{number}"));
    (Arc::new(RedisStore::new(config).unwrap()), MS(4))
}

fn postgres_store(server: &Server, number: usize) -> Store {
    let config = PostgresConfig::new(server.postgres_url()).tables(format!("t{number}"));
    (Arc::new(PostgresStore::new(config).unwrap()), MS(30))
}

/// These tests measure time: one after the other. nextest has a process for each, and the group `store-guard` for that.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// While the server was away, from a moment after it went: each call was short, and went through as its policy says.
fn assert_policy(process: &Process, policy: WhenStoreFails, gone: Instant, back: Instant) {
    let first = process.between(gone, gone + MS(300));
    assert!(first.iter().all(|(_, took, _)| *took <= MS(50) + SLACK), "{policy:?} {first:?}");
    let later = process.between(gone + MS(300), back - MS(100));
    let mut times: Vec<Duration> = later.iter().map(|(_, took, _)| *took).collect();
    times.sort();
    assert!(times.len() > 20, "{policy:?}: {}", times.len());
    assert!(times[times.len() / 2] < MS(20), "{policy:?}: {times:?}");
    let through = later.iter().filter(|(.., is_admitted)| *is_admitted).count();
    match policy {
        WhenStoreFails::Closed => assert_eq!(through, 0),
        WhenStoreFails::Open => assert_eq!(through, later.len()),
        _ => assert!((1..=later.len()).contains(&through), "{through} of {}", later.len()),
    }
}

/// Calls stumble over a damaged account.
async fn assert_is_not_away(process: &Process) {
    for _ in 0..10 {
        assert!(!process.ask().await, "nobody knows whether it has room");
    }
    let stats = process.budget.stats().store.unwrap();
    assert_eq!((stats.is_away, stats.outages, stats.failures), (false, 0, 0), "{stats:?}");
}

// S1: one damaged value is no outage: the store is there for everybody else.
#[tokio::test(flavor = "multi_thread")]
async fn redis_that_stumbles_over_one_damaged_account_is_not_away() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    let process = Process::new(redis_store(&server, 0), 10_000, WhenStoreFails::Closed).await;
    let damage = ["HSET", "{t0}:budget:3:state", "a|user:a|tokens|forever|0", "x"];
    mainstay_test_servers::redis_cli(server.port, &damage);
    assert_is_not_away(&process).await;
}

// S1
#[tokio::test(flavor = "multi_thread")]
async fn postgres_that_stumbles_over_one_damaged_account_is_not_away() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    let process = Process::new(postgres_store(&server, 0), 10_000, WhenStoreFails::Closed).await;
    assert!(process.ask().await);
    process.budget.flush(Duration::from_secs(10)).await.unwrap();
    let (client, connection) =
        tokio_postgres::connect(&server.postgres_url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    // More than any number here can be: it cannot be added to.
    client.execute("UPDATE t0_accounts SET spent = 9223372036854775807", &[]).await.unwrap();
    assert_is_not_away(&process).await;
}

async fn frozen_under_each_policy(server: &Server, store: fn(&Server, usize) -> Store) {
    let _alone = ALONE.lock().await;
    for (number, policy) in POLICIES.into_iter().enumerate() {
        let process = Arc::new(Process::new(store(server, number), 10_000_000, policy).await);
        let mut times = None;
        process
            .busy(async {
                process.until_ready(policy).await;
                server.freeze();
                let gone = Instant::now();
                sleep(MS(1_500)).await;
                times = Some((gone, Instant::now()));
                server.thaw();
                process.until_back().await;
            })
            .await;
        let (gone, back) = times.unwrap();
        assert_policy(&process, policy, gone, back);
        process.assert_booked().await;
    }
}

// S1, S2, S3
#[tokio::test(flavor = "multi_thread")]
async fn redis_frozen_in_the_middle_of_calls_costs_50_ms_and_each_policy_holds() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    frozen_under_each_policy(&server, redis_store).await;
}

// S1, S2, S3
#[tokio::test(flavor = "multi_thread")]
async fn postgres_frozen_in_the_middle_of_calls_costs_50_ms_and_each_policy_holds() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    frozen_under_each_policy(&server, postgres_store).await;
}

async fn killed_under_each_policy(server: &mut Server, store: fn(&Server, usize) -> Store) {
    let _alone = ALONE.lock().await;
    for (number, policy) in POLICIES.into_iter().enumerate() {
        let process = Arc::new(Process::new(store(server, number), 10_000_000, policy).await);
        let mut times = None;
        process
            .busy(async {
                process.until_ready(policy).await;
                let gone = Instant::now();
                server.kill();
                sleep(MS(1_500)).await;
                times = Some((gone, Instant::now()));
                server.start_again().await;
                process.until_back().await;
            })
            .await;
        let (gone, back) = times.unwrap();
        assert_policy(&process, policy, gone, back);
        process.assert_booked().await;
    }
}

// S1, S2, S3
#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_in_the_middle_of_calls_and_begun_again_loses_no_booking_and_each_policy_holds() {
    let disk = ["--appendonly", "yes", "--appendfsync", "always"];
    let port = mainstay_test_servers::free_port();
    let Some(mut server) = mainstay_test_servers::redis_at(port, &disk).await else { return };
    killed_under_each_policy(&mut server, redis_store).await;
}

// S1, S2, S3
#[tokio::test(flavor = "multi_thread")]
async fn postgres_killed_in_the_middle_of_calls_and_begun_again_loses_no_booking_and_each_policy_holds() {
    let Some(mut server) = mainstay_test_servers::postgres().await else { return };
    killed_under_each_policy(&mut server, postgres_store).await;
}

// S1: whatever the store does, what has a hard limit stays within it.
#[tokio::test(flavor = "multi_thread")]
async fn four_processes_never_pass_the_limit_whatever_redis_does() {
    let _alone = ALONE.lock().await;
    for policy in [WhenStoreFails::Closed, WhenStoreFails::Lease { share: 200 }] {
        let disk = ["--appendonly", "yes", "--appendfsync", "always"];
        let Some(mut server) =
            mainstay_test_servers::redis_at(mainstay_test_servers::free_port(), &disk).await
        else {
            return;
        };
        let mut processes = Vec::new();
        for _ in 0..4 {
            processes.push(Arc::new(Process::new(redis_store(&server, 0), 100_000, policy).await));
        }
        let [a, b, c, d] = &processes[..] else { unreachable!() };
        let faults = async {
            for _ in 0..2 {
                sleep(MS(1_200)).await;
                server.freeze();
                sleep(MS(400)).await;
                server.thaw();
                sleep(MS(1_500)).await;
                server.restart(MS(300)).await;
            }
            sleep(MS(1_000)).await;
        };
        let never = || std::future::pending::<()>();
        let all = async {
            tokio::select! {
                () = a.busy(faults) => {}
                () = b.busy(never()) => {}
                () = c.busy(never()) => {}
                () = d.busy(never()) => {}
            }
        };
        all.await;
        let admitted: u64 = processes.iter().map(|process| process.admitted()).sum();
        assert!(admitted <= 1_000, "{policy:?}: {admitted} calls of 100 tokens on 100,000");
        assert!(admitted > 100, "{policy:?}: {admitted}");
    }
}

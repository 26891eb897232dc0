//! Several processes on one budget, on real servers: this program starts itself again for each.
#![cfg(all(feature = "postgres", feature = "redis"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a helper of tests is a test")]
#![allow(clippy::disallowed_methods, reason = "a child is told by its environment what to do")]

mod store_cases;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mainstay_budget::postgres::{PostgresConfig, PostgresStore};
use mainstay_budget::redis::{RedisConfig, RedisStore};
use mainstay_budget::{Balance, BudgetStore, HoldId, Reserved};
use store_cases::{LEASE, assert_books_agree, balance, charge, expire, hold, is_granted, reserve, settle};

const CHILD: &str = "MAINSTAY_BUDGET_CHILD";

fn open(url: &str) -> Arc<dyn BudgetStore> {
    if url.starts_with("redis") {
        Arc::new(RedisStore::new(RedisConfig::new(url)).unwrap())
    } else {
        Arc::new(PostgresStore::new(PostgresConfig::new(url).connections(4)).unwrap())
    }
}

/// This program again, doing what one of the functions below says.
fn start(task: &str, url: &str) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["a_child_does_what_it_is_told", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{task} {url}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    (child, said)
}

/// What a child said after `key: `.
fn told(said: &mut BufReader<ChildStdout>, key: &str) -> String {
    let mut line = String::new();
    while said.read_line(&mut line).unwrap() > 0 {
        // The harness has begun the line with the name of the test.
        if let Some((_, value)) = line.trim_end().split_once(&format!("{key}: ")) {
            return value.to_owned();
        }
        line.clear();
    }
    panic!("the child ended and did not say {key}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_does_what_it_is_told() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (task, url) = told.split_once(' ').unwrap();
    let store = open(url);
    match task {
        "race" => println!("admitted: {}", race(store).await),
        "hang" => hang(store).await,
        _ => churn(store).await,
    }
}

/// 250 calls of one token, 25 at a time.
async fn race(store: Arc<dyn BudgetStore>) -> usize {
    let callers = (0..25).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut admitted = 0;
            for _ in 0..10 {
                let (hold, charges) = (hold(), [charge("race", 500, 1), charge("all", 1_000_000, 1)]);
                let reserved = reserve(&*store, hold, LEASE, &charges).await.unwrap();
                if is_granted(&reserved) {
                    admitted += 1;
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(..3))).await;
                    settle(&*store, hold, &charges, 1).await.unwrap();
                }
            }
            admitted
        })
    });
    let mut admitted = 0;
    for caller in callers.collect::<Vec<_>>() {
        admitted += caller.await.unwrap();
    }
    admitted
}

/// Reserves, and does not come back.
async fn hang(store: Arc<dyn BudgetStore>) {
    for _ in 0..20 {
        let charges = [charge("hang", 1_000, 10), charge("all", 1_000, 10)];
        let reserved = reserve(&*store, hold(), Duration::from_secs(4), &charges).await.unwrap();
        assert!(is_granted(&reserved));
    }
    println!("reserved: 20");
    tokio::time::sleep(Duration::from_secs(600)).await;
}

/// Calls that succeed, fail, are cancelled or repeated, until it is killed.
async fn churn(store: Arc<dyn BudgetStore>) {
    for _ in 0..8 {
        let store = store.clone();
        tokio::spawn(async move {
            loop {
                let (hold, take) = (hold(), fastrand::u64(1..20));
                let name = ["a", "b", "c"][fastrand::usize(..3)];
                let charges = [charge(name, 2_000, take), charge("all", 5_000, take)];
                let lease = Duration::from_millis(fastrand::u64(1..400));
                let Ok(Reserved::Granted(_)) = reserve(&*store, hold, lease, &charges).await else {
                    continue;
                };
                match fastrand::u32(..10) {
                    0 => {} // Never settled.
                    1 => {
                        let _ = store.renew(&[hold], lease, 0).await;
                    }
                    2 => {
                        tokio::time::sleep(lease).await;
                        let _ = settle(&*store, hold, &charges, take / 2).await;
                    }
                    3 => {
                        for _ in 0..2 {
                            let _ = settle(&*store, hold, &charges, take).await;
                        }
                    }
                    4 => {
                        let _ = store.expire(0).await;
                        let _ = settle(&*store, hold, &charges, 0).await;
                    }
                    _ => {
                        let _ = settle(&*store, hold, &charges, fastrand::u64(..=take)).await;
                    }
                }
            }
        });
    }
    println!("churning: yes");
    tokio::time::sleep(Duration::from_secs(600)).await;
}

async fn admit_exactly_500(url: String) {
    let mut children: Vec<_> = (0..4).map(|_| start("race", &url)).collect();
    let admitted = children.iter_mut().map(|(_, said)| told(said, "admitted").parse::<u32>().unwrap());
    let admitted: Vec<u32> = admitted.collect();
    for (child, _) in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(admitted.iter().sum::<u32>(), 500, "{admitted:?}");
    let store = open(&url);
    assert_eq!(balance(&*store, "race").await, Balance { spent: 500, reserved: 0 });
    assert_books_agree(&*store, &["race", "all"]).await;
}

// M2, S6.1
#[tokio::test(flavor = "multi_thread")]
async fn four_processes_on_redis_admit_exactly_500_of_1000_calls() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    admit_exactly_500(server.redis_url()).await;
}

// M2, S6.1
#[tokio::test(flavor = "multi_thread")]
async fn four_processes_on_postgres_admit_exactly_500_of_1000_calls() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    admit_exactly_500(server.postgres_url()).await;
}

async fn leave_no_hold(url: String) {
    let (mut child, mut said) = start("hang", &url);
    told(&mut said, "reserved");
    child.kill().unwrap();
    child.wait().unwrap();
    let store = open(&url);
    assert_eq!(balance(&*store, "hang").await, Balance { spent: 0, reserved: 200 });
    let lost = expire(&*store, 20).await;
    let holds: std::collections::HashSet<HoldId> = lost.iter().map(|lost| lost.hold).collect();
    assert_eq!((lost.len(), holds.len()), (20, 20));
    assert_eq!(balance(&*store, "hang").await, Balance { spent: 200, reserved: 0 });
    assert_books_agree(&*store, &["hang", "all"]).await;
    assert_eq!(store.expire(0).await.unwrap(), []);
}

// M4
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_no_hold_on_redis_after_its_lease() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    leave_no_hold(server.redis_url()).await;
}

// M4
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_no_hold_on_postgres_after_its_lease() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    leave_no_hold(server.postgres_url()).await;
}

/// Waits until nothing is reserved any more.
async fn all_leases_over(store: &dyn BudgetStore) {
    for _ in 0..200 {
        while !store.expire(0).await.unwrap().is_empty() {}
        if balance(store, "all").await.reserved == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:?}", balance(store, "all").await);
}

async fn keep_their_books(url: String) {
    let names = ["a", "b", "c", "all"];
    let store = open(&url);
    for round in 0..5 {
        let mut children: Vec<_> = (0..3).map(|_| start("churn", &url)).collect();
        children.iter_mut().for_each(|(_, said)| drop(told(said, "churning")));
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(10..40))).await;
            // The limit holds at every moment: a settlement books at most what was reserved.
            for (name, limit) in names.iter().zip([2_000, 2_000, 2_000, 5_000]) {
                let balance = balance(&*store, name).await;
                assert!(balance.total() <= limit, "round {round}: {name} {balance:?}");
            }
        }
        for (child, _) in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        all_leases_over(&*store).await;
        assert_books_agree(&*store, &names).await;
    }
    assert!(balance(&*store, "all").await.spent > 0);
}

// M4, M6
#[tokio::test(flavor = "multi_thread")]
async fn books_on_redis_agree_after_processes_were_killed_at_any_moment() {
    let Some(server) = mainstay_test_servers::redis().await else { return };
    keep_their_books(server.redis_url()).await;
}

// M4, M6
#[tokio::test(flavor = "multi_thread")]
async fn books_on_postgres_agree_after_processes_were_killed_at_any_moment() {
    let Some(server) = mainstay_test_servers::postgres().await else { return };
    keep_their_books(server.postgres_url()).await;
}

//! The store in a file: what every store keeps, and what is left after a crash.
#![cfg(feature = "journal")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mainstay_budget::{
    AccountKey, Balance, BudgetStore, Charge, Durability, HoldId, JournalConfig, JournalStore, Reservation,
    Reserved, RowStatus, RowsQuery, Settled, Settlement, StoreError, UsageQuery, UsageRow, Window, contract,
};
use mainstay_metering::NanoUsd;
use mainstay_provider_core::{Subject, Usage};
use tempfile::TempDir;

const LIMIT: u64 = 20_000;
const FOREVER: Window = Window { start_ms: 0, end_ms: None, slice_ms: None };
const NOW: u64 = 1_795_262_400_000;

fn open(folder: &Path) -> JournalStore {
    JournalStore::open(JournalConfig::new(folder)).unwrap()
}

fn charges(take: u64) -> [Charge; 2] {
    ["user:a", "org:x"].map(|subject| {
        Charge::new(AccountKey::new(format!("{subject}|tokens|forever")), FOREVER, LIMIT, take)
    })
}

fn row(hold: HoldId, tokens: u64, status: RowStatus) -> Arc<UsageRow> {
    let mut row = UsageRow::new(hold, hold.made_ms());
    row.subjects = ["user:a", "org:x"].iter().filter_map(|name| Subject::parse(name)).collect();
    (row.provider, row.model) = ("openai".into(), "gpt-4o".into());
    (row.usage, row.cost, row.requests, row.status) =
        (Usage::new(tokens, 0), NanoUsd::from_nanos(tokens), 1, status);
    Arc::new(row)
}

async fn reserve(store: &JournalStore, hold: HoldId, take: u64) -> Reserved {
    let (charges, if_lost) = (charges(take), row(hold, take, RowStatus::Lost));
    let lease = Duration::from_secs(60);
    store
        .reserve(Reservation { hold, lease, charges: &charges, if_lost: &if_lost, now_ms: NOW })
        .await
        .unwrap()
}

async fn settle(store: &JournalStore, hold: HoldId, take: u64, actual: u64) -> Settled {
    let (charges, rows) = (charges(take), [row(hold, actual, RowStatus::Settled)]);
    let actual = [actual; 2];
    store
        .settle(Settlement { hold, charges: &charges, actual: &actual, rows: &rows, now_ms: NOW })
        .await
        .unwrap()
}

fn hold() -> HoldId {
    HoldId::new(NOW, fastrand::u128(..))
}

async fn balance(store: &JournalStore) -> Balance {
    let asked = charges(0).map(|charge| (charge.account, FOREVER));
    let balances = store.balances(&asked, NOW).await.unwrap();
    assert_eq!(balances[0], balances[1], "both accounts of each call change together");
    balances[0]
}

async fn rows(store: &JournalStore) -> Vec<Arc<UsageRow>> {
    store.rows(&RowsQuery { limit: usize::MAX, ..RowsQuery::default() }).await.unwrap().rows
}

/// M6: rows, totals and counters say the same, and nothing is held.
async fn assert_sound(store: &JournalStore) -> u64 {
    let Balance { spent, reserved } = balance(store).await;
    let in_rows: u64 = rows(store).await.iter().map(|row| row.usage.total()).sum();
    let totals = store.usage(&UsageQuery::default()).await.unwrap();
    let in_totals: u64 = totals.iter().map(|total| total.usage.total()).sum();
    assert_eq!((in_rows, in_totals, reserved), (spent, spent, 0));
    assert!(spent <= LIMIT);
    spent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_journal_is_a_store() {
    for durability in [Durability::Batch(Duration::from_millis(100)), Durability::Each] {
        let folder = TempDir::new().unwrap();
        let make = async || {
            let own = folder.path().join(fastrand::u64(..).to_string());
            JournalStore::open(JournalConfig::new(own).durability(durability)).unwrap()
        };
        contract::store().run(make).await.assert_kept();
    }
}

// M4
#[tokio::test]
async fn after_a_crash_all_is_there_and_what_was_open_is_booked_at_its_estimate_once() {
    let folder = TempDir::new().unwrap();
    let (done, under_way, given_back) = (hold(), hold(), hold());
    {
        let store = open(folder.path());
        for (hold, take) in [(done, 100), (under_way, 70), (given_back, 30)] {
            assert!(matches!(reserve(&store, hold, take).await, Reserved::Granted(_)));
        }
        settle(&store, done, 100, 40).await;
        settle(&store, given_back, 30, 0).await;
    }
    for time in 0..3 {
        let store = open(folder.path());
        let lost: Vec<_> = store.recovered().iter().map(|lost| lost.hold).collect();
        assert_eq!(lost, if time == 0 { vec![under_way] } else { vec![] }, "time {time}");
        assert_eq!(assert_sound(&store).await, 110);
        assert_eq!(reserve(&store, under_way, 70).await, Reserved::Ended);
        assert_eq!(settle(&store, done, 100, 40).await, Settled::Again);
        let lost = rows(&store).await.iter().filter(|row| row.status == RowStatus::Lost).count();
        assert_eq!(lost, 1);
    }
}

#[tokio::test]
async fn a_record_torn_off_at_the_end_is_left_out_wherever_it_is_torn() {
    let folder = TempDir::new().unwrap();
    let (first, second) = (hold(), hold());
    {
        let store = open(folder.path());
        reserve(&store, first, 100).await;
        settle(&store, first, 100, 40).await;
        reserve(&store, second, 70).await;
    }
    let journal = newest(folder.path(), "journal");
    let whole = fs::read(&journal).unwrap();
    for length in (0..=whole.len()).rev().step_by(3) {
        let copy = TempDir::new().unwrap();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        let torn = copy.path().join(journal.file_name().unwrap());
        OpenOptions::new().write(true).open(&torn).unwrap().set_len(length as u64).unwrap();
        let store = open(copy.path());
        let spent = assert_sound(&store).await;
        assert!([110, 40, 100, 0].contains(&spent), "torn at {length}: {spent}");
        if length == whole.len() {
            assert_eq!(spent, 110);
        }
    }
}

fn newest(folder: &Path, kind: &str) -> PathBuf {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.extension().is_some_and(|extension| extension == kind)).max().unwrap()
}

#[tokio::test]
async fn damage_that_is_no_torn_end_of_a_journal_is_told_and_nothing_is_guessed() {
    let folder = TempDir::new().unwrap();
    {
        let store = open(folder.path());
        let one = hold();
        reserve(&store, one, 100).await;
        settle(&store, one, 100, 40).await;
    }
    drop(open(folder.path()));
    let snapshot = newest(folder.path(), "snapshot");
    let mut bytes = fs::read(&snapshot).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&snapshot, bytes).unwrap();
    let error = JournalStore::open(JournalConfig::new(folder.path())).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let error = JournalStore::open(JournalConfig::new(folder.path())).unwrap_err();
    assert!(format!("{:?}", std::error::Error::source(&error)).contains("another process"));
    drop(store);
    open(folder.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_journal_is_written_anew_while_calls_go_on() {
    let folder = TempDir::new().unwrap();
    let small = || JournalConfig::new(folder.path()).compact_at(20_000).keep(6_400, 10);
    let tasks: Vec<_> = {
        let store = Arc::new(
            JournalStore::open(small().durability(Durability::Batch(Duration::from_millis(1)))).unwrap(),
        );
        (0..4)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    for _ in 0..500 {
                        let hold = hold();
                        assert!(matches!(reserve(&store, hold, 5).await, Reserved::Granted(_)));
                        assert!(matches!(settle(&store, hold, 5, 3).await, Settled::Now(_)));
                    }
                })
            })
            .collect()
    };
    for task in tasks {
        task.await.unwrap();
    }
    let files = fs::read_dir(folder.path()).unwrap().count();
    assert!(files <= 5, "{files} files");
    let generation: u64 =
        newest(folder.path(), "snapshot").file_stem().unwrap().to_str().unwrap().parse().unwrap();
    assert!(generation > 2, "{generation}");
    let store = JournalStore::open(small()).unwrap();
    assert_eq!(assert_sound(&store).await, 6_000);
    assert_eq!(rows(&store).await.len(), 2_000);
}

/// The folder that a child process works in, when this test is one.
const CHILD: &str = "MAINSTAY_BUDGET_JOURNAL_CHILD";

/// Works until it is killed; says what it was told was done.
#[test]
#[ignore = "the body of the child processes of the test below"]
#[allow(clippy::disallowed_methods, reason = "how the parent tells the child its folder")]
fn child() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = JournalStore::open(JournalConfig::new(folder).compact_at(50_000)).unwrap();
        println!("open {}", balance(&store).await.spent);
        loop {
            let (hold, take) = (hold(), fastrand::u64(1..20));
            if let Reserved::Granted(_) = reserve(&store, hold, take).await {
                println!("reserved {hold} {take}");
                if fastrand::u32(0..10) > 0 {
                    let actual = fastrand::u64(0..=take);
                    settle(&store, hold, take, actual).await;
                    println!("settled {hold} {actual}");
                }
            } else {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
}

// M4, M6, G3: SIGKILL loses nothing that anybody was told.
#[tokio::test]
async fn a_process_killed_at_any_moment_has_lost_nothing_that_it_was_told_and_books_nothing_twice() {
    let folder = TempDir::new().unwrap();
    let mut spent_before = 0;
    for round in 0..25 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let killer = std::thread::spawn(move || {
            let (_never, wait) = std::sync::mpsc::channel::<()>();
            let _time = wait.recv_timeout(Duration::from_millis(40 + fastrand::u64(0..60)));
            child.kill().unwrap();
            child.wait().unwrap();
        });
        let told: Vec<String> = out.lines().map_while(Result::ok).collect();
        killer.join().unwrap();
        let settled = told.iter().filter_map(|line| line.strip_prefix("settled "));
        let store = open(folder.path());
        let spent = assert_sound(&store).await;
        let rows = rows(&store).await;
        let mut told_spent = 0;
        for line in settled {
            let Some((hold, actual)) = line.split_once(' ') else { continue };
            let (Some(hold), Ok(actual)) = (HoldId::parse(hold), actual.parse::<u64>()) else { continue };
            let of_hold: Vec<_> = rows.iter().filter(|row| row.hold == hold).collect();
            assert_eq!(of_hold.len(), 1, "round {round}");
            assert_eq!((of_hold[0].usage.total(), of_hold[0].status), (actual, RowStatus::Settled));
            told_spent += actual;
        }
        assert!(spent >= spent_before + told_spent, "round {round}");
        spent_before = spent;
    }
    assert!(spent_before > 0, "some rounds came to do something before they were killed");
}

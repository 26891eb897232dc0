//! The store in a file: what every store keeps, and what is left after a crash.
#![cfg(feature = "journal")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "common/journal.rs"]
mod journal;

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use journal::{NOW, assert_sound, hold, open, reserve, rows, settle};
use mainstay_budget::{
    BudgetLayer, BudgetStore as _, Durability, JournalConfig, JournalStore, LimitBook, Reserved, RowStatus,
    Settled, StoreError, contract,
};
use mainstay_metering::Meter;
use mainstay_provider_core::{Event, Events, Severity};
use tempfile::TempDir;

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

// M4: a lost hold is settled late, once, whatever happened to the journal meanwhile.
#[tokio::test]
async fn a_lost_hold_can_be_settled_late_after_the_journal_was_written_anew() {
    const HOUR_MS: u64 = 3_600_000;
    let folder = TempDir::new().unwrap();
    let holds: Vec<_> = (0..20).map(|_| hold()).collect();
    {
        let store = open(folder.path());
        for hold in &holds {
            reserve(&store, *hold, 100).await;
        }
        assert_eq!(store.expire(NOW + HOUR_MS).await.unwrap().len(), 20);
        assert_eq!(assert_sound(&store).await, 2_000);
    }
    // Opening writes all anew.
    for round in 0..2 {
        let store = open(folder.path());
        assert_eq!(store.recovered(), []);
        for hold in &holds[..10] {
            let settled = settle(&store, *hold, 100, 40).await;
            assert!(matches!((&settled, round), (Settled::Late(_), 0) | (Settled::Again, 1)), "{settled:?}");
        }
        assert_eq!(reserve(&store, holds[10], 100).await, Reserved::Ended);
        assert_eq!(assert_sound(&store).await, 10 * 40 + 10 * 100);
    }
    let is_remembered =
        || fs::read(newest(folder.path(), "snapshot")).unwrap().windows(8).any(|at| at == b"LostHold");
    assert!(is_remembered());
    let store = JournalStore::open(JournalConfig::new(folder.path()).compact_at(1)).unwrap();
    store.expire(NOW + 72 * HOUR_MS).await.unwrap();
    for _ in 0..1_000 {
        if !is_remembered() {
            break;
        }
        let one = hold();
        reserve(&store, one, 1).await;
        settle(&store, one, 1, 0).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!is_remembered(), "not for ever");
    assert_eq!(assert_sound(&store).await, 10 * 40 + 10 * 100);
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
        assert_eq!(told(store), [], "that is what a crash leaves");
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

/// What a budget over this store tells.
fn told(store: JournalStore) -> Vec<Event> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let events = heard.clone();
    let builder = BudgetLayer::builder(Meter::builder().build(), store, LimitBook::default());
    builder.events(Events::to(move |event| events.lock().unwrap().push(event))).build().unwrap();
    heard.lock().unwrap().clone()
}

// M4: no crash of a process leaves that, so somebody must hear of it; and what is booked does not become less.
#[tokio::test]
async fn damage_in_the_middle_of_a_journal_is_told_and_costs_no_more_than_the_record_that_it_hit() {
    let folder = TempDir::new().unwrap();
    {
        let store = open(folder.path());
        for _ in 0..20 {
            let one = hold();
            reserve(&store, one, 100).await;
            settle(&store, one, 100, 40).await;
        }
    }
    let journal = newest(folder.path(), "journal");
    let whole = fs::read(&journal).unwrap();
    for place in [0, 8, 12, 13, 30, whole.len() / 3, whole.len() / 2] {
        let copy = TempDir::new().unwrap();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        fs::write(copy.path().join(journal.file_name().unwrap()), &bytes).unwrap();
        let store = open(copy.path());
        let spent = assert_sound(&store).await;
        // Of one call either the reservation is missing or the settlement, which its estimate stands for.
        assert!([800, 860].contains(&spent), "{place}: {spent}");
        let told = told(store);
        assert_eq!(told.len(), 1, "{place}");
        assert_eq!((told[0].name, told[0].severity), ("budget.journal_damaged", Severity::Alert));
        let of = |name| told[0].attributes.iter().find(|(one, _)| *one == name).unwrap().1.to_string();
        assert_eq!(fs::read(of("file")).unwrap(), bytes, "it is kept as it was");
        let left_out: usize = of("bytes_left_out").parse().unwrap();
        assert!((8..whole.len() / 10).contains(&left_out), "{place}: {left_out}");
        let again = open(copy.path());
        assert_eq!(assert_sound(&again).await, spent);
        assert_eq!(self::told(again), [], "once");
    }
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

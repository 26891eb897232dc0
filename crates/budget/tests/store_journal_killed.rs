//! A process with a store in a file is killed at any moment. By itself: what starts processes holds the files of its
//! neighbours open for a moment.
#![cfg(feature = "journal")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "common/journal.rs"]
mod journal;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use journal::{assert_sound, balance, hold, open, reserve, rows, settle};
use mainstay_budget::{HoldId, JournalConfig, JournalStore, Reserved, RowStatus};
use tempfile::TempDir;

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

//! The log on disk: what is there after a restart, and after an accident.
#![cfg(all(feature = "log", feature = "test-kit"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a helper of tests is a test")]

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use mainstay_cache_semantic::SemanticStore;
use mainstay_cache_semantic::store::contract::{entry, partition, vector};
use mainstay_cache_semantic::store::{EntryId, LogConfig, LogStore, MemoryConfig, MemoryStore, OpenError};
use mainstay_provider_core::Namespace;

const EMBEDDER: &str = "all-MiniLM-L6-v2 384 f32";

fn open(path: &Path) -> LogStore {
    LogStore::open(LogConfig::new(path, EMBEDDER), MemoryStore::default()).unwrap()
}

async fn filled(path: &Path, entries: u128) -> LogStore {
    let store = open(path);
    for id in 0..entries {
        store.insert(&partition("a", "x"), entry(id, &format!("q{id}"), vector(id as f32))).await.unwrap();
    }
    store.flush().await.unwrap();
    store
}

async fn known(store: &LogStore, entries: u128) -> Vec<u128> {
    let mut known = Vec::new();
    for id in 0..entries {
        if let Some(there) = store.by_text(&partition("a", "x"), &format!("q{id}")).await.unwrap() {
            assert_eq!(there.id.0, id);
            let answer = store.fetch(&partition("a", "x"), there.id).await.unwrap().unwrap();
            assert_eq!(answer.whole().text(), format!("the answer to q{id}"));
            known.push(id);
        }
    }
    known
}

#[tokio::test]
async fn after_a_restart_all_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let here = partition("a", "x");
    let store = filled(&path, 5).await;
    store.insert(&here, entry(90, "q1", vector(1.0))).await.unwrap();
    store.insert(&here, entry(1, "q1", vector(1.0))).await.unwrap();
    store.insert(&partition("b", "x"), entry(7, "other", vector(1.0))).await.unwrap();
    store.tighten(&here, EntryId(3), 0.97).await.unwrap();
    store.remove(&here, EntryId(2)).await.unwrap();
    store.close().await.unwrap();

    let store = open(&path);
    assert_eq!(store.log_stats().restored, 5);
    assert_eq!(known(&store, 5).await, [0, 1, 3, 4]);
    assert_eq!(store.by_text(&here, "q3").await.unwrap().unwrap().tightened, Some(0.97));
    let near = store.nearest(&here, &vector(4.0), 2).await.unwrap();
    assert_eq!(near.iter().map(|near| near.id.0).collect::<Vec<_>>(), [4, 3]);
    assert_eq!(store.purge(&Namespace::new("b")).await.unwrap(), 1);
}

#[tokio::test]
async fn entries_grow_older_while_nobody_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let seconds = Arc::new(AtomicU64::new(1_800_000_000));
    let config = || {
        let seconds = seconds.clone();
        LogConfig::new(&path, EMBEDDER)
            .clock(move || UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::Relaxed)))
    };
    let store = LogStore::open(config(), MemoryStore::default()).unwrap();
    store.insert(&partition("a", "x"), entry(0, "q0", vector(0.0))).await.unwrap();
    store.close().await.unwrap();

    seconds.fetch_add(3000, Ordering::Relaxed);
    let store = LogStore::open(config(), MemoryStore::default()).unwrap();
    let age = store.by_text(&partition("a", "x"), "q0").await.unwrap().unwrap().age;
    assert!((3000..3010).contains(&age.as_secs()), "{age:?}");
    store.close().await.unwrap();

    seconds.fetch_add(600, Ordering::Relaxed);
    let store = LogStore::open(config(), MemoryStore::default()).unwrap();
    assert_eq!(store.stats().entries, 0, "its hour is over");
}

#[tokio::test]
async fn a_torn_end_is_cut_off_wherever_it_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    filled(&path, 3).await.close().await.unwrap();
    let whole = fs::read(&path).unwrap();
    filled(&folder.path().join("two"), 2).await.close().await.unwrap();
    let two = fs::metadata(folder.path().join("two")).unwrap().len() as usize;

    for cut in (two..whole.len()).step_by(7).chain([two + 1, whole.len() - 1]) {
        fs::write(&path, &whole[..cut]).unwrap();
        let store = open(&path);
        assert_eq!(known(&store, 3).await, [0, 1], "torn at {cut}");
        assert_eq!(store.log_stats().damaged, (cut - two) as u64);
        // What comes after it is whole again.
        store.insert(&partition("a", "x"), entry(2, "q2", vector(2.0))).await.unwrap();
        store.close().await.unwrap();
        let store = open(&path);
        assert_eq!((known(&store, 3).await, store.log_stats().damaged), (vec![0, 1, 2], 0));
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_record_is_left_out_and_the_others_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    filled(&path, 4).await.close().await.unwrap();
    let whole = fs::read(&path).unwrap();
    let record = (whole.len() - fs_header()) / 4;
    let mut rng = fastrand::Rng::with_seed(9);
    for _ in 0..60 {
        let hit = rng.usize(..4);
        let mut damaged = whole.clone();
        let at = fs_header() + hit * record + rng.usize(..record);
        damaged[at] ^= 1 << rng.u8(..8);
        fs::write(&path, &damaged).unwrap();
        let store = open(&path);
        let expected: Vec<u128> = (0..4).filter(|id| *id != hit as u128).collect();
        assert_eq!(known(&store, 4).await, expected, "damaged at {at}");
        assert!(store.log_stats().damaged > 0);
        store.close().await.unwrap();
    }
}

/// Magic, length, checksum, name.
fn fs_header() -> usize {
    8 + 4 + 4 + EMBEDDER.len()
}

#[tokio::test]
async fn rubbish_between_two_records_costs_neither() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    filled(&path, 2).await.close().await.unwrap();
    let whole = fs::read(&path).unwrap();
    let middle = fs_header() + (whole.len() - fs_header()) / 2;
    // With the beginnings of records in it.
    let rubbish =
        [b"\xb5rec\xff\xff\xff\x7f".as_slice(), b"\xb5re\xb5rec\x04\0\0\0abcd", &[0; 5000]].concat();
    fs::write(&path, [&whole[..middle], &rubbish, &whole[middle..]].concat()).unwrap();
    let store = open(&path);
    assert_eq!(known(&store, 2).await, [0, 1]);
    assert_eq!(store.log_stats().damaged, rubbish.len() as u64);
}

#[tokio::test]
async fn another_embedders_vectors_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    filled(&path, 2).await.close().await.unwrap();
    let before = fs::read(&path).unwrap();
    let other = LogStore::open(LogConfig::new(&path, "all-MiniLM-L6-v2 384 int8"), MemoryStore::default());
    match other {
        Err(OpenError::OtherEmbedder { found, wanted, .. }) => {
            assert_eq!((found.as_str(), wanted.as_str()), (EMBEDDER, "all-MiniLM-L6-v2 384 int8"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    // A name that ours begins with is another's.
    let shorter = LogStore::open(LogConfig::new(&path, "all-MiniLM-L6-v2"), MemoryStore::default());
    assert!(matches!(shorter, Err(OpenError::OtherEmbedder { .. })));
}

#[tokio::test]
async fn a_file_that_is_none_of_ours_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letter.txt");
    fs::write(&path, "Dear Sir or Madam, this is no log.").unwrap();
    let opened = LogStore::open(LogConfig::new(&path, EMBEDDER), MemoryStore::default());
    assert!(matches!(opened, Err(OpenError::NotALog { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "Dear Sir or Madam, this is no log.");
}

#[tokio::test]
async fn a_file_torn_in_its_header_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, b"mssem").unwrap();
    let store = open(&path);
    store.insert(&partition("a", "x"), entry(0, "q0", vector(0.0))).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(known(&open(&path), 1).await, [0]);
}

#[tokio::test]
async fn two_cannot_write_to_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let store = open(&path);
    let second = LogStore::open(LogConfig::new(&path, EMBEDDER), MemoryStore::default());
    assert!(matches!(second, Err(OpenError::InUse { .. })));
    store.close().await.unwrap();
    open(&path);
}

#[tokio::test]
async fn an_insert_adds_its_own_bytes_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let store = filled(&path, 1).await;
    let mut before = fs::metadata(&path).unwrap();
    for id in 1..200 {
        store.insert(&partition("a", "x"), entry(id, &format!("q{id}"), vector(1.0))).await.unwrap();
        store.flush().await.unwrap();
        let after = fs::metadata(&path).unwrap();
        assert!((300..2_000).contains(&(after.len() - before.len())), "{}", after.len() - before.len());
        before = after;
    }
    assert_eq!(store.log_stats().compactions, 0);
}

#[tokio::test]
async fn what_is_gone_leaves_the_file_when_it_is_most_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let config = LogConfig::new(&path, EMBEDDER).compact_from(64 << 10);
    let store = LogStore::open(config, MemoryStore::default()).unwrap();
    // One question answered anew again and again.
    for id in 0..2_000 {
        store.insert(&partition("a", "x"), entry(id, "always the same", vector(0.0))).await.unwrap();
    }
    store.flush().await.unwrap();
    let stats = store.log_stats();
    assert!(stats.compactions > 3 && stats.bytes < 128 << 10, "{stats:?}");
    assert_eq!(stats.bytes, fs::metadata(&path).unwrap().len());
    store.close().await.unwrap();
    let store = open(&path);
    assert_eq!(store.log_stats().restored, 1);
    let there = store.by_text(&partition("a", "x"), "always the same").await.unwrap().unwrap();
    assert_eq!(there.id.0, 1_999);
}

#[tokio::test]
async fn changes_during_a_compaction_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let config = LogConfig::new(&path, EMBEDDER).compact_from(16 << 10);
    let store = LogStore::open(config, MemoryStore::default()).unwrap();
    let here = partition("a", "x");
    for id in 0..1_500 {
        store.insert(&here, entry(id, &format!("q{id}"), vector(id as f32))).await.unwrap();
        if id % 3 == 0 {
            store.remove(&here, EntryId(id / 2)).await.unwrap();
        }
    }
    let before = known(&store, 1_500).await;
    assert!(store.log_stats().compactions > 0);
    store.close().await.unwrap();
    assert_eq!(known(&open(&path), 1_500).await, before);
}

#[tokio::test]
async fn what_was_purged_is_not_in_the_file_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let store = filled(&path, 3).await;
    store.insert(&partition("b", "x"), entry(9, "stays", vector(0.0))).await.unwrap();
    assert_eq!(store.purge(&Namespace::new("a")).await.unwrap(), 3);
    let bytes = fs::read(&path).unwrap();
    let says = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!says("the answer to q1") && says("the answer to stays"));
    store.close().await.unwrap();
    let store = open(&path);
    assert_eq!((known(&store, 3).await, store.stats().entries), (vec![], 1));
}

#[tokio::test]
async fn a_file_that_is_written_anew_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    // What the other of two logs, "log.one" and "log.two", might be writing just now.
    let other = folder.path().join("log.new");
    fs::write(&other, "another's").unwrap();
    let store = filled(&folder.path().join("log.one"), 2).await;
    store.purge(&Namespace::new("nobody")).await.unwrap();
    assert_eq!(store.log_stats().compactions, 1);
    assert_eq!(fs::read(&other).unwrap(), b"another's");
}

#[tokio::test]
async fn what_had_to_go_for_others_does_not_come_back_after_it_was_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let small = || MemoryStore::new(MemoryConfig::default().max_entries(10).seed(1)).unwrap();
    let store = LogStore::open(LogConfig::new(&path, EMBEDDER), small()).unwrap();
    let here = partition("a", "x");
    for id in 0..100 {
        store.insert(&here, entry(id, &format!("q{id}"), vector(id as f32))).await.unwrap();
    }
    for id in 0..100 {
        store.remove(&here, EntryId(id)).await.unwrap();
    }
    store.close().await.unwrap();
    assert_eq!(open(&path).stats().entries, 0);
}

#[tokio::test]
async fn a_disk_that_is_full_costs_entries_and_no_error() {
    // Linux's own full disk cannot be locked and read as a file: a folder in the way of the rewriting will do for the
    // rest, and a limit of no waiting bytes for the writing.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let config = LogConfig::new(&path, EMBEDDER).max_waiting(0).compact_from(1);
    fs::create_dir(path.with_extension("new")).unwrap();
    let store = LogStore::open(config, MemoryStore::default()).unwrap();
    let here = partition("a", "x");
    store.insert(&here, entry(0, "q0", vector(0.0))).await.unwrap();
    assert!(store.by_text(&here, "q0").await.unwrap().is_some());
    assert_eq!(store.log_stats().lost, 1);
    assert!(store.purge(&Namespace::new("a")).await.is_err(), "it is not known to be gone from the disk");
    assert!(store.by_text(&here, "q0").await.unwrap().is_none(), "but it is gone from here");
}

#[tokio::test]
async fn bytes_behind_the_end_of_the_file_are_no_entries() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    filled(&path, 2).await.close().await.unwrap();
    // What a file system may leave after a power cut: the length grew, the content did not come.
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::End(3_000_000)).unwrap();
    file.write_all(&[0]).unwrap();
    drop(file);
    let store = open(&path);
    assert_eq!(known(&store, 2).await, [0, 1]);
    assert_eq!(store.log_stats().damaged, 3_000_001);
}

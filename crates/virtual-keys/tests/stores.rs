//! The stores that need no server.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{Lab, settings};
use mainstay_virtual_keys::{Actor, FileStore, KeyManager, KeyStore as _, MemoryStore, StoreError, contract};

#[tokio::test]
async fn the_memory_is_a_store() {
    contract::store().run(async || MemoryStore::new()).await.assert_kept();
}

#[tokio::test]
async fn a_file_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let make = async || {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        FileStore::open(folder.path().join(format!("{number}.json"))).unwrap()
    };
    contract::store().run(make).await.assert_kept();
}

fn file(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("keys.json")
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_file_is_its_owners_alone_and_so_is_the_secret_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(file(&folder)).unwrap();
    let hasher = store.hasher().unwrap();
    store.write(contract::key("a")).await.unwrap();
    let secret = folder.path().join("keys.json.secret");
    assert_eq!((mode(&file(&folder)), mode(&secret)), (0o600, 0o600));
    // The same one, the next time.
    let again = FileStore::open(file(&folder)).unwrap().hasher().unwrap();
    assert_eq!(hasher.digest("a"), again.digest("a"));
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = store.hasher().unwrap_err();
    assert!(refused.to_string().contains("chmod 600"), "{refused}");
    // A new secret would refuse every key without a word.
    std::fs::remove_file(&secret).unwrap();
    let refused = store.hasher().unwrap_err();
    assert!(refused.to_string().contains("is missing"), "{refused}");
}

// The operator's command line may be root's, and the gateway's user has to read what it has written.
#[tokio::test]
async fn a_file_stays_whose_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(file(&folder)).unwrap();
    if std::os::unix::fs::chown(file(&folder), Some(65_534), Some(65_534)).is_err() {
        println!("skipped: only root can give a file away");
        return;
    }
    store.write(contract::key("a")).await.unwrap();
    let metadata = std::fs::metadata(file(&folder)).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), mode(&file(&folder))), (65_534, 65_534, 0o600));
}

#[tokio::test]
async fn processes_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (FileStore::open(file(&folder)).unwrap(), FileStore::open(file(&folder)).unwrap());
    let seen = other.read(None).await.unwrap().unwrap();
    let key = one.write(contract::key("a")).await.unwrap();
    let snapshot = other.read(Some(seen.revision)).await.unwrap().unwrap();
    assert_eq!(snapshot.keys, std::slice::from_ref(&key));
    other.delete(&key.id, key.revision).await.unwrap();
    assert!(one.read(Some(snapshot.revision)).await.unwrap().unwrap().keys.is_empty());
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "keys.json" || name == "keys.json.lock"), "{left:?}");
}

#[tokio::test]
async fn a_file_that_is_no_file_of_keys_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["", "{}", "[]", "{\"mainstay_keys\":2,\"revision\":0,\"keys\":{}}", "PRECIOUS"] {
        std::fs::write(file(&folder), text).unwrap();
        let error = FileStore::open(file(&folder)).unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{text}: {error}");
        assert_eq!(std::fs::read_to_string(file(&folder)).unwrap(), text);
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_kept_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(file(&folder)).unwrap();
    let key = store.write(contract::key("a")).await.unwrap();
    let mut text: serde_json::Value = serde_json::from_slice(&std::fs::read(file(&folder)).unwrap()).unwrap();
    text["keys"][key.id.as_str()]["of_a_later_version"] = 1.into();
    text["revision"] = (key.revision + 1).into();
    std::fs::write(file(&folder), text.to_string()).unwrap();
    let snapshot = store.read(Some(key.revision)).await.unwrap().unwrap();
    assert_eq!((snapshot.keys.len(), snapshot.damaged), (0, 1));
    store.write(contract::key("b")).await.unwrap();
    let kept = std::fs::read_to_string(file(&folder)).unwrap();
    assert!(kept.contains("of_a_later_version"), "{kept}");
}

// S3: a folder that is not mounted any more is not a store without keys.
#[tokio::test]
async fn a_file_that_is_gone_is_a_store_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(file(&folder)).unwrap();
    let lab = Lab::over(Arc::new(store.clone())).await;
    let (_, secret) = lab.key(settings("a")).await;
    std::fs::remove_file(file(&folder)).unwrap();
    assert!(lab.ring.refresh().await.is_err());
    assert!(lab.check(&secret).is_ok() && lab.ring.is_stale());
}

#[tokio::test]
async fn many_who_change_one_key_through_the_manager_all_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(file(&folder)).unwrap();
    let manager = KeyManager::new(Arc::new(store.clone()), common::hasher(), Default::default());
    let (key, _) = manager.create(&Actor::Operator, settings("a")).await.unwrap();
    let changes = (0..4).map(|number| {
        let (manager, id) = (manager.clone(), key.id.clone());
        tokio::spawn(async move {
            let add = move |settings: &mut mainstay_virtual_keys::KeySettings| {
                settings.metadata.insert(format!("k{number}"), "v".into());
            };
            manager.update(&Actor::Operator, &id, add).await
        })
    });
    for change in changes.collect::<Vec<_>>() {
        change.await.unwrap().unwrap();
    }
    let key = manager.get(&Actor::Operator, &key.id).await.unwrap();
    assert_eq!(key.key().settings.metadata.len(), 4);
}

// Whoever holds it may have been stopped: a process must be able to end all the same.
#[tokio::test]
async fn a_lock_that_is_never_given_back_is_not_waited_for_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(file(&folder)).unwrap();
    let lock = std::fs::File::options().write(true).open(folder.path().join("keys.json.lock")).unwrap();
    lock.lock().unwrap();
    assert!(store.read(None).await.is_ok(), "readers need no lock");
    let error = store.write(contract::key("a")).await.unwrap_err();
    assert!(matches!(error, StoreError::Failed(_)), "{error}");
    lock.unlock().unwrap();
    store.write(contract::key("a")).await.unwrap();
}

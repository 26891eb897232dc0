//! What every [`KeyStore`] keeps, as a suite of tests.
//!
//! ```
//! use mainstay_virtual_keys::{MemoryStore, contract};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! contract::store().run(async || MemoryStore::new()).await.assert_kept();
//! # }
//! ```

use std::sync::Arc;

use mainstay_provider_core::test_kit::contract::Suite;

use crate::id::KeyId;
use crate::record::{PreviousDigest, Role, VirtualKey};
use crate::secret::{KeyHasher, KeySecret};
use crate::settings::KeySettings;
use crate::store::{KeyStore, Snapshot, StoreError};

/// The promises of a store. Each is checked on a store of its own, which must be empty.
pub fn store<S: KeyStore>() -> Suite<S> {
    Suite::new("KeyStore")
        .promise("a new one is empty, and says so once", |store: S| async move {
            let snapshot = all(&store).await;
            assert!(snapshot.keys.is_empty() && snapshot.damaged == 0);
            assert!(store.read(Some(snapshot.revision)).await.unwrap_or_else(fail).is_none());
        })
        .promise("what was written is there, whole", |store: S| async move {
            let mut key = full("k");
            let written = write(&store, key.clone()).await;
            key.revision = written.revision;
            assert!(written.revision > 0 && written == key);
            assert_eq!(all(&store).await.keys, [key]);
        })
        .promise("every change is a later state", |store: S| async move {
            let mut last = all(&store).await.revision;
            let mut key = write(&store, key("a")).await;
            for number in 0..3 {
                let changed = store.read(Some(last)).await.unwrap_or_else(fail).expect("it has changed");
                assert!(changed.revision > last && changed.revision >= key.revision);
                assert!(store.read(Some(changed.revision)).await.unwrap_or_else(fail).is_none());
                last = changed.revision;
                key.settings.name = format!("{number}");
                key = write(&store, key).await;
            }
            last = all(&store).await.revision;
            store.delete(&key.id, key.revision).await.unwrap_or_else(fail);
            let changed = store.read(Some(last)).await.unwrap_or_else(fail).expect("it has changed");
            assert!(changed.revision > last && changed.keys.is_empty());
        })
        .promise(
            "who was not the first to change a key is told, and changes nothing",
            |store: S| async move {
                let old = write(&store, key("old")).await;
                let new = write(&store, named(&old, "new")).await;
                let before = all(&store).await.revision;
                for stale in [0, 1, old.revision, new.revision + 1] {
                    let mut late = named(&old, "late");
                    late.revision = stale;
                    assert_conflict(store.write(late).await);
                    assert_conflict(store.delete(&old.id, stale).await);
                }
                let after = all(&store).await;
                assert_eq!((after.revision, after.keys), (before, vec![new]));
            },
        )
        .promise("a key that is gone does not come back by a late change", |store: S| async move {
            let key = write(&store, key("a")).await;
            store.delete(&key.id, key.revision).await.unwrap_or_else(fail);
            assert_conflict(store.delete(&key.id, key.revision).await);
            assert_conflict(store.write(key).await);
            assert!(all(&store).await.keys.is_empty());
        })
        .promise("of many who change a key at the same time one is the first", |store: S| async move {
            let store = Arc::new(store);
            let key = write(&*store, key("a")).await;
            let racers = (0..16).map(|number| {
                let (store, key) = (store.clone(), named(&key, &format!("{number}")));
                tokio::spawn(async move { store.write(key).await.is_ok() })
            });
            let mut won = 0;
            for racer in racers.collect::<Vec<_>>() {
                won += u32::from(racer.await.expect("no racer panics"));
            }
            assert_eq!(won, 1);
        })
        .promise("of many keys that are made at the same time none is lost", |store: S| async move {
            let store = Arc::new(store);
            let makers = (0..32).map(|number| {
                let store = store.clone();
                tokio::spawn(async move { store.write(key(&format!("{number}"))).await.map(|key| key.id) })
            });
            let mut made = Vec::new();
            for maker in makers.collect::<Vec<_>>() {
                made.push(maker.await.expect("no maker panics").unwrap_or_else(fail));
            }
            let mut there: Vec<_> = all(&*store).await.keys.into_iter().map(|key| key.id).collect();
            made.sort();
            there.sort();
            assert_eq!(made, there);
        })
        .promise("texts come back as they were", |store: S| async move {
            for text in ["' OR pg_sleep(8)--", "\u{1f511} \"\\", "{{}}", "a\nb\r\n", "redis.call('FLUSHALL')"]
            {
                let mut key = named(&full("k"), text);
                key.id = new_id();
                key.settings.metadata.insert(text.into(), text.into());
                let key = write(&store, key).await;
                assert!(all(&store).await.keys.contains(&key), "{text:?}");
            }
        })
}

fn fail<T>(error: StoreError) -> T {
    panic!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string))
}

fn assert_conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Conflict)), "{result:?}");
}

async fn all(store: &impl KeyStore) -> Snapshot {
    store.read(None).await.unwrap_or_else(fail).expect("who knows nothing is given all")
}

async fn write(store: &impl KeyStore, key: VirtualKey) -> VirtualKey {
    store.write(key).await.unwrap_or_else(fail)
}

fn named(key: &VirtualKey, name: &str) -> VirtualKey {
    let mut key = key.clone();
    name.clone_into(&mut key.settings.name);
    key
}

fn new_id() -> KeyId {
    KeyId::generate().expect("the system gives randomness")
}

/// A key of this name.
pub fn key(name: &str) -> VirtualKey {
    let secret = KeySecret::generate().expect("the system gives randomness");
    let digest = KeyHasher::new(&[7; 32]).expect("32 bytes are enough").digest(secret.expose());
    VirtualKey::new(new_id(), KeySettings::named(name), digest, "abcd", 1_800_000_000_000)
}

/// A key with something in each of its members.
pub fn full(name: &str) -> VirtualKey {
    let mut key = key(name);
    let pattern = |text: &str| text.parse().expect("a pattern");
    let settings = &mut key.settings;
    settings.role = Role::Manager;
    settings.expires_ms = Some(1_900_000_000_000);
    settings.metadata = [("owner".to_owned(), "search".to_owned())].into();
    let grants = &mut settings.grants;
    grants.models = Some(vec![pattern("main"), pattern("openai/*")]);
    grants.limits = ["60 requests/minute", "0.000000001 usd/month", "5 concurrent", "7 tokens/rolling-5h"]
        .map(|limit| limit.parse().expect("a limit"))
        .into();
    grants.subjects = vec!["org:acme".into()];
    grants.caller_subjects = vec![pattern("user:*")];
    grants.namespace = Some("acme".into());
    grants.caller_namespaces = vec![pattern("acme-*")];
    key.maker = Some(new_id());
    key.rotated_ms = Some(1_800_000_000_001);
    key.disabled_ms = Some(1_800_000_000_002);
    key.previous = Some(PreviousDigest::new(self::key("x").digest, 1_800_000_000_003));
    key
}

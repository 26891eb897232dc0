//! How a ring follows its store, and what it does without it (rule S3).
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Lab, hasher, settings};
use mainstay_provider_core::Events;
use mainstay_virtual_keys::{
    Actor, Clock, KeyChange, KeyId, KeyManager, KeyRing, KeyStore, MemoryStore, Refusal, RingConfig,
    Snapshot, StoreError, StoreFuture, VirtualKey, contract,
};

/// A store that can fail, or not answer, or be an older one.
#[derive(Clone, Default)]
struct Frail {
    store: MemoryStore,
    state: Arc<AtomicU8>,
}

const SOUND: u8 = 0;
const GONE: u8 = 1;
const FROZEN: u8 = 2;
const EMPTIED: u8 = 3;
const DAMAGED: u8 = 4;

impl Frail {
    fn is(&self, state: u8) {
        self.state.store(state, Ordering::Relaxed);
    }
}

impl KeyStore for Frail {
    fn read(&self, known: Option<u64>) -> StoreFuture<'_, Option<Snapshot>> {
        Box::pin(async move {
            match self.state.load(Ordering::Relaxed) {
                GONE => Err(StoreError::Failed("it is gone".into())),
                FROZEN => std::future::pending().await,
                EMPTIED => Ok(Some(Snapshot::new(0, Vec::new()))),
                DAMAGED => {
                    let mut snapshot = self.store.read(None).await?.unwrap();
                    snapshot.keys.clear();
                    (snapshot.revision, snapshot.damaged) = (snapshot.revision + 1, 1);
                    Ok(Some(snapshot))
                }
                _ => self.store.read(known).await,
            }
        })
    }

    fn write(&self, key: VirtualKey) -> StoreFuture<'_, VirtualKey> {
        self.store.write(key)
    }

    fn delete<'a>(&'a self, id: &'a KeyId, revision: u64) -> StoreFuture<'a, ()> {
        self.store.delete(id, revision)
    }
}

type Told = Arc<Mutex<Vec<String>>>;

async fn ring(store: &Frail) -> (KeyRing, Told) {
    let (told, mut config) = (Told::default(), RingConfig::default());
    let sink = told.clone();
    config.events = Events::to(move |event| sink.lock().unwrap().push(event.name.to_owned()));
    (KeyRing::start(Arc::new(store.clone()), hasher(), config).await, told)
}

fn manager(store: &Frail) -> KeyManager {
    KeyManager::new(Arc::new(store.clone()), hasher(), Clock::default())
}

const SOON: Duration = Duration::from_millis(800);

// S3
#[tokio::test(start_paused = true)]
async fn without_its_store_it_goes_on_with_what_it_knows_and_says_so() {
    let store = Frail::default();
    let (key, secret) = manager(&store).create(&Actor::Operator, settings("a")).await.unwrap();
    let (ring, told) = ring(&store).await;
    assert!(!ring.is_stale());
    for state in [GONE, FROZEN, EMPTIED] {
        store.is(state);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(ring.check(secret.expose()).unwrap().id(), &key.id, "{state}");
        assert!(ring.is_stale() && ring.stats().age.unwrap() > Duration::from_secs(58), "{state}");
        store.is(SOUND);
        tokio::time::sleep(SOON).await;
        assert!(!ring.is_stale() && ring.stats().age.unwrap() < SOON, "{state}");
    }
    // Once each, not once for each look.
    assert_eq!(*told.lock().unwrap(), ["keys.store_lost", "keys.store_back"].repeat(3));
    manager(&store).disable(&Actor::Operator, &key.id).await.unwrap();
    tokio::time::sleep(SOON).await;
    assert_eq!(ring.check(secret.expose()).unwrap_err(), Refusal::Disabled);
}

#[tokio::test(start_paused = true)]
async fn before_its_store_was_read_every_key_is_refused() {
    let store = Frail::default();
    let (_, secret) = manager(&store).create(&Actor::Operator, settings("a")).await.unwrap();
    store.is(GONE);
    let (ring, _) = ring(&store).await;
    assert_eq!(ring.check(secret.expose()).unwrap_err(), Refusal::NotReady);
    assert!(ring.stats().age.is_none() && ring.is_stale());
    store.is(SOUND);
    tokio::time::sleep(SOON).await;
    assert!(ring.check(secret.expose()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_a_key_that_is_refused() {
    let store = Frail::default();
    let (_, secret) = manager(&store).create(&Actor::Operator, settings("a")).await.unwrap();
    let (ring, told) = ring(&store).await;
    store.is(DAMAGED);
    tokio::time::sleep(SOON).await;
    assert_eq!(ring.check(secret.expose()).unwrap_err(), Refusal::Unknown);
    assert_eq!((ring.stats().damaged, told.lock().unwrap().join(" ").as_str()), (1, "keys.damaged"));
}

// What is not known could be a restriction.
#[test]
fn a_record_with_a_member_that_is_not_known_is_not_read() {
    let key = contract::full("a");
    let value = serde_json::to_value(&key).unwrap();
    assert_eq!(serde_json::from_value::<VirtualKey>(value.clone()).unwrap(), key);
    for path in ["", "/settings", "/settings/grants", "/previous"] {
        let mut with_more = value.clone();
        with_more.pointer_mut(path).unwrap()["only_on_sundays"] = true.into();
        assert!(serde_json::from_value::<VirtualKey>(with_more).is_err(), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_watches_hears_of_every_key_and_every_change_once() {
    let lab = Lab::new().await;
    let (first, _) = lab.key(settings("first")).await;
    let heard: Told = Told::default();
    let (sink, ring) = (heard.clone(), lab.ring.clone());
    lab.ring.watch(move |change| {
        let said = match change {
            // New limits are told before a call can come in under them, an end when none can any more.
            KeyChange::Set(key) => {
                assert!(ring.get(&key.id).is_none_or(|now| now.key() != key || key.settings.name == "first"));
                format!("{} {}", key.settings.name, key.settings.grants.limits.len())
            }
            KeyChange::Removed(id) => {
                assert!(ring.get(id).is_none());
                format!("removed {id}")
            }
            _ => unreachable!("there are no other changes"),
        };
        sink.lock().unwrap().push(said);
    });
    let (second, _) = lab.key(settings("second")).await;
    let limit = |settings: &mut mainstay_virtual_keys::KeySettings| {
        settings.grants.limits = vec!["60 requests/minute".parse().unwrap()];
    };
    lab.manager.update(&Actor::Operator, &second.id, limit).await.unwrap();
    lab.ring.refresh().await.unwrap();
    lab.ring.refresh().await.unwrap();
    lab.manager.delete(&Actor::Operator, &first.id).await.unwrap();
    tokio::time::sleep(SOON).await;
    let expected = ["first 0", "second 0", "second 1", &format!("removed {}", first.id)];
    assert_eq!(*heard.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn it_stops_to_follow_when_nobody_has_it_any_more() {
    let store: Arc<dyn KeyStore> = Arc::new(MemoryStore::new());
    let ring = KeyRing::start(store.clone(), hasher(), RingConfig::default()).await;
    let clone = ring.clone();
    drop(ring);
    tokio::time::sleep(SOON).await;
    assert!(Arc::strong_count(&store) > 1);
    drop(clone);
    tokio::time::sleep(SOON).await;
    assert_eq!(Arc::strong_count(&store), 1);
}

#[tokio::test]
async fn thousands_of_keys_are_found_and_looked_at_again() {
    let store = MemoryStore::new();
    for number in 0..3000 {
        store.write(contract::key(&number.to_string())).await.unwrap();
    }
    let manager = KeyManager::new(Arc::new(store.clone()), hasher(), Clock::default());
    let (key, secret) = manager.create(&Actor::Operator, settings("last")).await.unwrap();
    let ring = KeyRing::start(Arc::new(store), hasher(), RingConfig::default()).await;
    assert_eq!((ring.stats().keys, ring.check(secret.expose()).unwrap().id()), (3001, &key.id));
    manager.disable(&Actor::Operator, &key.id).await.unwrap();
    ring.refresh().await.unwrap();
    assert_eq!(ring.check(secret.expose()).unwrap_err(), Refusal::Disabled);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_other_keys_change_a_key_is_taken_at_every_moment() {
    let store: Arc<dyn KeyStore> = Arc::new(MemoryStore::new());
    let manager = KeyManager::new(store.clone(), hasher(), Clock::default());
    let (_, secret) = manager.create(&Actor::Operator, settings("steady")).await.unwrap();
    let (other, _) = manager.create(&Actor::Operator, settings("other")).await.unwrap();
    let ring = KeyRing::start(store, hasher(), RingConfig::default()).await;
    let (stop, taken, secret) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(secret));
    let caller = |_| {
        let (ring, stop, taken, secret) = (ring.clone(), stop.clone(), taken.clone(), secret.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                ring.check(secret.expose()).unwrap();
                taken.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let callers: Vec<_> = (0..2).map(caller).collect();
    let mut changes = 0;
    while changes < 100
        || (taken.load(Ordering::Relaxed) < 10_000 && callers.iter().all(|one| !one.is_finished()))
    {
        manager.rotate(&Actor::Operator, &other.id, Duration::from_secs(1)).await.unwrap();
        ring.refresh().await.unwrap();
        changes += 1;
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.join().expect("every check was taken");
    }
}

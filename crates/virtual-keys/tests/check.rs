//! Which keys are taken, and when they stop to be.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{BEGIN, Lab, hasher, settings};
use mainstay_virtual_keys::{
    Actor, KeyId, KeyRing, KeySecret, KeyStore, MemoryStore, Refusal, RingConfig, Snapshot, StoreFuture,
    VirtualKey,
};

/// Counts what it is asked.
struct Counting(MemoryStore, AtomicUsize);

impl KeyStore for Counting {
    fn read(&self, known: Option<u64>) -> StoreFuture<'_, Option<Snapshot>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read(known)
    }

    fn write(&self, key: VirtualKey) -> StoreFuture<'_, VirtualKey> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.write(key)
    }

    fn delete<'a>(&'a self, id: &'a KeyId, revision: u64) -> StoreFuture<'a, ()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.delete(id, revision)
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_taken_and_no_other() {
    let lab = Lab::new().await;
    let (key, secret) = lab.key(settings("a")).await;
    let (other, _) = lab.key(settings("b")).await;
    assert_eq!(*lab.check(&secret).unwrap().id(), key.id);
    assert_ne!(key.id, other.id);
    assert_eq!(lab.check(&KeySecret::generate().unwrap()).unwrap_err(), Refusal::Unknown);
    assert!(secret.expose().ends_with(&key.hint) && key.hint.len() == 4);
}

// Security test 1: of a digest that is right but for one bit nothing is found, wherever the bit is.
#[tokio::test(start_paused = true)]
async fn a_key_with_one_letter_wrong_is_unknown_whichever_it_is() {
    let lab = Lab::new().await;
    let (_, secret) = lab.key(settings("a")).await;
    for at in KeySecret::PREFIX.len()..KeySecret::LENGTH {
        let mut wrong = secret.expose().to_owned();
        let other = if &wrong[at..=at] == "x" { "y" } else { "x" };
        wrong.replace_range(at..=at, other);
        assert_eq!(lab.ring.check(&wrong).unwrap_err(), Refusal::Unknown, "at {at}");
    }
    for cut in 0..KeySecret::LENGTH {
        assert_eq!(lab.ring.check(&secret.expose()[..cut]).unwrap_err(), Refusal::Malformed, "at {cut}");
    }
}

// Security test 3: whatever is shown, the store is not asked.
#[tokio::test(start_paused = true)]
async fn no_key_that_is_shown_makes_the_ring_ask_the_store() {
    let store = Arc::new(Counting(MemoryStore::new(), AtomicUsize::new(0)));
    let ring = KeyRing::start(store.clone(), hasher(), RingConfig::default()).await;
    let asked = store.1.load(Ordering::Relaxed);
    let long = "x".repeat(1 << 20);
    let unknown = KeySecret::generate().unwrap();
    for shown in ["' OR pg_sleep(8)--", "", "sk-ms-", &long, "sk-ms-\0", "sk-ms-\r\nGET x"] {
        assert_eq!(ring.check(shown).unwrap_err(), Refusal::Malformed);
    }
    assert_eq!(ring.check(unknown.expose()).unwrap_err(), Refusal::Unknown);
    assert_eq!(store.1.load(Ordering::Relaxed), asked);
    assert_eq!(ring.stats().refused, 7);
}

#[tokio::test(start_paused = true)]
async fn a_key_ends_when_its_time_is_over() {
    let lab = Lab::new().await;
    let mut short = settings("short");
    short.expires_ms = Some(BEGIN + 60_000);
    let (_, secret) = lab.key(short).await;
    tokio::time::advance(Duration::from_millis(59_999)).await;
    assert!(lab.check(&secret).is_ok());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(lab.check(&secret).unwrap_err(), Refusal::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_secret_goes_on_for_its_grace_and_no_longer() {
    let lab = Lab::new().await;
    let (key, first) = lab.key(settings("a")).await;
    let hour = Duration::from_secs(3600);
    let (rotated, second) = lab.manager.rotate(&Actor::Operator, &key.id, hour).await.unwrap();
    assert!(second.expose().ends_with(&rotated.hint) && rotated.id == key.id);
    lab.ring.refresh().await.unwrap();
    assert_eq!(lab.check(&first).unwrap().id(), lab.check(&second).unwrap().id());
    tokio::time::advance(hour - Duration::from_millis(1)).await;
    assert!(lab.check(&first).is_ok());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(lab.check(&first).unwrap_err(), Refusal::Rotated);
    assert!(lab.check(&second).is_ok());
    // Nobody keeps an old secret for ever.
    let year = Duration::from_secs(366 * 86_400);
    let (_, second) = lab
        .manager
        .rotate(&Actor::Operator, &key.id, year)
        .await
        .map(|(key, new)| {
            assert!(key.previous.unwrap().until_ms <= lab.clock.now_ms() + 30 * 86_400_000);
            (key.id, new)
        })
        .unwrap();
    lab.ring.refresh().await.unwrap();
    // Without a grace the old one ends at once; the one before that has ended already.
    let (_, third) = lab.manager.rotate(&Actor::Operator, &key.id, Duration::ZERO).await.unwrap();
    assert_eq!(lab.check_soon(&second).await.unwrap_err(), Refusal::Unknown);
    assert_eq!(lab.check(&first).unwrap_err(), Refusal::Unknown);
    assert!(lab.check(&third).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_disabled_key_stops_within_a_second_everywhere_and_an_enabled_one_goes_on() {
    let store: Arc<dyn KeyStore> = Arc::new(MemoryStore::new());
    let labs = [Lab::over(store.clone()).await, Lab::over(store).await];
    let (key, secret) = labs[0].key(settings("a")).await;
    for lab in &labs {
        assert!(lab.check_soon(&secret).await.is_ok());
    }
    labs[0].manager.disable(&Actor::Operator, &key.id).await.unwrap();
    tokio::time::sleep(Duration::from_millis(999)).await;
    for lab in &labs {
        assert_eq!(lab.check(&secret).unwrap_err(), Refusal::Disabled);
    }
    labs[1].manager.enable(&Actor::Operator, &key.id).await.unwrap();
    labs[1].manager.enable(&Actor::Operator, &key.id).await.unwrap();
    assert!(labs[0].check_soon(&secret).await.is_ok());
    labs[1].manager.delete(&Actor::Operator, &key.id).await.unwrap();
    assert_eq!(labs[0].check_soon(&secret).await.unwrap_err(), Refusal::Unknown);
}

// Security test 1: a copy of the store is of no use without the operator's secret.
#[tokio::test(start_paused = true)]
async fn what_is_stored_holds_no_key_and_is_of_no_use_to_another_operator() {
    let store = MemoryStore::new();
    let lab = Lab::over(Arc::new(store.clone())).await;
    let (key, secret) = lab.key(settings("a")).await;
    let snapshot = store.read(None).await.unwrap().unwrap();
    let stored = serde_json::to_string(&snapshot.keys).unwrap();
    assert!(stored.contains(key.id.as_str()));
    assert!(
        !stored.contains(&secret.expose()[6..20]) && !stored.contains(&secret.expose()[20..40]),
        "{stored}"
    );
    let other = mainstay_virtual_keys::KeyHasher::new(&[8; 32]).unwrap();
    let ring = KeyRing::start(Arc::new(store), other, RingConfig::default()).await;
    assert_eq!(ring.check(secret.expose()).unwrap_err(), Refusal::Unknown);
}

// Security test 2
#[tokio::test(start_paused = true)]
async fn nothing_that_is_shown_holds_a_secret_or_a_digest() {
    let lab = Lab::new().await;
    let (key, secret) = lab.key(settings("a")).await;
    let (key, second) = lab.manager.rotate(&Actor::Operator, &key.id, Duration::from_secs(60)).await.unwrap();
    let access = lab.check(&secret).unwrap();
    let listed = lab.manager.list(&Actor::Operator).await.unwrap();
    let digest = serde_json::to_value(&key).unwrap()["digest"].as_str().unwrap().to_owned();
    let refusals =
        [Refusal::Malformed, Refusal::Unknown, Refusal::Disabled, Refusal::Expired, Refusal::Rotated];
    let shown = format!(
        "{key:?} {access:?} {listed:?} {:?} {:?} {:?} {secret:?} {refusals:?}",
        lab.ring, lab.manager, lab.clock
    );
    for canary in [&secret.expose()[6..], &second.expose()[6..], &digest] {
        // Not even a part of it, but for the four letters by which people know it.
        for part in canary.as_bytes().windows(6) {
            let part = std::str::from_utf8(part).unwrap();
            assert!(!shown.contains(part), "{part}");
        }
    }
}

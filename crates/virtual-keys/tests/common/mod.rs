//! A store, a manager and a ring over it, on paused time.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::sync::Arc;
use std::time::Duration;

use mainstay_virtual_keys::{
    Access, Actor, Clock, KeyHasher, KeyId, KeyManager, KeyRing, KeySecret, KeySettings, KeyStore,
    MemoryStore, Pattern, Refusal, RingConfig, Role, VirtualKey,
};

/// When the tests begin, in milliseconds since 1970.
pub const BEGIN: u64 = 1_800_000_000_000;

pub struct Lab {
    pub manager: KeyManager,
    pub ring: KeyRing,
    pub clock: Clock,
}

pub fn hasher() -> KeyHasher {
    KeyHasher::new(&[7; 32]).unwrap()
}

impl Lab {
    pub async fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new())).await
    }

    pub async fn over(store: Arc<dyn KeyStore>) -> Self {
        let clock = Clock::of_tokio(BEGIN);
        let mut config = RingConfig::default();
        config.clock = clock.clone();
        let manager = KeyManager::new(store.clone(), hasher(), clock.clone());
        let ring = KeyRing::start(store, hasher(), config).await;
        Self { manager, ring, clock }
    }

    pub async fn key(&self, settings: KeySettings) -> (VirtualKey, KeySecret) {
        self.key_of(&Actor::Operator, settings).await
    }

    pub async fn key_of(&self, actor: &Actor, settings: KeySettings) -> (VirtualKey, KeySecret) {
        let made = self.manager.create(actor, settings).await.unwrap();
        self.ring.refresh().await.unwrap();
        made
    }

    pub fn check(&self, secret: &KeySecret) -> Result<Arc<Access>, Refusal> {
        self.ring.check(secret.expose())
    }

    /// What the ring says when it has had time to look at the store.
    pub async fn check_soon(&self, secret: &KeySecret) -> Result<Arc<Access>, Refusal> {
        tokio::time::sleep(Duration::from_millis(260)).await;
        self.check(secret)
    }
}

pub fn settings(name: &str) -> KeySettings {
    KeySettings::named(name)
}

pub fn of_role(role: Role) -> KeySettings {
    let mut settings = KeySettings::named(role.as_str());
    settings.role = role;
    settings
}

pub fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

pub fn as_key(id: &KeyId) -> Actor {
    Actor::Key(id.clone())
}

//! Who may make and change keys, and how.

use std::sync::Arc;
use std::time::Duration;

use crate::access::Access;
use crate::clock::Clock;
use crate::grants::Wider;
use crate::id::KeyId;
use crate::index::{DEEPEST, Index, stands};
use crate::record::{PreviousDigest, Role, VirtualKey};
use crate::secret::{KeyHasher, KeySecret, NoRandomness};
use crate::settings::{InvalidSettings, KeySettings};
use crate::store::{KeyStore, StoreError};

/// Who wants something done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Whoever runs the gateway: by the command line, or with the token of the configuration. May do everything.
    Operator,
    /// The holder of this key, who may do what its role says, and never gives more than the key has.
    Key(KeyId),
}

/// Makes, changes and removes keys. Cloning copies a pointer.
///
/// It reads the store for each of these, so that it never decides by what was true a moment ago.
#[derive(Debug, Clone)]
pub struct KeyManager {
    store: Arc<dyn KeyStore>,
    hasher: KeyHasher,
    clock: Clock,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManageError {
    /// There is no such key, or none that the actor may see.
    #[error("there is no such key")]
    NotFound,
    /// The actor's role is not enough.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The actor would give more than it has.
    #[error(transparent)]
    Wider(#[from] Wider),
    /// A setting is not as it must be.
    #[error(transparent)]
    Invalid(#[from] InvalidSettings),
    /// The key has made others, which would be nobody's.
    #[error("the key has made {0} others; delete them first, or disable it, which disables them too")]
    HasMade(usize),
    /// The system gives no randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often a change is tried when others change the same key at the same time.
const TRIES: usize = 8;

/// All keys as they are now, and who looks at them.
struct View {
    index: Index,
    /// `None` for the operator.
    actor: Option<Arc<Access>>,
    now_ms: u64,
}

impl KeyManager {
    /// The longest time for which a rotated secret goes on.
    pub const LONGEST_GRACE: Duration = Duration::from_secs(30 * 86_400);
    /// The time for which it does when nothing is said: 24 h.
    pub const GRACE: Duration = Duration::from_secs(86_400);
    /// The longest that a store is waited for.
    const TIMEOUT: Duration = Duration::from_secs(5);

    /// For the keys of this store.
    pub fn new(store: Arc<dyn KeyStore>, hasher: KeyHasher, clock: Clock) -> Self {
        Self { store, hasher, clock }
    }

    /// Makes a key. Its secret is given here and never again. A key ends no later than the one that makes it.
    ///
    /// # Errors
    /// When the settings are not as they must be, or give more than the actor has.
    pub async fn create(
        &self,
        actor: &Actor,
        mut settings: KeySettings,
    ) -> Result<(VirtualKey, KeySecret), ManageError> {
        let view = self.view(actor).await?;
        if settings.expires_ms.is_none() {
            settings.expires_ms = view.actor.as_ref().and_then(|actor| actor.expires_ms());
        }
        settings.check()?;
        view.has(&settings, settings.expires_ms)?;
        if view.actor.as_ref().is_some_and(|actor| actor.depth() >= DEEPEST) {
            return Err(ManageError::Forbidden("too many keys have made one another"));
        }
        let secret = KeySecret::generate()?;
        let digest = self.hasher.digest(secret.expose());
        let mut key = VirtualKey::new(KeyId::generate()?, settings, digest, secret.hint(), view.now_ms);
        key.maker = view.actor.map(|actor| actor.id().clone());
        Ok((self.timed(self.store.write(key)).await?, secret))
    }

    /// The keys that the actor may see, the oldest first.
    ///
    /// # Errors
    /// When the actor may see none, or the store cannot be read.
    pub async fn list(&self, actor: &Actor) -> Result<Vec<Arc<Access>>, ManageError> {
        let view = self.view(actor).await?;
        let mut keys: Vec<_> = view.index.all().filter(|key| view.sees(key)).cloned().collect();
        keys.sort_by(|a, b| (a.key().created_ms, a.id()).cmp(&(b.key().created_ms, b.id())));
        Ok(keys)
    }

    /// One key.
    ///
    /// # Errors
    /// When there is none that the actor may see.
    pub async fn get(&self, actor: &Actor, id: &KeyId) -> Result<Arc<Access>, ManageError> {
        self.view(actor).await?.get(id)
    }

    /// Changes what is decided about a key. `change` may be called again when somebody else changes the key at the same time.
    ///
    /// # Errors
    /// As [`create`](Self::create); also when a manager would change its own key.
    pub async fn update(
        &self,
        actor: &Actor,
        id: &KeyId,
        change: impl Fn(&mut KeySettings),
    ) -> Result<VirtualKey, ManageError> {
        self.change(actor, id, |view, target, key| {
            view.is_not_its_own(target)?;
            change(&mut key.settings);
            key.settings.check()?;
            view.has_what_is_new(&target.key().settings, &key.settings)?;
            // What its maker has not would have no effect, and mislead.
            match target.makers().next().and_then(|maker| view.index.get(&maker.id)) {
                Some(maker) => Ok(maker.may_give(&key.settings.grants)?),
                None => Ok(()),
            }
        })
        .await
    }

    /// Gives a key a new secret. The old one goes on for `grace`, at most 30 days; zero ends it at once. The one before that
    /// ends now.
    ///
    /// # Errors
    /// When the key has more than the actor: its secret is not for them.
    pub async fn rotate(
        &self,
        actor: &Actor,
        id: &KeyId,
        grace: Duration,
    ) -> Result<(VirtualKey, KeySecret), ManageError> {
        let secret = KeySecret::generate()?;
        let digest = self.hasher.digest(secret.expose());
        let grace = u64::try_from(grace.min(Self::LONGEST_GRACE).as_millis()).unwrap_or(u64::MAX);
        let key = self
            .change(actor, id, |view, target, key| {
                view.may_have_the_secret_of(target)?;
                let old = std::mem::replace(&mut key.digest, digest);
                key.previous = (grace > 0).then(|| PreviousDigest::new(old, view.now_ms + grace));
                key.rotated_ms = Some(view.now_ms);
                key.hint = secret.hint();
                Ok(())
            })
            .await?;
        Ok((key, secret))
    }

    /// Refuses a key, and all that it has made, from now on.
    ///
    /// # Errors
    /// When there is none that the actor may see.
    pub async fn disable(&self, actor: &Actor, id: &KeyId) -> Result<VirtualKey, ManageError> {
        self.change(actor, id, |view, _, key| {
            key.disabled_ms.get_or_insert(view.now_ms);
            Ok(())
        })
        .await
    }

    /// Takes a disabled key again.
    ///
    /// # Errors
    /// When there is none that the actor may see, or it is its own.
    pub async fn enable(&self, actor: &Actor, id: &KeyId) -> Result<VirtualKey, ManageError> {
        self.change(actor, id, |view, target, key| {
            view.is_not_its_own(target)?;
            key.disabled_ms = None;
            Ok(())
        })
        .await
    }

    /// Forgets a key; gives what it was.
    ///
    /// # Errors
    /// When there is none that the actor may see, when it is its own, or when it has made others.
    pub async fn delete(&self, actor: &Actor, id: &KeyId) -> Result<Arc<Access>, ManageError> {
        for _ in 0..TRIES {
            let view = self.view(actor).await?;
            let target = view.get(id)?;
            view.is_not_its_own(&target)?;
            let made = view.index.all().filter(|key| key.key().maker.as_ref() == Some(id)).count();
            if made > 0 {
                return Err(ManageError::HasMade(made));
            }
            match self.timed(self.store.delete(id, target.key().revision)).await {
                Err(StoreError::Conflict) => {}
                deleted => return Ok(deleted.map(|()| target)?),
            }
        }
        Err(StoreError::Conflict.into())
    }

    async fn view(&self, actor: &Actor) -> Result<View, ManageError> {
        let snapshot = self.timed(self.store.read(None)).await?;
        let snapshot =
            snapshot.ok_or_else(|| StoreError::Damaged("it gave no keys when asked for all".into()))?;
        let (index, now_ms) = (Index::of(snapshot).await?, self.clock.now_ms());
        let actor = match actor {
            Actor::Operator => None,
            Actor::Key(id) => {
                let access = index.get(id).filter(|access| stands(access, now_ms).is_ok());
                let access = access.ok_or(ManageError::Forbidden("this key cannot be used any more"))?;
                if access.role() < Role::Manager {
                    return Err(ManageError::Forbidden("this key may not manage keys"));
                }
                Some(access.clone())
            }
        };
        Ok(View { index, actor, now_ms })
    }

    async fn change(
        &self,
        actor: &Actor,
        id: &KeyId,
        change: impl Fn(&View, &Access, &mut VirtualKey) -> Result<(), ManageError>,
    ) -> Result<VirtualKey, ManageError> {
        for _ in 0..TRIES {
            let view = self.view(actor).await?;
            let target = view.get(id)?;
            let mut key = target.key().clone();
            change(&view, &target, &mut key)?;
            match self.timed(self.store.write(key)).await {
                Err(StoreError::Conflict) => {}
                written => return Ok(written?),
            }
        }
        Err(StoreError::Conflict.into())
    }

    async fn timed<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        tokio::time::timeout(Self::TIMEOUT, work).await.unwrap_or(Err(StoreError::TimedOut))
    }
}

impl View {
    fn sees(&self, key: &Access) -> bool {
        self.actor.as_ref().is_none_or(|actor| {
            actor.role() == Role::Admin
                || key.id() == actor.id()
                || key.makers().any(|maker| maker.id == *actor.id())
        })
    }

    fn get(&self, id: &KeyId) -> Result<Arc<Access>, ManageError> {
        self.index.get(id).filter(|key| self.sees(key)).cloned().ok_or(ManageError::NotFound)
    }

    /// Whether the actor has all that such a key has.
    fn has(&self, settings: &KeySettings, expires_ms: Option<u64>) -> Result<(), Wider> {
        let Some(actor) = &self.actor else { return Ok(()) };
        actor.may_give_role(settings.role)?;
        actor.may_give_until(expires_ms)?;
        actor.may_give(&settings.grants)
    }

    /// Whether the actor has all that a change gives.
    fn has_what_is_new(&self, before: &KeySettings, after: &KeySettings) -> Result<(), Wider> {
        let Some(actor) = &self.actor else { return Ok(()) };
        if after.role != before.role {
            actor.may_give_role(after.role)?;
        }
        if after.expires_ms != before.expires_ms {
            actor.may_give_until(after.expires_ms)?;
        }
        if after.grants != before.grants {
            actor.may_give(&after.grants)?;
        }
        Ok(())
    }

    /// A manager's own key is its maker's affair.
    fn is_not_its_own(&self, target: &Access) -> Result<(), ManageError> {
        let own = |actor: &Arc<Access>| actor.role() < Role::Admin && actor.id() == target.id();
        if self.actor.as_ref().is_some_and(own) {
            return Err(ManageError::Forbidden("a manager may rotate and disable its own key, and no more"));
        }
        Ok(())
    }

    /// Who gets the secret of a key has all that it has.
    fn may_have_the_secret_of(&self, target: &Access) -> Result<(), ManageError> {
        if self.actor.as_ref().is_some_and(|actor| actor.id() == target.id()) {
            return Ok(());
        }
        Ok(self.has(&target.key().settings, target.expires_ms())?)
    }
}

impl std::fmt::Debug for dyn KeyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyStore")
    }
}

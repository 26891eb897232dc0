//! What a key that was shown gives, with all that has made it.

use std::sync::Arc;

use mainstay_provider_core::{Namespace, Subject};

use crate::grants::{Grants, Wider};
use crate::id::KeyId;
use crate::record::{Role, VirtualKey};

/// What a key gives: its own record, and those of the keys that have made it, whose grants bound it at any time.
#[derive(Debug)]
pub struct Access {
    key: Arc<VirtualKey>,
    /// From the nearest to the first.
    makers: Vec<Arc<VirtualKey>>,
    subjects: Vec<Subject>,
    namespace: Namespace,
    standing: Standing,
    /// The earliest end of the key and its makers.
    expires_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Sound,
    /// It, or a key that has made it.
    Disabled,
    /// A key that has made it is gone, or they are a circle.
    Orphaned,
}

/// A header asks for what the key does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this key may not name the {what} {asked:?}")]
pub struct NotAllowed {
    /// Subject or namespace.
    pub what: &'static str,
    /// What was asked for.
    pub asked: String,
}

impl Access {
    /// `makers` from the nearest to the first, `None` when they cannot all be found.
    pub(crate) fn new(key: Arc<VirtualKey>, makers: Option<Vec<Arc<VirtualKey>>>) -> Self {
        let is_orphaned = makers.is_none();
        let makers = makers.unwrap_or_default();
        let all = || std::iter::once(&key).chain(&makers);
        let standing = match all().any(|key| key.disabled_ms.is_some()) {
            _ if is_orphaned => Standing::Orphaned,
            true => Standing::Disabled,
            false => Standing::Sound,
        };
        let expires_ms = all().filter_map(|key| key.settings.expires_ms).min().unwrap_or(u64::MAX);
        let mut subjects: Vec<Subject> = Vec::new();
        for key in all() {
            let named = key.settings.grants.subjects.iter().filter_map(|subject| Subject::parse(subject));
            for subject in std::iter::once(key.id.subject()).chain(named) {
                if !subjects.contains(&subject) {
                    subjects.push(subject);
                }
            }
        }
        let namespace = match &key.settings.grants.namespace {
            Some(name) => Namespace::new(name.as_str()),
            None => key.id.namespace(),
        };
        Self { key, makers, subjects, namespace, standing, expires_ms }
    }

    /// The record.
    pub fn key(&self) -> &VirtualKey {
        &self.key
    }

    /// The keys that have made it, from the nearest to the first.
    pub fn makers(&self) -> impl Iterator<Item = &VirtualKey> {
        self.makers.iter().map(|maker| &**maker)
    }

    pub(crate) fn depth(&self) -> usize {
        self.makers.len()
    }

    /// Its public name.
    pub fn id(&self) -> &KeyId {
        &self.key.id
    }

    /// What it may manage.
    pub fn role(&self) -> Role {
        self.key.settings.role
    }

    /// Who pays for a call with it: the key, its own subjects, the keys that have made it, and theirs.
    pub fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// Whose data a call with it is, if it names no other.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// When it ends, in milliseconds since 1970: itself, or a key that has made it.
    pub fn expires_ms(&self) -> Option<u64> {
        (self.expires_ms < u64::MAX).then_some(self.expires_ms)
    }

    /// Whether this model may be asked for: by the key, and by all that have made it.
    pub fn allows_model(&self, name: &str) -> bool {
        self.all().all(|key| key.settings.grants.allows_model(name))
    }

    /// The namespace of a call that names this one.
    ///
    /// # Errors
    /// When the key, or one that has made it, may not name it.
    pub fn namespace_named(&self, name: &str) -> Result<Namespace, NotAllowed> {
        if name == self.namespace.as_str() {
            return Ok(self.namespace.clone());
        }
        let may = |key: &VirtualKey| key.settings.grants.may_name_namespace(name);
        let theirs = |maker: &&VirtualKey| maker.settings.grants.namespace.as_deref() != Some(name);
        if may(&self.key) && self.bounding_makers().filter(theirs).all(may) {
            return Ok(Namespace::new(name));
        }
        Err(NotAllowed { what: "namespace", asked: name.to_owned() })
    }

    /// Whether a call may name this subject: one that is there already, or one that the key, and all that have made it,
    /// may name.
    pub fn may_name_subject(&self, subject: &Subject) -> bool {
        let may = |key: &VirtualKey| key.settings.grants.may_name_subject(subject);
        self.subjects.contains(subject) || (may(&self.key) && self.bounding_makers().all(may))
    }

    /// Whether it may give this role to another key.
    ///
    /// # Errors
    /// When its own is less.
    pub fn may_give_role(&self, role: Role) -> Result<(), Wider> {
        if role <= self.role() { Ok(()) } else { Err(Wider::new("role", role.as_str())) }
    }

    /// Whether another key may end then (`None`: never).
    ///
    /// # Errors
    /// When it ends sooner itself.
    pub fn may_give_until(&self, expires_ms: Option<u64>) -> Result<(), Wider> {
        let asked = || expires_ms.map_or_else(|| "never".to_owned(), |end| format!("{end} ms since 1970"));
        let is_within = expires_ms.unwrap_or(u64::MAX) <= self.expires_ms;
        if is_within { Ok(()) } else { Err(Wider::new("expires", asked())) }
    }

    /// Whether it has all that these grants give, and so have those that have made it. An admin manages every subject and
    /// every namespace; models and limits bound it as they bound others.
    ///
    /// # Errors
    /// What it has not.
    pub fn may_give(&self, grants: &Grants) -> Result<(), Wider> {
        for key in self.all() {
            let own = &key.settings.grants;
            grants.models_are_within(own)?;
            grants.limits_are_within(own)?;
            if key.settings.role < Role::Admin {
                grants.names_are_within(own)?;
            }
        }
        Ok(())
    }

    /// How it is, in a word: `active`, `disabled` (itself or a key that has made it), `expired`.
    pub fn status(&self, now_ms: u64) -> &'static str {
        match self.standing {
            Standing::Disabled | Standing::Orphaned => "disabled",
            Standing::Sound if self.has_expired(now_ms) => "expired",
            Standing::Sound => "active",
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        self.standing
    }

    pub(crate) fn has_expired(&self, now_ms: u64) -> bool {
        self.expires_ms <= now_ms
    }

    fn all(&self) -> impl Iterator<Item = &VirtualKey> {
        std::iter::once(&*self.key).chain(self.makers())
    }

    /// An admin manages every name, so it bounds none.
    fn bounding_makers(&self) -> impl Iterator<Item = &VirtualKey> {
        self.makers().filter(|maker| maker.settings.role < Role::Admin)
    }
}

//! What a key grants.

use mainstay_provider_core::Subject;
use serde::{Deserialize, Serialize};

use crate::limit::KeyLimit;
use crate::pattern::Pattern;

/// What whoever shows a key may do. The default may call every model, without a limit, in a namespace of its own.
///
/// A record with a member that is not known here is not read: it could be a restriction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Grants {
    /// The models that may be asked for, by the name that the call gives; `None` is every model, an empty list is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<Pattern>>,
    /// How much may be used. One limit for each unit and period.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<KeyLimit>,
    /// Who pays besides the key itself: `org:acme`, `team:search`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// The subjects that a call's headers may add: `user:*`. Default none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub caller_subjects: Vec<Pattern>,
    /// Whose data the calls are; keys with the same namespace share what caches hold. Default: the key's own, which nobody
    /// shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The namespaces that a call's headers may name instead. Default none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub caller_namespaces: Vec<Pattern>,
}

/// Somebody wanted to give more than they have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {asked} is more than the key that asks for it has itself")]
pub struct Wider {
    /// Of which setting.
    pub what: &'static str,
    /// What was asked for.
    pub asked: String,
}

impl Wider {
    pub(crate) fn new(what: &'static str, asked: impl Into<String>) -> Self {
        Self { what, asked: asked.into() }
    }
}

impl Grants {
    /// Whether this model may be asked for.
    pub fn allows_model(&self, name: &str) -> bool {
        self.models.as_ref().is_none_or(|models| models.iter().any(|model| model.matches(name)))
    }

    /// Whether these grants give nothing that `maker` has not. What a call may use is bounded by the maker's limits in any case,
    /// since it counts against the maker too; a limit of the same kind that is higher would only mislead, and is refused.
    ///
    /// # Errors
    /// What is more.
    pub fn is_within(&self, maker: &Self) -> Result<(), Wider> {
        self.models_are_within(maker)?;
        self.limits_are_within(maker)?;
        self.names_are_within(maker)
    }

    pub(crate) fn models_are_within(&self, maker: &Self) -> Result<(), Wider> {
        let Some(allowed) = &maker.models else { return Ok(()) };
        let Some(models) = &self.models else { return Err(Wider::new("models", "every model")) };
        match models.iter().find(|model| !covered(model, allowed)) {
            Some(model) => Err(Wider::new("models", model.as_str())),
            None => Ok(()),
        }
    }

    pub(crate) fn limits_are_within(&self, maker: &Self) -> Result<(), Wider> {
        let is_more = |limit: &&KeyLimit| {
            maker.limits.iter().any(|most| limit.is_of_the_kind_of(most) && limit.amount > most.amount)
        };
        self.limits.iter().find(is_more).map_or(Ok(()), |limit| Err(Wider::new("limits", limit.to_string())))
    }

    /// Subjects and namespaces: with those of another, a key would spend another's money or read another's answers.
    pub(crate) fn names_are_within(&self, maker: &Self) -> Result<(), Wider> {
        let may_name = |subject: &&String| {
            maker.subjects.contains(subject) || maker.caller_subjects.iter().any(|p| p.matches(subject))
        };
        if let Some(subject) = self.subjects.iter().find(|subject| !may_name(subject)) {
            return Err(Wider::new("subjects", subject));
        }
        let patterns = [
            ("caller_subjects", &self.caller_subjects, &maker.caller_subjects),
            ("caller_namespaces", &self.caller_namespaces, &maker.caller_namespaces),
        ];
        for (what, wanted, allowed) in patterns {
            if let Some(pattern) = wanted.iter().find(|pattern| !covered(pattern, allowed)) {
                return Err(Wider::new(what, pattern.as_str()));
            }
        }
        match &self.namespace {
            Some(name) if !maker.may_be_in(name) => Err(Wider::new("namespace", name)),
            _ => Ok(()),
        }
    }

    fn may_be_in(&self, namespace: &str) -> bool {
        self.namespace.as_deref() == Some(namespace) || self.may_name_namespace(namespace)
    }

    /// Whether a call's headers may name this namespace. The namespaces of single keys are nobody else's.
    pub(crate) fn may_name_namespace(&self, name: &str) -> bool {
        !is_reserved(name) && self.caller_namespaces.iter().any(|pattern| pattern.matches(name))
    }

    /// Whether a call's headers may add this subject. Nobody adds a key.
    pub(crate) fn may_name_subject(&self, subject: &Subject) -> bool {
        subject.kind() != KEY && self.caller_subjects.iter().any(|pattern| pattern.matches(subject.as_str()))
    }
}

/// The kind of the subjects, and the beginning of the namespaces, that are keys' own.
pub(crate) const KEY: &str = "key";

/// Whether a namespace can only be the one that a key has by itself.
pub(crate) fn is_reserved(namespace: &str) -> bool {
    namespace.strip_prefix(KEY).is_some_and(|rest| rest.starts_with(':'))
}

fn covered(pattern: &Pattern, allowed: &[Pattern]) -> bool {
    allowed.iter().any(|wide| wide.covers(pattern))
}

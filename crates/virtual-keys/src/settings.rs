//! What is decided about a key, by whoever makes it.

use std::collections::BTreeMap;

use mainstay_provider_core::Subject;
use serde::{Deserialize, Serialize};

use crate::grants::{Grants, KEY, is_reserved};
use crate::record::Role;

/// What is decided about a key, by whoever makes it or changes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct KeySettings {
    /// What people call it. Need not be unique.
    pub name: String,
    /// What it may manage; nothing by default.
    #[serde(default)]
    pub role: Role,
    /// What whoever shows it may do.
    #[serde(default)]
    pub grants: Grants,
    /// When it ends, in milliseconds since 1970; by default never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// Anything that its owner wants to know of it. No secrets: it is shown to whoever may see the key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// A setting is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct InvalidSettings {
    /// Which one.
    pub what: &'static str,
    /// What is wrong, and the cure.
    pub why: String,
}

impl KeySettings {
    /// A key of this name, which may call every model.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Checks everything that can be seen without a store.
    ///
    /// # Errors
    /// The first setting that is not as it must be.
    pub fn check(&self) -> Result<(), InvalidSettings> {
        let wrong = |what, why: String| Err(InvalidSettings { what, why });
        if let Err(why) = plain(&self.name, 100) {
            return wrong("name", why);
        }
        if self.metadata.len() > 16 {
            return wrong("metadata", format!("{} entries; at most 16", self.metadata.len()));
        }
        for (name, value) in &self.metadata {
            if let Err(why) = plain(name, 64).and(if value.is_empty() { Ok(()) } else { plain(value, 512) }) {
                return wrong("metadata", why);
            }
        }
        self.grants.check()
    }
}

impl Grants {
    fn check(&self) -> Result<(), InvalidSettings> {
        let wrong = |what, why: String| Err(InvalidSettings { what, why });
        let lengths = [
            ("models", self.models.as_ref().map_or(0, Vec::len)),
            ("limits", self.limits.len()),
            ("subjects", self.subjects.len()),
            ("caller_subjects", self.caller_subjects.len()),
            ("caller_namespaces", self.caller_namespaces.len()),
        ];
        if let Some((what, length)) = lengths.into_iter().find(|(_, length)| *length > MOST) {
            return wrong(what, format!("{length} of them; at most {MOST}"));
        }
        for (number, limit) in self.limits.iter().enumerate() {
            if self.limits[..number].iter().any(|other| other.is_of_the_kind_of(limit)) {
                return wrong("limits", format!("{limit:?} is the second for its unit and period"));
            }
        }
        for subject in &self.subjects {
            let parsed = Subject::parse(subject);
            if parsed.as_ref().is_none_or(|subject| subject.kind() == KEY) {
                let why =
                    format!("{subject:?}; write kind:id, like org:acme; the kind \"key\" is the keys' own");
                return wrong("subjects", why);
            }
            if let Err(why) = name(subject) {
                return wrong("subjects", why);
            }
        }
        match &self.namespace {
            Some(namespace) if is_reserved(namespace) => {
                wrong("namespace", format!("{namespace:?}; names that begin with \"key:\" are the keys' own"))
            }
            Some(namespace) => name(namespace).or_else(|why| wrong("namespace", why)),
            None => Ok(()),
        }
    }
}

/// More of anything is a mistake, or an attempt to make each call slow.
const MOST: usize = 64;

/// A name that may stand in a header, in a log and in a key of a store.
fn name(text: &str) -> Result<(), String> {
    let is_sound = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_sound.then_some(()).ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        format!("{shown:?} is no name: 1 to 128 plain ASCII characters without spaces")
    })
}

/// A text that may stand in a log (security test 22).
fn plain(text: &str, most: usize) -> Result<(), String> {
    let length = text.chars().count();
    if length == 0 || length > most {
        return Err(format!("a text of {length} characters; 1 to {most}"));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(control) => Err(format!("holds the control character {control:?}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut KeySettings)) -> &'static str {
        let mut settings = KeySettings::named("search service");
        settings.check().unwrap();
        change(&mut settings);
        settings.check().unwrap_err().what
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(refused(|settings| settings.name.clear()), "name");
        assert_eq!(refused(|settings| settings.name = "x".repeat(101)), "name");
        assert_eq!(
            refused(|settings| drop(settings.metadata.insert("k".into(), "a\u{1b}[2J".into()))),
            "metadata"
        );
        assert_eq!(refused(|settings| settings.grants.subjects = vec!["acme".into()]), "subjects");
        assert_eq!(refused(|settings| settings.grants.subjects = vec!["org:a b".into()]), "subjects");
        assert_eq!(refused(|settings| settings.grants.namespace = Some(String::new())), "namespace");
        let twice = vec!["1 requests/day".parse().unwrap(), "2 requests/day".parse().unwrap()];
        assert_eq!(refused(|settings| settings.grants.limits = twice), "limits");
        let many = vec!["x".parse().unwrap(); 65];
        assert_eq!(refused(|settings| settings.grants.models = Some(many)), "models");
    }

    // Security test 22
    #[test]
    fn a_name_that_would_write_into_a_log_is_refused() {
        for name in ["a\r\nb", "a\u{1b}[31m", "a\u{0}"] {
            assert_eq!(refused(|settings| settings.name = name.into()), "name");
        }
    }

    // Security test 14: nobody is put into the namespace that a key has by itself, nor pays with it.
    #[test]
    fn what_is_a_keys_own_is_given_to_no_other() {
        assert_eq!(
            refused(|settings| settings.grants.namespace = Some("key:0123456789abcdef".into())),
            "namespace"
        );
        assert_eq!(
            refused(|settings| settings.grants.subjects = vec!["key:0123456789abcdef".into()]),
            "subjects"
        );
    }
}

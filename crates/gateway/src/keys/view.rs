//! A key as people see it and write it, in the admin API and on the command line. No secret and no digest.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mainstay::virtual_keys::{Access, KeyLimit, KeySettings, Pattern, Role};
use serde::{Deserialize, Deserializer, Serialize};

/// A key as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct KeyView {
    pub(crate) id: String,
    object: &'static str,
    pub(crate) name: String,
    pub(crate) role: &'static str,
    pub(crate) status: &'static str,
    /// The last four letters of its secret.
    pub(crate) hint: String,
    maker: Option<String>,
    created_at: String,
    rotated_at: Option<String>,
    disabled_at: Option<String>,
    pub(crate) expires_at: Option<String>,
    /// Until when the secret before the last rotation goes on.
    previous_until: Option<String>,
    pub(crate) models: Option<Vec<Pattern>>,
    pub(crate) limits: Vec<KeyLimit>,
    pub(crate) subjects: Vec<String>,
    caller_subjects: Vec<Pattern>,
    pub(crate) namespace: String,
    caller_namespaces: Vec<Pattern>,
    metadata: BTreeMap<String, String>,
}

impl KeyView {
    pub(crate) fn of(access: &Access, now_ms: u64) -> Self {
        let key = access.key();
        let (settings, grants) = (&key.settings, &key.settings.grants);
        let previous = key.previous.as_ref().filter(|previous| previous.until_ms > now_ms);
        Self {
            id: key.id.to_string(),
            object: "key",
            name: settings.name.clone(),
            role: settings.role.as_str(),
            status: access.status(now_ms),
            hint: key.hint.clone(),
            maker: key.maker.as_ref().map(ToString::to_string),
            created_at: time(key.created_ms),
            rotated_at: key.rotated_ms.map(time),
            disabled_at: key.disabled_ms.map(time),
            // Its own end, or the sooner one of a key that has made it.
            expires_at: access.expires_ms().map(time),
            previous_until: previous.map(|previous| time(previous.until_ms)),
            models: grants.models.clone(),
            limits: grants.limits.clone(),
            subjects: grants.subjects.clone(),
            caller_subjects: grants.caller_subjects.clone(),
            namespace: access.namespace().as_str().to_owned(),
            caller_namespaces: grants.caller_namespaces.clone(),
            metadata: settings.metadata.clone(),
        }
    }
}

fn time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| format!("{ms} ms since 1970"), |time| time.to_string())
}

/// What is decided about a key, as it is written. What is left out stays as it is; `null` is the default.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct KeyInput {
    pub(crate) name: Option<String>,
    pub(crate) role: Option<Role>,
    #[serde(deserialize_with = "given")]
    pub(crate) models: Option<Option<Vec<Pattern>>>,
    pub(crate) limits: Option<Vec<KeyLimit>>,
    pub(crate) subjects: Option<Vec<String>>,
    pub(crate) caller_subjects: Option<Vec<Pattern>>,
    #[serde(deserialize_with = "given")]
    pub(crate) namespace: Option<Option<String>>,
    pub(crate) caller_namespaces: Option<Vec<Pattern>>,
    #[serde(deserialize_with = "given")]
    pub(crate) expires_at: Option<Option<Time>>,
    pub(crate) metadata: Option<BTreeMap<String, String>>,
}

/// `null` is something that was given.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl KeyInput {
    pub(crate) fn apply(&self, settings: &mut KeySettings) {
        fn set<T: Clone>(place: &mut T, given: &Option<T>) {
            if let Some(given) = given {
                place.clone_from(given);
            }
        }
        set(&mut settings.name, &self.name);
        set(&mut settings.role, &self.role);
        set(&mut settings.expires_ms, &self.expires_at.map(|end| end.map(|end| end.0)));
        set(&mut settings.metadata, &self.metadata);
        let grants = &mut settings.grants;
        set(&mut grants.models, &self.models);
        set(&mut grants.limits, &self.limits);
        set(&mut grants.subjects, &self.subjects);
        set(&mut grants.caller_subjects, &self.caller_subjects);
        set(&mut grants.namespace, &self.namespace);
        set(&mut grants.caller_namespaces, &self.caller_namespaces);
    }
}

/// A time, `2027-01-31T12:00:00Z`, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) u64);

impl std::str::FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no time; write 2027-01-31T12:00:00Z");
        let time: Timestamp = text.parse().map_err(|_| wrong())?;
        u64::try_from(time.as_millisecond()).map(Self).map_err(|_| wrong())
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(json: &str) -> KeySettings {
        let mut settings = KeySettings::named("before");
        settings.grants.models = Some(vec!["m".parse().unwrap()]);
        settings.expires_ms = Some(1);
        serde_json::from_str::<KeyInput>(json).unwrap().apply(&mut settings);
        settings
    }

    #[test]
    fn what_is_left_out_stays_and_null_is_the_default() {
        let settings = applied("{}");
        assert!(
            settings.name == "before" && settings.expires_ms == Some(1) && settings.grants.models.is_some()
        );
        let settings = applied(r#"{"name":"after","models":null,"expires_at":null}"#);
        assert!(
            settings.name == "after" && settings.expires_ms.is_none() && settings.grants.models.is_none()
        );
        let settings = applied(r#"{"expires_at":"2027-01-31T12:00:00.5Z","limits":["5 concurrent"]}"#);
        assert_eq!((settings.expires_ms, settings.grants.limits.len()), (Some(1_801_396_800_500), 1));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_cure() {
        for (json, told) in [
            (r#"{"expires_at":"tomorrow"}"#, "2027-01-31T12:00:00Z"),
            (r#"{"limits":["many"]}"#, "requests/minute"),
            (r#"{"models":["a*b"]}"#, "no pattern"),
            (r#"{"modles":[]}"#, "unknown field"),
            (r#"{"digest":"00"}"#, "unknown field"),
        ] {
            let error = serde_json::from_str::<KeyInput>(json).unwrap_err().to_string();
            assert!(error.contains(told), "{json}: {error}");
        }
    }
}

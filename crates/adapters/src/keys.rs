//! Several keys for one provider: when one is rejected, the next is taken (S2.1).

use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_provider_core::{Error, Event, Events, Remedy, Severity};
use secrecy::{ExposeSecret, SecretString};

/// The keys of one provider, one of them in use.
#[derive(Debug)]
pub(crate) struct KeyRing {
    keys: Vec<SecretString>,
    /// Counts rejections: the key in use is this number modulo the number of keys.
    turn: AtomicUsize,
}

/// The key that an attempt uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) secret: &'a SecretString,
    /// Its place among the keys.
    pub(crate) place: usize,
    turn: usize,
}

impl KeyRing {
    pub(crate) fn new(keys: Vec<SecretString>) -> Self {
        Self { keys, turn: AtomicUsize::new(0) }
    }

    /// The key in use; `None` when there are none.
    pub(crate) fn current(&self) -> Option<Key<'_>> {
        let turn = self.turn.load(Ordering::Relaxed);
        let place = turn.checked_rem(self.keys.len())?;
        Some(Key { secret: self.keys.get(place)?, place, turn })
    }

    /// How many keys one call may try: each once.
    pub(crate) fn tries(&self) -> usize {
        self.keys.len().max(1)
    }

    /// Puts the next key in use if `error` says that this one is no good, and tells so. `false` when another key
    /// would not help.
    pub(crate) fn rejected(
        &self,
        key: Option<Key<'_>>,
        error: &Error,
        provider: &str,
        events: &Events,
    ) -> bool {
        if error.remedy() != Remedy::SwitchKey {
            return false;
        }
        let Some(key) = key else { return false };
        // Only the first of several calls that fail with the same key moves on; the others find the next one in use.
        let moved = self.turn.compare_exchange(
            key.turn,
            key.turn.wrapping_add(1),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if moved.is_ok() {
            events.send(|| {
                Event::new("key.rejected", Severity::Alert)
                    .with("provider", provider.to_owned())
                    .with("key", hint(key.secret))
                    .with("kind", error.kind().as_str())
                    .with("keys", self.keys.len().to_string())
            });
        }
        self.keys.len() > 1
    }
}

/// At most the last four characters of a key, and none of a short one.
fn hint(key: &SecretString) -> String {
    const SHOWN: usize = 4;
    let key = key.expose_secret();
    let length = key.chars().count();
    let shown = if length >= 5 * SHOWN { SHOWN } else { 0 };
    let tail: String = key.chars().skip(length - shown).collect();
    format!("…{tail}")
}

#[cfg(test)]
mod tests {
    use mainstay_provider_core::ErrorKind;

    use super::*;

    fn ring(keys: &[&str]) -> KeyRing {
        KeyRing::new(keys.iter().map(|key| SecretString::from(*key)).collect())
    }

    #[test]
    fn a_rejected_key_gives_way_to_the_next_and_is_told_once() {
        let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let sink = told.clone();
        let events = Events::to(move |event| sink.lock().unwrap().push(event));
        let ring = ring(&["sk-first-0123456789abcd", "sk-second-0123456789abcd"]);
        let first = ring.current();
        let error = Error::new(ErrorKind::Authentication, "no");
        // Two calls in flight fail with the same key.
        assert!(ring.rejected(first, &error, "openai", &events));
        assert!(ring.rejected(first, &error, "openai", &events));
        assert_eq!(ring.current().unwrap().secret.expose_secret(), "sk-second-0123456789abcd");
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 1);
        let text = format!("{told:?}");
        assert!(text.contains("…abcd") && !text.contains("0123456789"), "{text}");
    }

    #[test]
    fn other_failures_leave_the_key_in_use() {
        let ring = ring(&["a", "b"]);
        let first = ring.current();
        for kind in [ErrorKind::RateLimited, ErrorKind::InvalidRequest, ErrorKind::ServerError] {
            assert!(!ring.rejected(first, &Error::new(kind, "no"), "openai", &Events::default()));
        }
        assert_eq!(ring.current().unwrap().secret.expose_secret(), "a");
    }
}

//! Under which names entries stand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::key::{Key, Scope};

/// Makes the names of entries. Every look-up needs one, so what the names of a scope begin with is remembered.
pub(super) struct Names {
    prefix: String,
    known: Mutex<HashMap<Scope, Arc<str>>>,
}

/// Of more scopes than this the beginnings are made anew: callers choose their tenants' names, and must not fill the memory.
const MOST_KNOWN: usize = 1_024;

const VERSION: &str = ":exact:1:";

/// Not what the names of entries begin with: a purge leaves it.
const PURGES: &str = ":exact:purges:";

/// As many bytes of a scope's digest stand in a name. It is not what keeps tenants apart, the digest of the key is.
const OF_SCOPE: usize = 16;

impl Names {
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix, known: Mutex::default() }
    }

    /// What the names of a scope's entries begin with.
    pub(super) fn scope(&self, scope: &Scope) -> Arc<str> {
        // Names by scope: a panic elsewhere leaves them as good as they were.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begin) = known.get(scope) {
            return begin.clone();
        }
        let mut begin = String::with_capacity(self.prefix.len() + VERSION.len() + 2 * OF_SCOPE + 1);
        begin.push_str(&self.prefix);
        begin.push_str(VERSION);
        push_hex(&mut begin, &scope.digest().as_bytes()[..OF_SCOPE]);
        begin.push(':');
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.entry(scope.clone()).insert_entry(begin.into()).get().clone()
    }

    /// Where it stands how often something of a scope was forgotten.
    pub(super) fn purges(&self, scope: &Scope) -> String {
        let mut name = format!("{}{PURGES}", self.prefix);
        push_hex(&mut name, &scope.digest().as_bytes()[..OF_SCOPE]);
        name
    }

    pub(super) fn key(&self, key: &Key) -> String {
        let begin = self.scope(key.scope());
        let digest = key.digest().as_bytes();
        let mut name = String::with_capacity(begin.len() + 2 * digest.len());
        name.push_str(&begin);
        push_hex(&mut name, digest);
        name
    }
}

/// Formatting took longer than all the rest of a name.
fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for bytes in bytes.chunks(32) {
        let mut digits = [0; 64];
        for (place, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            place[0] = DIGITS[usize::from(byte >> 4)];
            place[1] = DIGITS[usize::from(byte & 15)];
        }
        text.push_str(std::str::from_utf8(&digits[..2 * bytes.len()]).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use mainstay_provider_core::{Call, Namespace};

    use super::*;
    use crate::config::Sharing;

    fn scope(name: &str) -> Scope {
        Scope::Namespace(Namespace::new(name))
    }

    #[test]
    fn a_name_says_prefix_scope_and_key_in_hexadecimal_digits() {
        let key = Key::of(&Call::ask("m", "a"), &Sharing::PerNamespace);
        let (scope, digest) = (key.scope().digest().to_string(), key.digest().to_string());
        let names = Names::new("ours".to_owned());
        for _ in 0..2 {
            assert_eq!(names.key(&key), format!("ours:exact:1:{}:{digest}", &scope[..32]));
        }
    }

    // S4.4
    #[test]
    fn scopes_keep_their_names_however_many_there_are_and_memory_is_not_filled() {
        let names = Names::new("ours".to_owned());
        let first: Vec<_> = (0..MOST_KNOWN + 10).map(|at| names.scope(&scope(&at.to_string()))).collect();
        assert!(names.known.lock().unwrap().len() <= MOST_KNOWN);
        for (at, begin) in first.iter().enumerate() {
            assert_eq!(*begin, names.scope(&scope(&at.to_string())));
        }
        assert_ne!(names.scope(&scope("a")), names.scope(&Scope::Shared("a".into())));
    }
}

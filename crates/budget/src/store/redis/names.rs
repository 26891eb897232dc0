//! What the keys are called. All begin with one hash tag, so that on a cluster they are in one place.

use std::fmt::{self, Write};
use std::time::Duration;

use redis::Cmd;

use super::super::{AccountKey, HoldId, Window};

/// The keys that scripts begin with, in this order: `lua/common.lua` says what each is. The ended of some time come third.
pub(super) struct Names {
    prefix: String,
    before_ended: [String; 2],
    after_ended: [String; 6],
    /// In the place of the ended, for scripts that need none: it must be under the same hash tag.
    pub(super) no_ended: String,
    /// What the keys of the totals of days begin with.
    pub(super) day_prefix: String,
}

/// How many keys [`Names::keys`] adds.
pub(super) const KEYS: usize = 9;

/// Where an account's numbers are.
pub(super) struct Place {
    /// What they are called in the state; or a key of its own, if the window rolls.
    pub(super) key: String,
    /// The slice, of a rolling window.
    pub(super) slice: Option<u64>,
    /// Where the window begins, if it rolls.
    pub(super) start: Option<u64>,
    /// For how long they are kept, in milliseconds; 0: for ever.
    pub(super) ttl_ms: u64,
}

/// How long a window's numbers stay when it is over: for answers that took longer than it.
const GRACE: Duration = Duration::from_secs(60 * 60);

/// No window is longer than this; what Redis is told must not be too large a number.
const LONGEST_MS: u64 = 100 * 366 * 86_400_000;

impl Names {
    pub(super) fn new(tag: &str) -> Self {
        let prefix = format!("{{{tag}}}:budget:");
        let name = |name: &str| format!("{prefix}{name}");
        Self {
            before_ended: ["state", "due"].map(name),
            after_ended: ["windows", "told", "rows", "days", "fresh", "written"].map(name),
            no_ended: name("e:"),
            day_prefix: name("u:"),
            prefix,
        }
    }

    pub(super) fn keys<'a>(&'a self, ended: &'a str, command: &mut Cmd) {
        for key in self.before_ended.iter().map(String::as_str).chain([ended]) {
            command.arg(key);
        }
        for key in &self.after_ended {
            command.arg(key);
        }
    }

    pub(super) fn rows(&self) -> &str {
        &self.after_ended[2]
    }

    pub(super) fn days(&self) -> &str {
        &self.after_ended[3]
    }

    /// The set of ended holds that this one is or will be in, and its number there.
    ///
    /// A set of up to 512 whole numbers takes 8 bytes for each: holds of four seconds are spread over 16 of them.
    pub(super) fn ended(&self, hold: HoldId) -> (String, i64) {
        let low = hold.0 as u64;
        let chance = (hold.0 >> 64) as u16;
        let number = low ^ (u64::from(chance) << 48);
        (format!("{}e:{}:{:x}", self.prefix, hold.made_ms() / 4_000, number & 0xf), number.cast_signed())
    }

    /// Where what is counted at this time stands.
    pub(super) fn account(&self, account: &AccountKey, window: &Window, now_ms: u64) -> Place {
        let grace = GRACE.as_millis() as u64;
        let left = window.forgotten_at(now_ms).map(|at| at.saturating_sub(now_ms).saturating_add(grace));
        let ttl_ms = left.map_or(0, |left| left.min(LONGEST_MS));
        let name = account.as_str();
        if window.slice_ms.is_some() {
            let (slice, start) = (Some(window.slice_at(now_ms)), Some(window.start_ms));
            return Place { key: format!("{}w:{name}", self.prefix), slice, start, ttl_ms };
        }
        let mut key = String::with_capacity(name.len() + 21);
        key.push_str(name);
        // Writing to a string does not fail.
        let _ = write!(key, "|{}", window.start_ms);
        Place { key, slice: None, start: None, ttl_ms }
    }

    pub(super) fn day_of(&self, key: &str) -> Option<u32> {
        key.strip_prefix(&self.day_prefix)?.parse().ok()
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)
    }
}

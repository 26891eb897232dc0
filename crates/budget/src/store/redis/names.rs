//! What the keys are called. All begin with one hash tag, so that on a cluster they are in one place.

use std::fmt;
use std::time::Duration;

use super::super::{AccountKey, Charge, HoldId, Window};

/// The keys that are named outside of the scripts: `lua/common.lua` and `lua/rolling.lua` say what each is. The number is that of the form in which
/// things are kept: what is kept in another form has other keys.
pub(super) struct Names {
    prefix: String,
    pub(super) state: String,
    pub(super) fresh: String,
    pub(super) written: String,
    pub(super) rows: String,
    pub(super) days: String,
}

/// Where an account's numbers are.
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    /// Where its window begins.
    pub(super) start: u64,
    /// How long a slice is, of a rolling window, and where this one begins.
    pub(super) slice: Option<(u64, u64)>,
    /// For how long they are kept, in milliseconds; 0: for ever.
    pub(super) ttl_ms: u64,
}

/// How long a window's numbers stay when it is over: for answers that took longer than it.
const GRACE: Duration = Duration::from_secs(60 * 60);

/// No window is longer than this; what Redis is told must not be too large a number.
const LONGEST_MS: u64 = 100 * 366 * 86_400_000;

impl Names {
    pub(super) fn new(tag: &str) -> Self {
        let prefix = format!("{{{tag}}}:budget:3:");
        let name = |name: &str| format!("{prefix}{name}");
        Self {
            state: name("state"),
            fresh: name("fresh"),
            written: name("written"),
            rows: name("rows"),
            days: name("days"),
            prefix,
        }
    }

    /// The day of the key of its totals.
    pub(super) fn day_of(&self, key: &str) -> Option<u32> {
        key.strip_prefix(&self.prefix)?.strip_prefix("u:")?.parse().ok()
    }
}

/// A number in digits; `write!` takes several times as long.
pub(super) fn push_decimal(text: &mut Vec<u8>, mut number: u64) {
    let (mut digits, mut first) = ([0; 20], 20);
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return text.extend_from_slice(&digits[first..]);
        }
    }
}

impl<'a> Place<'a> {
    /// What an account is called in the state.
    pub(super) fn in_state<'b>(&self, name: &'b mut Vec<u8>) -> &'b [u8] {
        match self.slice {
            Some(_) => written(name, b"w|", self.name, None),
            None => written(name, b"a|", self.name, Some(self.start)),
        }
    }

    /// What its slice is called there, if it rolls.
    pub(super) fn slice_in_state<'b>(&self, name: &'b mut Vec<u8>) -> Option<&'b [u8]> {
        self.slice.map(|(_, at)| written(name, b"s|", self.name, Some(at)))
    }

    pub(super) fn rolls(&self) -> bool {
        self.slice.is_some()
    }

    /// Where what is counted at this time stands.
    pub(super) fn of(account: &'a AccountKey, window: &Window, now_ms: u64) -> Self {
        let grace = GRACE.as_millis() as u64;
        let left = window.forgotten_at(now_ms).map(|at| at.saturating_sub(now_ms).saturating_add(grace));
        Self {
            name: account.as_str(),
            start: window.start_ms,
            slice: window.slice_ms.map(|length| (length, window.slice_at(now_ms))),
            ttl_ms: left.map_or(0, |left| left.min(LONGEST_MS)),
        }
    }

    /// Where the accounts of a hold are; their slices are those of the time that its name tells.
    pub(super) fn all(charges: &'a [Charge], hold: HoldId) -> Vec<Self> {
        let place = |charge: &'a Charge| Self::of(&charge.account, &charge.window, hold.made_ms());
        charges.iter().map(place).collect()
    }
}

fn written<'b>(to: &'b mut Vec<u8>, kind: &[u8], name: &str, number: Option<u64>) -> &'b [u8] {
    to.clear();
    to.extend_from_slice(kind);
    to.extend_from_slice(name.as_bytes());
    if let Some(number) = number {
        to.push(b'|');
        push_decimal(to, number);
    }
    to
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_digits() {
        for number in [0, 9, 10, 1_763_683_200_000, u64::MAX] {
            let mut text = b"x".to_vec();
            push_decimal(&mut text, number);
            assert_eq!(text, format!("x{number}").into_bytes());
        }
    }
}

//! What the keys are called. All begin with one hash tag, so that on a cluster they are in one place.

use std::fmt;
use std::time::Duration;

use super::super::{AccountKey, HoldId, Window};
use crate::row::UsageRow;

pub(super) struct Names {
    prefix: String,
    pub(super) open: String,
    pub(super) told: String,
    pub(super) rows: String,
    pub(super) days: String,
}

/// Where an account's numbers are at some time.
pub(super) struct Place {
    pub(super) key: String,
    /// The slice, of a rolling window.
    pub(super) slice: Option<u64>,
    /// Where the window begins, if it rolls.
    pub(super) start: Option<u64>,
    /// For how long the key is kept, in milliseconds; 0: for ever.
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
        Self { open: name("open"), told: name("told"), rows: name("rows"), days: name("days"), prefix }
    }

    pub(super) fn hold(&self, hold: HoldId) -> String {
        format!("{}h:{hold}", self.prefix)
    }

    pub(super) fn hold_of(&self, key: &str) -> Option<HoldId> {
        HoldId::parse(key.strip_prefix(&self.prefix)?.strip_prefix("h:")?)
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
        if window.slice_ms.is_some() {
            let key = format!("{}w:{}", self.prefix, account.as_str());
            let left = window.forgotten_at(now_ms).map_or(0, |at| at.saturating_sub(now_ms));
            let (slice, start) = (Some(window.slice_at(now_ms)), Some(window.start_ms));
            return Place { key, slice, start, ttl_ms: left.saturating_add(grace).min(LONGEST_MS) };
        }
        let key = format!("{}a:{}|{}", self.prefix, account.as_str(), window.start_ms);
        let left = window.end_ms.map(|end| end.saturating_sub(now_ms));
        let ttl_ms = left.map_or(0, |left| left.saturating_add(grace).min(LONGEST_MS));
        Place { key, slice: None, start: None, ttl_ms }
    }

    /// The totals of this day.
    pub(super) fn day(&self, day: u32) -> String {
        format!("{}u:{day}", self.prefix)
    }

    pub(super) fn day_of(&self, key: &str) -> Option<u32> {
        key.strip_prefix(&self.prefix)?.strip_prefix("u:")?.parse().ok()
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)
    }
}

/// The fields of a day that a row counts in: its model, and its model with each of its subjects.
pub(super) fn fields(row: &UsageRow) -> Vec<String> {
    // No model has a NUL in its name; whoever has one anyway shares a total, not a field of another form.
    let model = row.model_name().replace('\0', " ");
    let mut fields = Vec::with_capacity(1 + row.subjects.len());
    fields.push(format!("{model}\0"));
    for subject in row.subjects.iter() {
        let field = format!("{model}\0{subject}");
        if !fields.contains(&field) {
            fields.push(field);
        }
    }
    fields
}

/// The model and the subject of such a field.
pub(super) fn of_field(field: &str) -> Option<(&str, &str)> {
    field.split_once('\0')
}

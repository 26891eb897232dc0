//! The outside world's clock: signatures, HTTP dates and `created` need it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[allow(clippy::disallowed_methods)] // nothing here waits by it
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

pub(crate) fn unix_seconds() -> u64 {
    wall_clock().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

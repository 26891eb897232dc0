//! The time of day of a seed's world.

use std::time::{SystemTime, UNIX_EPOCH};

/// A time of day that is the same for all processes of a seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) begins: u64,
    pub(crate) born_ms: u64,
    pub(crate) speed: u64,
}

impl Clock {
    pub(crate) fn now(self) -> u64 {
        self.begins + machine_ms().saturating_sub(self.born_ms) * self.speed
    }
}

/// The machine's time of day.
pub(crate) fn machine_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

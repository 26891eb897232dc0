//! The outside world's clock: keys end by it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the time of day comes from. By default from the system.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// A clock of your own.
    pub fn of(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// A clock that begins at this time of day and goes on with tokio's, which tests can pause and move.
    pub fn of_tokio(begin_ms: u64) -> Self {
        let (begin, since) = (UNIX_EPOCH + Duration::from_millis(begin_ms), tokio::time::Instant::now());
        Self::of(move || begin + since.elapsed())
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        let since = (self.0)().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for Clock {
    #[allow(clippy::disallowed_methods, reason = "nothing here waits by it, and tests give another")]
    fn default() -> Self {
        Self::of(SystemTime::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

//! How long a second is: the fast profile makes every time of upstream and gateway shorter, and nothing else different.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Profile {
    /// Real times: two minutes.
    Full,
    /// All times divided by ten.
    Fast,
}

impl Profile {
    pub(crate) fn scale(self) -> Scale {
        match self {
            Self::Full => Scale(1.0),
            Self::Fast => Scale(10.0),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Fast => "fast",
        }
    }
}

/// By how much times are divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale(pub(crate) f64);

impl Scale {
    /// A time of the full profile as it is here.
    pub(crate) fn seconds(self, full: f64) -> Duration {
        Duration::from_secs_f64(full / self.0)
    }
}

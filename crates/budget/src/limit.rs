//! What a subject may use.

use std::fmt;

use mainstay_metering::NanoUsd;

use crate::period::Period;
use crate::store::MOST;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Unit {
    /// Input and output tokens together.
    Tokens,
    /// Money, in nano-dollars.
    Usd,
    /// Calls that were answered, in part or in whole, or that cost something.
    Requests,
    /// Calls at once: each takes a place and gives it back at its end.
    Concurrent,
}

impl Unit {
    /// All units.
    pub const ALL: [Self; 4] = [Self::Tokens, Self::Usd, Self::Requests, Self::Concurrent];

    /// The name in accounts, configurations and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Usd => "usd",
            Self::Requests => "requests",
            Self::Concurrent => "concurrent",
        }
    }

    /// Whether what is counted is what attempts use, not how many calls there are.
    pub(crate) fn is_of_usage(self) -> bool {
        matches!(self, Self::Tokens | Self::Usd)
    }

    /// An amount as a person reads it: `$12.50`, `120 tokens`.
    pub(crate) fn show(self, amount: u64) -> String {
        match self {
            Self::Usd => NanoUsd::from_nanos(amount).to_string(),
            Self::Tokens => format!("{amount} tokens"),
            Self::Requests => format!("{amount} requests"),
            Self::Concurrent => format!("{amount} calls at once"),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a subject may use of one unit in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Limit {
    /// What is counted.
    pub unit: Unit,
    /// How much of it at most: tokens, nano-dollars, calls. Reserved and spent together never pass it.
    pub amount: u64,
    /// In what time.
    pub period: Period,
    /// At how many thousandths of it an alert is raised: 800 when not set; none for never.
    pub soft: Option<u16>,
    /// What is done when the store cannot be asked.
    pub when_store_fails: WhenStoreFails,
}

/// What is done with a call when the store of the budgets does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenStoreFails {
    /// It is refused. The default for money and tokens.
    Closed,
    /// It spends from a share of the limit that this process has kept reserved for itself while the store was well, so that
    /// nothing ever passes the limit; when that is used up, or if there is none, it is refused. The default for
    /// requests and for calls at once, with a tenth.
    Lease {
        /// How many thousandths of what is left of the limit this process keeps for itself, 1 to 500.
        share: u16,
    },
    /// It goes through, is counted here and booked when the store is back. The limit may be passed meanwhile.
    Open,
}

impl WhenStoreFails {
    /// The name in configurations and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Lease { .. } => "lease",
            Self::Open => "open",
        }
    }
}

impl Limit {
    fn new(unit: Unit, amount: u64, period: Period, when_store_fails: WhenStoreFails) -> Self {
        Self { unit, amount, period, soft: Some(800), when_store_fails }
    }

    /// So many tokens.
    pub fn tokens(amount: u64, period: Period) -> Self {
        Self::new(Unit::Tokens, amount, period, WhenStoreFails::Closed)
    }

    /// So much money.
    pub fn usd(amount: NanoUsd, period: Period) -> Self {
        Self::new(Unit::Usd, amount.as_nanos(), period, WhenStoreFails::Closed)
    }

    /// So many requests.
    pub fn requests(amount: u64, period: Period) -> Self {
        Self::new(Unit::Requests, amount, period, WhenStoreFails::Lease { share: 100 })
    }

    /// So many calls at once.
    pub fn concurrent(amount: u64) -> Self {
        let limit =
            Self::new(Unit::Concurrent, amount, Period::Forever, WhenStoreFails::Lease { share: 100 });
        Self { soft: None, ..limit }
    }

    /// At how many thousandths an alert is raised; none for never.
    #[must_use]
    pub fn soft(mut self, permille: impl Into<Option<u16>>) -> Self {
        self.soft = permille.into();
        self
    }

    /// What is done when the store cannot be asked.
    #[must_use]
    pub fn when_store_fails(mut self, policy: WhenStoreFails) -> Self {
        self.when_store_fails = policy;
        self
    }

    /// From how much spent on the alert is raised.
    pub(crate) fn soft_amount(&self) -> Option<u64> {
        let permille = u128::from(self.soft?);
        u64::try_from((u128::from(self.amount) * permille).div_ceil(1_000)).ok()
    }

    /// Whether it can be kept.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), InvalidLimit> {
        self.period.check()?;
        if self.amount > MOST {
            return Err(InvalidLimit::TooMuch);
        }
        if self.soft.is_some_and(|soft| soft == 0 || soft > 1_000) {
            return Err(InvalidLimit::Soft);
        }
        if self.unit == Unit::Concurrent && self.period != Period::Forever {
            return Err(InvalidLimit::ConcurrentInPeriod);
        }
        match self.when_store_fails {
            WhenStoreFails::Lease { share } if share == 0 || share > 500 => Err(InvalidLimit::Share),
            _ => Ok(()),
        }
    }
}

/// Why a limit cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLimit {
    /// The amount is beyond what every store can count exactly.
    #[error("a limit is at most 2^53 - 1, some 9 million dollars")]
    TooMuch,
    /// The share for the alert makes no sense.
    #[error("the soft limit is 1 to 1000 thousandths of the limit")]
    Soft,
    /// The share of the lease makes no sense.
    #[error("the lease is 1 to 500 thousandths of what is left of the limit")]
    Share,
    /// Calls at once have no period.
    #[error("a limit of calls at once has no period")]
    ConcurrentInPeriod,
    /// A rolling period under a second.
    #[error("a rolling period is a second at least")]
    RollingTooShort,
    /// A rolling period over 400 days.
    #[error("a rolling period is 400 days at most")]
    RollingTooLong,
    /// No such period.
    #[error(
        "{0:?} is no period; there are minute, hour, day, week, month, forever, and rolling with a time such as rolling 24h"
    )]
    UnknownPeriod(String),
    /// No such time zone.
    #[error("{0:?} is no time zone of the IANA database")]
    UnknownZone(String),
    /// A kind of subjects that no subject can have.
    #[error("{0:?} is no kind of subject: it is empty or has a colon in it")]
    Kind(String),
}

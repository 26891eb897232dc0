//! What a key may use, as plain data: whoever counts applies it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How much of something a key may use in a period. Written `60 requests/minute`, `100000 tokens/day`, `12.50 usd/month`,
/// `5 concurrent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub struct KeyLimit {
    /// Of what.
    pub unit: LimitUnit,
    /// How much: a number, or nano-USD (a USD is 1,000,000,000). At most 2^53 - 1, which every store can count to.
    pub amount: u64,
    /// In which time.
    pub period: LimitPeriod,
}

/// Of what there is a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LimitUnit {
    /// Calls.
    Requests,
    /// Tokens, of the question and of the answer.
    Tokens,
    /// Money, in nano-USD.
    Usd,
    /// Calls at the same time; their period is [`LimitPeriod::Forever`].
    Concurrent,
}

/// In which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LimitPeriod {
    /// A minute of the clock.
    Minute,
    /// An hour of the clock.
    Hour,
    /// A day of the calendar.
    Day,
    /// A week of the calendar.
    Week,
    /// A month of the calendar.
    Month,
    /// The time that has just passed, in whole seconds; `rolling-5h`.
    Rolling(Duration),
    /// For ever.
    Forever,
}

/// A text is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no limit; write 60 requests/minute, 100000 tokens/day, 12.50 usd/month or 5 concurrent (periods: minute, \
     hour, day, week, month, forever, rolling-5h)"
)]
pub struct InvalidLimit(String);

impl KeyLimit {
    /// The largest amount.
    pub const MOST: u64 = (1 << 53) - 1;

    /// So much in this period. An amount above [`MOST`](Self::MOST) is that.
    pub fn new(unit: LimitUnit, amount: u64, period: LimitPeriod) -> Self {
        Self { unit, amount: amount.min(Self::MOST), period }
    }

    /// Calls a minute.
    pub fn rpm(requests: u64) -> Self {
        Self::new(LimitUnit::Requests, requests, LimitPeriod::Minute)
    }

    /// Tokens a minute.
    pub fn tpm(tokens: u64) -> Self {
        Self::new(LimitUnit::Tokens, tokens, LimitPeriod::Minute)
    }

    /// Calls at the same time.
    pub fn concurrent(calls: u64) -> Self {
        Self::new(LimitUnit::Concurrent, calls, LimitPeriod::Forever)
    }

    /// Whether both limit the same thing in the same period.
    pub fn is_of_the_kind_of(&self, other: &Self) -> bool {
        (self.unit, self.period) == (other.unit, other.period)
    }
}

impl fmt::Display for KeyLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            LimitUnit::Concurrent => return write!(f, "{} concurrent", self.amount),
            LimitUnit::Requests => write!(f, "{} requests", self.amount)?,
            LimitUnit::Tokens => write!(f, "{} tokens", self.amount)?,
            LimitUnit::Usd => {
                let (whole, nano) = (self.amount / NANO, self.amount % NANO);
                match nano {
                    0 => write!(f, "{whole} usd")?,
                    _ => write!(f, "{whole}.{} usd", format!("{nano:09}").trim_end_matches('0'))?,
                }
            }
        }
        write!(f, "/{}", self.period)
    }
}

impl FromStr for KeyLimit {
    type Err = InvalidLimit;

    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        read(text).ok_or_else(|| InvalidLimit(text.chars().take(64).collect()))
    }
}

fn read(text: &str) -> Option<KeyLimit> {
    let (amount, of_what) = text.trim().split_once(' ')?;
    let (unit, period) = match of_what.trim().split_once('/') {
        Some((unit, period)) => (unit.trim(), Some(period.trim())),
        None => (of_what.trim(), None),
    };
    let (unit, period) = match (unit, period) {
        ("concurrent", None) => (LimitUnit::Concurrent, LimitPeriod::Forever),
        ("requests", Some(period)) => (LimitUnit::Requests, period.parse().ok()?),
        ("tokens", Some(period)) => (LimitUnit::Tokens, period.parse().ok()?),
        ("usd", Some(period)) => (LimitUnit::Usd, period.parse().ok()?),
        _ => return None,
    };
    let amount = if unit == LimitUnit::Usd { nano_usd(amount)? } else { number(amount)? };
    (amount <= KeyLimit::MOST).then_some(KeyLimit { unit, amount, period })
}

const NANO: u64 = 1_000_000_000;

/// Digits only: `parse` alone would take a sign too.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn nano_usd(text: &str) -> Option<u64> {
    let (whole, parts) = text.split_once('.').unwrap_or((text, "0"));
    if parts.is_empty() || parts.len() > 9 {
        return None;
    }
    let nano = number(&format!("{parts:0<9}"))?;
    number(whole)?.checked_mul(NANO)?.checked_add(nano)
}

impl fmt::Display for LimitPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Forever => "forever",
            Self::Rolling(span) => {
                let seconds = span.as_secs();
                let units = [(86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
                let (length, unit) =
                    units.into_iter().find(|(length, _)| seconds % length == 0).unwrap_or((1, 's'));
                return write!(f, "rolling-{}{unit}", seconds / length);
            }
        };
        f.write_str(name)
    }
}

impl FromStr for LimitPeriod {
    type Err = InvalidLimit;

    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        let period = match text {
            "minute" => Some(Self::Minute),
            "hour" => Some(Self::Hour),
            "day" => Some(Self::Day),
            "week" => Some(Self::Week),
            "month" => Some(Self::Month),
            "forever" => Some(Self::Forever),
            _ => text.strip_prefix("rolling-").and_then(rolling),
        };
        period.ok_or_else(|| InvalidLimit(text.chars().take(64).collect()))
    }
}

/// From a minute on: it is counted in sixty parts.
fn rolling(text: &str) -> Option<LimitPeriod> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let length = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let seconds = number(digits)?.checked_mul(length)?;
    (60..=366 * 86_400).contains(&seconds).then(|| LimitPeriod::Rolling(Duration::from_secs(seconds)))
}

impl TryFrom<String> for KeyLimit {
    type Error = InvalidLimit;

    fn try_from(text: String) -> Result<Self, InvalidLimit> {
        text.parse()
    }
}

impl From<KeyLimit> for String {
    fn from(limit: KeyLimit) -> Self {
        limit.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(text: &str) -> KeyLimit {
        text.parse().unwrap()
    }

    #[test]
    fn limits_are_read_and_written_alike() {
        for text in [
            "60 requests/minute",
            "100000 tokens/day",
            "12.5 usd/month",
            "0.000000001 usd/forever",
            "9007199 usd/week",
            "5 concurrent",
            "7 requests/rolling-5h",
            "7 tokens/rolling-90s",
            "7 tokens/rolling-7d",
        ] {
            assert_eq!(limit(text).to_string(), text);
        }
        assert_eq!(limit("12.50 usd/month").amount, 12_500_000_000);
        assert_eq!(limit("60 requests/minute"), KeyLimit::rpm(60));
        assert_eq!(limit("60 requests/rolling-60s").to_string(), "60 requests/rolling-1m");
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for wrong in [
            "",
            "60",
            "60 requests",
            "-1 requests/minute",
            "+1 requests/minute",
            "1.5 requests/minute",
            "1e3 tokens/day",
            "5 concurrent/minute",
            "1 eur/month",
            "1. usd/month",
            ".5 usd/month",
            "0.0000000001 usd/month",
            "9007200 usd/month",
            "9007199254740992 tokens/day",
            "1 tokens/rolling-59s",
            "1 tokens/rolling-",
            "1 tokens/rolling-\u{e9}",
            "1 tokens/fortnight",
        ] {
            assert!(wrong.parse::<KeyLimit>().is_err(), "{wrong:?}");
        }
    }
}

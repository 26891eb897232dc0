//! The time that a limit is for.

use std::fmt;
use std::str::FromStr;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use crate::limit::InvalidLimit;
use crate::store::Window;

/// The time that a limit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Period {
    /// A minute of the clock.
    Minute,
    /// An hour of the clock, in UTC.
    Hour,
    /// A day of the calendar, in the book's time zone.
    Day,
    /// A week of the calendar from Monday on, in the book's time zone.
    Week,
    /// A month of the calendar, in the book's time zone.
    Month,
    /// Any stretch of time of this length, wherever it begins. It is counted in 60 slices, of which the oldest counts whole as
    /// long as any of it is within: never too loose, and too tight by a sixtieth at most.
    Rolling(Duration),
    /// All time.
    Forever,
}

/// Into how many slices a rolling period is divided.
const SLICES: u64 = 60;

impl Period {
    /// A rolling minute, as providers count theirs.
    pub const ROLLING_MINUTE: Self = Self::Rolling(Duration::from_secs(60));

    pub(crate) fn check(self) -> Result<(), InvalidLimit> {
        match self {
            Self::Rolling(length) if length < Duration::from_secs(1) => Err(InvalidLimit::RollingTooShort),
            Self::Rolling(length) if length > Duration::from_secs(400 * 86_400) => {
                Err(InvalidLimit::RollingTooLong)
            }
            _ => Ok(()),
        }
    }
}

/// As in the names of accounts and in configurations: `day`, `rolling 3600s`.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minute => f.write_str("minute"),
            Self::Hour => f.write_str("hour"),
            Self::Day => f.write_str("day"),
            Self::Week => f.write_str("week"),
            Self::Month => f.write_str("month"),
            Self::Rolling(length) if length.subsec_millis() == 0 => {
                write!(f, "rolling {}s", length.as_secs())
            }
            Self::Rolling(length) => write!(f, "rolling {}ms", length.as_millis()),
            Self::Forever => f.write_str("forever"),
        }
    }
}

/// Reads what `Display` writes, and `rolling 5m`, `rolling 24h`, `rolling 30d`.
impl FromStr for Period {
    type Err = InvalidLimit;

    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        let unknown = || InvalidLimit::UnknownPeriod(text.to_owned());
        let period = match text {
            "minute" => Self::Minute,
            "hour" => Self::Hour,
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "forever" => Self::Forever,
            _ => {
                let length = text.strip_prefix("rolling").ok_or_else(unknown)?.trim_start();
                Self::Rolling(span(length).ok_or_else(unknown)?)
            }
        };
        period.check().map(|()| period)
    }
}

fn span(text: &str) -> Option<Duration> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let millis = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// A time zone, by its name in the IANA database: `Europe/Berlin`. UTC when nobody says otherwise.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone of this name.
    ///
    /// # Errors
    /// [`InvalidLimit::UnknownZone`].
    pub fn named(name: &str) -> Result<Self, InvalidLimit> {
        if name == "UTC" {
            return Ok(Self::default());
        }
        TimeZone::get(name).map(Self).map_err(|_| InvalidLimit::UnknownZone(name.to_owned()))
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("a time zone"))
    }
}

/// A period in a zone, which remembers where it is: the calendar is asked once in each.
#[derive(Debug)]
pub(crate) struct Calendar {
    period: Period,
    zone: Zone,
    /// The beginning and the end of the last one that was asked for.
    last: RwLock<(u64, u64)>,
}

impl Calendar {
    pub(crate) fn new(period: Period, zone: Zone) -> Self {
        Self { period, zone, last: RwLock::new((0, 0)) }
    }

    /// The period that this time is in.
    pub(crate) fn window(&self, now_ms: u64) -> Window {
        match self.period {
            Period::Minute => fixed(now_ms, 60_000),
            Period::Hour => fixed(now_ms, 3_600_000),
            Period::Forever => Window { start_ms: 0, end_ms: None, slice_ms: None },
            Period::Rolling(length) => rolling(now_ms, length),
            Period::Day | Period::Week | Period::Month => self.remembered(now_ms),
        }
    }

    fn remembered(&self, now_ms: u64) -> Window {
        let (start, end) = *self.last.read().unwrap_or_else(PoisonError::into_inner);
        if (start..end).contains(&now_ms) {
            return window(start, end);
        }
        let (start, end) = calendar(self.period, &self.zone.0, now_ms)
            // Beyond the calendar's range, where no clock is: days of UTC.
            .unwrap_or_else(|| (now_ms / DAY * DAY, (now_ms / DAY + 1).saturating_mul(DAY)));
        *self.last.write().unwrap_or_else(PoisonError::into_inner) = (start, end);
        window(start, end)
    }
}

const DAY: u64 = 86_400_000;

fn window(start_ms: u64, end_ms: u64) -> Window {
    Window { start_ms, end_ms: Some(end_ms), slice_ms: None }
}

fn fixed(now_ms: u64, length: u64) -> Window {
    let start = now_ms / length * length;
    window(start, start.saturating_add(length))
}

fn rolling(now_ms: u64, length: Duration) -> Window {
    let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX).max(1);
    let slice = length.div_ceil(SLICES);
    let start_ms = now_ms.saturating_sub(length) / slice * slice;
    Window { start_ms, end_ms: None, slice_ms: Some(slice) }
}

fn calendar(period: Period, zone: &TimeZone, now_ms: u64) -> Option<(u64, u64)> {
    let now = Timestamp::from_millisecond(i64::try_from(now_ms).ok()?).ok()?.to_zoned(zone.clone());
    let (first, length) = match period {
        Period::Week => {
            let since_monday = i64::from(now.weekday().to_monday_zero_offset());
            (now.checked_sub(since_monday.days()).ok()?, 1.week())
        }
        Period::Month => (now.first_of_month().ok()?, 1.month()),
        _ => (now, 1.day()),
    };
    let start = first.start_of_day().ok()?;
    // By the date, and not by the time: a day that begins at 01:00, because midnight was skipped, moves no other.
    let next = start.date().checked_add(length).ok()?;
    let end = next.to_zoned(zone.clone()).ok()?.start_of_day().ok()?;
    let millis = |zoned: &Zoned| u64::try_from(zoned.timestamp().as_millisecond()).ok();
    Some((millis(&start)?, millis(&end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> u64 {
        let time: Timestamp = text.parse().expect("a time");
        u64::try_from(time.as_millisecond()).expect("after 1970")
    }

    fn bounds(period: Period, zone: &str, now: &str) -> (String, String) {
        let window = Calendar::new(period, Zone::named(zone).expect("a zone")).window(at(now));
        let text = |ms: u64| Timestamp::from_millisecond(i64::try_from(ms).unwrap()).unwrap().to_string();
        (text(window.start_ms), text(window.end_ms.unwrap()))
    }

    #[test]
    fn a_month_of_the_calendar_begins_at_midnight_of_its_zone() {
        let (start, end) = bounds(Period::Month, "Europe/Berlin", "2026-10-31T23:30:00Z");
        assert_eq!((start.as_str(), end.as_str()), ("2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z"));
        let (start, end) = bounds(Period::Month, "UTC", "2026-10-31T23:30:00Z");
        assert_eq!((start.as_str(), end.as_str()), ("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"));
    }

    #[test]
    fn a_day_on_which_the_clock_is_put_back_has_25_hours() {
        let (start, end) = bounds(Period::Day, "Europe/Berlin", "2026-10-25T12:00:00Z");
        assert_eq!(at(&end) - at(&start), 25 * 3_600_000);
        let (_, before) = bounds(Period::Day, "Europe/Berlin", "2026-10-24T12:00:00Z");
        assert_eq!(before, start, "no time is between two days and none in both");
    }

    #[test]
    fn a_day_whose_midnight_is_skipped_begins_after_it_and_the_next_one_at_midnight() {
        // Cuba puts its clocks forward at midnight.
        let (start, end) = bounds(Period::Day, "America/Havana", "2026-03-08T12:00:00Z");
        assert_eq!((start.as_str(), end.as_str()), ("2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"));
    }

    #[test]
    fn a_week_begins_on_monday() {
        let (start, end) = bounds(Period::Week, "UTC", "2026-11-22T23:59:59Z");
        assert_eq!((start.as_str(), end.as_str()), ("2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"));
    }

    #[test]
    fn a_rolling_window_reaches_back_its_length_and_at_most_a_slice_more() {
        let clock = Calendar::new(Period::ROLLING_MINUTE, Zone::default());
        for now in [60_000_u64, 123_456, 999_999_999] {
            let window = clock.window(now);
            assert_eq!(window.slice_ms, Some(1_000));
            assert!(window.start_ms <= now - 60_000 && window.start_ms + 61_001 > now, "{now}");
            assert!(window.has_slice(window.slice_at(now)));
        }
    }

    #[test]
    fn a_period_is_read_as_it_is_written() {
        let rolling =
            [Duration::from_secs(60), Duration::from_millis(1_500), Duration::from_secs(86_400 * 30)];
        let named = [Period::Minute, Period::Hour, Period::Day, Period::Week, Period::Month, Period::Forever];
        for period in named.into_iter().chain(rolling.map(Period::Rolling)) {
            assert_eq!(period.to_string().parse::<Period>().unwrap(), period);
        }
        assert_eq!("rolling 24h".parse::<Period>().unwrap(), Period::Rolling(Duration::from_secs(86_400)));
        for wrong in ["", "days", "rolling", "rolling 5", "rolling 1y", "rolling 100ms", "rolling 99999d"] {
            assert!(wrong.parse::<Period>().is_err(), "{wrong}");
        }
    }
}

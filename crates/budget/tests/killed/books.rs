//! Whether counters and totals are the sums of the rows (M6).

use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};
use mainstay_budget::{Limit, Period, Standing, Unit, UsageRow, UsageTotal};
use mainstay_provider_core::Subject;

/// What stands on an account in the period that `time` is in.
pub(crate) fn check_standing(
    standing: &Standing,
    rows: &[Arc<UsageRow>],
    time: u64,
    now: u64,
) -> Result<(), String> {
    let Standing { subject, limit, spent, reserved, .. } = standing;
    let is_over = standing.resets_at_ms.is_some_and(|ends| ends <= now);
    // What nobody asks for any longer may be forgotten.
    if is_over && (*spent, *reserved) == (0, 0) {
        return Ok(());
    }
    let Some((begins, ends)) = bounds(limit, standing.resets_at_ms, time, now) else { return Ok(()) };
    let own = rows.iter().filter(|row| row.subjects.contains(subject) && (begins..ends).contains(&row.at_ms));
    let booked: u64 = own.map(|row| amount(limit, row)).sum();
    if (*spent, *reserved) != (booked, 0) {
        return Err(format!("{booked} in rows and nothing held, but {standing:?}"));
    }
    if *spent > limit.amount {
        return Err(format!("over the limit: {standing:?}"));
    }
    Ok(())
}

/// The totals of a subject.
pub(crate) fn check_totals(
    subject: &Subject,
    rows: &[Arc<UsageRow>],
    totals: &[UsageTotal],
) -> Result<(), String> {
    let own = || rows.iter().filter(|row| row.subjects.contains(subject));
    let of_rows = [
        own().map(|row| row.usage.total()).sum::<u64>(),
        own().map(|row| row.cost.as_nanos()).sum(),
        own().map(|row| row.requests).sum(),
    ];
    let of_totals = [
        totals.iter().map(|total| total.usage.total()).sum::<u64>(),
        totals.iter().map(|total| total.cost.as_nanos()).sum(),
        totals.iter().map(|total| total.requests).sum(),
    ];
    if of_rows == of_totals {
        return Ok(());
    }
    Err(format!(
        "{subject:?}: tokens, nanos and requests are {of_rows:?} in rows and {of_totals:?} in totals"
    ))
}

fn amount(limit: &Limit, row: &UsageRow) -> u64 {
    match limit.unit {
        Unit::Tokens => row.usage.total(),
        Unit::Usd => row.cost.as_nanos(),
        Unit::Requests => row.requests,
        _ => 0,
    }
}

/// From when to when rows count; for a rolling period only as of now, since older slices may be forgotten.
fn bounds(limit: &Limit, ends: Option<u64>, time: u64, now: u64) -> Option<(u64, u64)> {
    let fixed = |length: u64| ends.map(|end| (end - length, end));
    match limit.period {
        Period::Minute => fixed(60_000),
        Period::Hour => fixed(3_600_000),
        Period::Day => fixed(86_400_000),
        Period::Month => ends.map(|end| (month_before(end), end)),
        Period::Rolling(_) if time != now => None,
        Period::Rolling(length) => {
            let length = u64::try_from(length.as_millis()).unwrap();
            let slice = length.div_ceil(60);
            Some((now.saturating_sub(length) / slice * slice, u64::MAX))
        }
        _ => Some((0, u64::MAX)),
    }
}

/// When the month begins that ends then.
fn month_before(end: u64) -> u64 {
    let last = Timestamp::from_millisecond(i64::try_from(end).unwrap() - 1).unwrap().to_zoned(TimeZone::UTC);
    let first = last.first_of_month().unwrap().start_of_day().unwrap();
    u64::try_from(first.timestamp().as_millisecond()).unwrap()
}

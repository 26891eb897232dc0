//! What a caller is told whose call has no room in a budget.

use std::time::Duration;

use jiff::Timestamp;
use mainstay_metering::UnknownPrice;
use mainstay_provider_core::{Error, ErrorKind, Subject};

use crate::book::Account;
use crate::limit::{Limit, Unit};
use crate::store::{Balance, Charge};

/// A call would pass a limit, and was refused. It is the source of an error of the kind
/// [`LimitReached`](ErrorKind::LimitReached) with code `budget_exceeded`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetExceeded {
    /// Whose limit it is.
    pub subject: Subject,
    /// The limit.
    pub limit: Limit,
    /// What was spent of it.
    pub spent: u64,
    /// What calls under way have reserved of it.
    pub reserved: u64,
    /// What this call would have reserved.
    pub needed: u64,
    /// When the period ends, in milliseconds since 1970; none for a rolling period and for all time.
    pub resets_at_ms: Option<u64>,
}

impl std::error::Error for BudgetExceeded {}

impl std::fmt::Display for BudgetExceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { subject, limit, spent, reserved, needed, resets_at_ms } = self;
        let show = |amount: u64| limit.unit.show(amount);
        if limit.unit == Unit::Concurrent {
            return write!(f, "{subject} has {} under way and may have {}", show(*reserved), limit.amount);
        }
        write!(f, "the budget of {subject} has no room for this call: ")?;
        write!(f, "limit {} per {}, ", show(limit.amount), limit.period)?;
        write!(f, "spent {}, reserved {}, ", show(*spent), show(*reserved))?;
        write!(f, "this call may need {}", show(*needed))?;
        match resets_at_ms.and_then(written) {
            Some(time) => write!(f, "; the limit is reset at {time}"),
            None => Ok(()),
        }
    }
}

/// A time as a person reads it: `2026-11-22T00:00:00Z`.
pub(crate) fn written(at_ms: u64) -> Option<String> {
    Timestamp::from_millisecond(i64::try_from(at_ms).ok()?).ok().map(|time| time.to_string())
}

pub(crate) fn exceeded(account: &Account, charge: &Charge, balance: Balance, now_ms: u64) -> Error {
    let resets_at_ms = charge.window.end_ms;
    let exceeded = BudgetExceeded {
        subject: account.subject.clone(),
        limit: account.limit,
        spent: balance.spent,
        reserved: balance.reserved,
        needed: charge.take,
        resets_at_ms,
    };
    let error = Error::new(ErrorKind::LimitReached, exceeded.to_string()).with_code("budget_exceeded");
    // Of a rolling period something becomes free with each slice.
    let wait = resets_at_ms.map(|at| at.saturating_sub(now_ms)).or(charge.window.slice_ms);
    let error = match wait {
        Some(wait) => error.with_retry_after(Duration::from_millis(wait)),
        None => error,
    };
    error.with_source(exceeded)
}

/// The store does not answer, and the limit says that nothing goes through then.
pub(crate) fn store_away(account: Option<&Account>) -> Error {
    let message = match account {
        Some(account) => format!(
            "the budget of {} cannot be checked just now, and no call goes through unchecked; try again shortly",
            account.subject
        ),
        None => "the budgets cannot be checked just now; try again shortly".to_owned(),
    };
    Error::new(ErrorKind::Unavailable, message).with_code("budget_store_unavailable")
}

/// Nobody knows what the call may cost.
pub(crate) fn unknown_price(unknown: UnknownPrice) -> Error {
    let message = format!("{unknown}; add it to the price file, or declare what unknown prices mean");
    Error::new(ErrorKind::Configuration, message).with_code("unknown_price").with_source(unknown)
}

//! What the functions are asked and what they answer: one array for each member of the charges, and so for the rows.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Row;

use super::super::{
    AccountKey, Balance, Charge, ExpiredHold, HoldId, MOST, Reserved, Settled, StoreError, Window,
};
use crate::row::UsageRow;

/// For how long a window's numbers stay when it is over: for answers that took longer than it.
const GRACE_MS: u64 = 60 * 60 * 1000;

/// No window is longer than this; what PostgreSQL is told must not be too large a number.
const LONGEST_MS: u64 = 100 * 366 * 86_400_000;

/// Charges, member by member.
#[derive(Default)]
pub(super) struct Charges<'a> {
    pub(super) accounts: Vec<&'a [u8]>,
    pub(super) slices: Vec<i64>,
    pub(super) starts: Vec<i64>,
    pub(super) rolls: Vec<bool>,
    /// When the numbers may be forgotten, in milliseconds from now; none: never.
    pub(super) forget: Vec<Option<i64>>,
    pub(super) limits: Vec<i64>,
    pub(super) takes: Vec<i64>,
    pub(super) if_lost: Vec<i64>,
}

impl<'a> Charges<'a> {
    pub(super) fn of(charges: &'a [Charge], now_ms: u64) -> Self {
        let mut all = Self::default();
        for charge in charges {
            all.add(&charge.account, &charge.window, now_ms);
            all.limits.push(amount(charge.limit));
            // One more than the most is more than any limit: it is refused.
            all.takes.push(whole(charge.take.min(MOST + 1)));
            all.if_lost.push(amount(charge.if_lost));
        }
        all
    }

    pub(super) fn add(&mut self, account: &'a AccountKey, window: &Window, now_ms: u64) {
        let rolls = window.slice_ms.is_some();
        let left = window.forgotten_at(now_ms).map(|at| at.saturating_sub(now_ms).saturating_add(GRACE_MS));
        self.accounts.push(account.as_str().as_bytes());
        self.slices.push(whole(window.slice_at(now_ms)));
        self.starts.push(whole(window.start_ms));
        self.rolls.push(rolls);
        self.forget.push(left.map(|left| whole(left.min(LONGEST_MS))));
    }
}

/// Rows, member by member, and the subjects that each counts for.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) json: Vec<String>,
    pub(super) at: Vec<i64>,
    pub(super) day: Vec<i32>,
    pub(super) model: Vec<Vec<u8>>,
    pub(super) amounts: Vec<i64>,
}

/// Of which row a subject is (of which lease's below zero), and the subject.
#[derive(Default)]
pub(super) struct Subjects {
    pub(super) of: Vec<i32>,
    pub(super) subject: Vec<Vec<u8>>,
}

impl Rows {
    pub(super) fn of<'a>(rows: impl IntoIterator<Item = &'a Arc<UsageRow>>) -> Self {
        let mut all = Self::default();
        for row in rows {
            all.json.push(row.to_json());
            all.at.push(whole(row.at_ms));
            all.day.push(i32::try_from(row.day()).unwrap_or(i32::MAX));
            all.model.push(row.model_name().into_bytes());
            all.amounts.extend(amounts(row));
        }
        all
    }
}

impl Subjects {
    pub(super) fn add(&mut self, number: i32, row: &UsageRow) {
        for subject in subjects(row) {
            self.of.push(number);
            self.subject.push(subject);
        }
    }
}

/// Each subject once, and the empty one that stands for all calls.
pub(super) fn subjects(row: &UsageRow) -> Vec<Vec<u8>> {
    let mut subjects = vec![Vec::new()];
    for subject in row.subjects.iter() {
        let subject = subject.as_str().as_bytes().to_vec();
        if !subjects.contains(&subject) {
            subjects.push(subject);
        }
    }
    subjects
}

/// The numbers of a row that totals add up, in the order of the table of totals.
fn amounts(row: &UsageRow) -> [i64; 8] {
    let usage = &row.usage;
    [
        row.requests,
        usage.input,
        usage.output,
        usage.cache_read,
        usage.cache_write,
        usage.cache_write_long,
        usage.reasoning,
        row.cost.as_nanos(),
    ]
    .map(amount)
}

pub(super) fn amount(amount: u64) -> i64 {
    whole(amount.min(MOST))
}

pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn millis(time: Duration) -> i64 {
    whole(u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(LONGEST_MS))
}

/// What the advisory lock of a hold is called. Two holds with the same one wait for each other.
pub(super) fn lock(hold: HoldId) -> i64 {
    (hold.0 as u64 ^ (hold.0 >> 64) as u64).cast_signed()
}

pub(super) fn name(hold: HoldId) -> [u8; 16] {
    hold.0.to_be_bytes()
}

pub(super) fn reserved(row: &Row) -> Result<Reserved, StoreError> {
    let read = || {
        Ok::<_, tokio_postgres::Error>(match row.try_get::<_, i32>("outcome")? {
            1 => Some(Reserved::Granted(balances(row)?)),
            0 => Some(Reserved::Denied {
                index: usize::try_from(row.try_get::<_, i32>("place")?).unwrap_or_default(),
                balance: balances(row)?.first().copied().unwrap_or_default(),
                first: row.try_get("is_first")?,
            }),
            2 => Some(Reserved::Ended),
            _ => None,
        })
    };
    read().ok().flatten().ok_or_else(|| damaged("the answer to a reservation"))
}

pub(super) fn settled(row: &Row) -> Result<Settled, StoreError> {
    let read = || {
        Ok::<_, tokio_postgres::Error>(match row.try_get::<_, i32>("outcome")? {
            0 => Some(Settled::Again),
            1 => Some(Settled::Now(balances(row)?)),
            2 => Some(Settled::Late(balances(row)?)),
            _ => None,
        })
    };
    read().ok().flatten().ok_or_else(|| damaged("the answer to a settlement"))
}

fn balances(row: &Row) -> Result<Vec<Balance>, tokio_postgres::Error> {
    let spent: Option<Vec<i64>> = row.try_get("all_spent")?;
    let reserved: Option<Vec<i64>> = row.try_get("all_reserved")?;
    let pairs = spent.unwrap_or_default().into_iter().zip(reserved.unwrap_or_default());
    Ok(pairs.map(|(spent, reserved)| balance(spent, reserved)).collect())
}

pub(super) fn balance(spent: i64, reserved: i64) -> Balance {
    Balance { spent: counted(spent), reserved: counted(reserved) }
}

pub(super) fn counted(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

pub(super) fn expired(row: &Row) -> Option<ExpiredHold> {
    let accounts: Vec<&[u8]> = row.try_get("told_accounts").ok()?;
    let booked: Vec<i64> = row.try_get("told_booked").ok()?;
    let spent: Vec<i64> = row.try_get("told_spent").ok()?;
    let reserved: Vec<i64> = row.try_get("told_reserved").ok()?;
    let numbers = booked.into_iter().zip(spent.into_iter().zip(reserved));
    let booked = accounts.into_iter().zip(numbers).map(|(account, (booked, (spent, reserved)))| {
        let account = AccountKey::new(std::str::from_utf8(account).ok()?);
        Some((account, counted(booked), balance(spent, reserved)))
    });
    let hold: &[u8] = row.try_get("told_hold").ok()?;
    Some(ExpiredHold {
        hold: HoldId(u128::from_be_bytes(hold.try_into().ok()?)),
        row: Arc::new(UsageRow::from_json(row.try_get("told_json").ok()?)?),
        booked: booked.collect::<Option<_>>()?,
    })
}

pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}

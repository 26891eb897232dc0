//! What the scripts are asked and what they answer: the order of keys and arguments stands at the head of each.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};

use super::super::{
    AccountKey, Balance, ENDED_KEPT, ExpiredHold, HoldId, MOST, Reservation, Reserved, Settled, Settlement,
    StoreError, Window,
};
use super::names::{Names, Place, fields};
use super::{RedisConfig, record, rows, scripts};
use crate::row::UsageRow;

/// For how long it is remembered what was booked for a lost hold: whoever settles it later corrects that.
const LOST_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// About so long is what the arguments of one charge or of one row are.
const BYTES: usize = 256;

/// How many lost holds are told at once: one step of the script takes some milliseconds for them.
const LOST_AT_ONCE: usize = 100;

fn millis(time: Duration) -> u64 {
    // A year at most: no number here is too large for the script.
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(366 * 86_400_000)
}

pub(super) fn reserve(ask: &Reservation<'_>, names: &Names, config: &RedisConfig) -> Cmd {
    let places: Vec<Place> = ask
        .charges
        .iter()
        .map(|charge| names.account(&charge.account, &charge.window, ask.hold.made_ms()))
        .collect();
    let record = record::of(ask, &places, names);
    let (ended, number) = names.ended(ask.hold);
    let bytes = record.len() + BYTES * (3 + places.len());
    let mut command = scripts::RESERVE.command(6 + places.len(), 6 + 6 * places.len(), bytes);
    command
        .arg(names.hold(ask.hold))
        .arg(ended)
        .arg(&names.open)
        .arg(&names.told)
        .arg(&names.rows)
        .arg(&names.days);
    for place in &places {
        command.arg(&place.key);
    }
    command.arg(millis(ask.lease)).arg(record).arg(number);
    keep(&mut command, config);
    for (charge, place) in ask.charges.iter().zip(&places) {
        // One more than the most is more than any limit, and still exact: it is refused.
        command.arg(charge.limit.min(MOST)).arg(charge.take.min(MOST + 1));
        optional(&mut command, place.slice);
        optional(&mut command, place.start);
        optional(&mut command, charge.window.slice_ms);
        command.arg(place.ttl_ms);
    }
    command
}

fn keep(command: &mut Cmd, config: &RedisConfig) {
    command.arg(config.rows).arg(config.totals_kept().as_millis() as u64).arg(millis(LOST_KEPT));
}

fn optional(command: &mut Cmd, number: Option<u64>) {
    match number {
        Some(number) => command.arg(number),
        None => command.arg(""),
    };
}

pub(super) fn reserved(answer: &[i64]) -> Result<Reserved, StoreError> {
    match *answer {
        [1, ref numbers @ ..] => Ok(Reserved::Granted(balances(numbers))),
        [0, index, spent, reserved, first] => Ok(Reserved::Denied {
            index: usize::try_from(index).unwrap_or_default(),
            balance: balance(spent, reserved),
            first: first == 1,
        }),
        [2] => Ok(Reserved::Ended),
        _ => Err(damaged("the answer to a reservation")),
    }
}

pub(super) fn settle(ask: &Settlement<'_>, names: &Names, config: &RedisConfig) -> Cmd {
    let charges = ask.charges.len();
    let draws = ask.charges.iter().filter_map(|charge| charge.from.as_ref());
    let (ended, number) = names.ended(ask.hold);
    let bytes = BYTES * (3 + charges) + 3 * BYTES * ask.rows.len();
    let mut command = scripts::SETTLE.command(
        5 + charges + draws.clone().count(),
        5 + 8 * charges + 16 * ask.rows.len(),
        bytes,
    );
    command.arg(names.hold(ask.hold)).arg(ended).arg(&names.open).arg(&names.rows).arg(&names.days);
    let places: Vec<Place> = ask
        .charges
        .iter()
        .map(|charge| names.account(&charge.account, &charge.window, ask.hold.made_ms()))
        .collect();
    for place in &places {
        command.arg(&place.key);
    }
    for draw in draws {
        command.arg(names.hold(draw.lease));
    }
    command.arg(number).arg(millis(ENDED_KEPT)).arg(config.rows);
    command.arg(config.totals_kept().as_millis() as u64).arg(charges);
    let mut lease = 5 + charges;
    for (index, (charge, place)) in ask.charges.iter().zip(&places).enumerate() {
        command.arg(ask.actual.get(index).map_or(0, |actual| (*actual).min(MOST)));
        optional(&mut command, place.slice);
        optional(&mut command, place.start);
        optional(&mut command, charge.window.slice_ms);
        command.arg(place.ttl_ms);
        match &charge.from {
            Some(draw) => {
                lease += 1;
                command.arg(lease).arg(draw.left.min(MOST)).arg(record::of_row(&draw.if_lost, names));
            }
            None => {
                command.arg(0).arg(0).arg("");
            }
        }
    }
    for row in ask.rows {
        let fields = fields(row);
        command.arg(row.to_json()).arg(names.day(row.day())).arg(&record::amounts(row)[..]);
        command.arg(fields.len()).arg(fields);
    }
    command
}

pub(super) fn settled(answer: &[i64]) -> Result<Settled, StoreError> {
    match *answer {
        [0] => Ok(Settled::Again),
        [1, ref numbers @ ..] => Ok(Settled::Now(balances(numbers))),
        [2, ref numbers @ ..] => Ok(Settled::Late(balances(numbers))),
        _ => Err(damaged("the answer to a settlement")),
    }
}

pub(super) fn renew(holds: &[HoldId], lease: Duration, names: &Names) -> Cmd {
    let mut command = scripts::RENEW.command(1, 1 + holds.len(), 64 * holds.len());
    command.arg(&names.open).arg(millis(lease));
    for hold in holds {
        command.arg(names.hold(*hold));
    }
    command
}

pub(super) fn balances_of(accounts: &[(AccountKey, Window)], now_ms: u64, names: &Names) -> Cmd {
    let mut command = scripts::BALANCES.command(accounts.len(), 2 * accounts.len(), 64 * accounts.len());
    let places: Vec<Place> =
        accounts.iter().map(|(account, window)| names.account(account, window, now_ms)).collect();
    for place in &places {
        command.arg(&place.key);
    }
    for (place, (_, window)) in places.iter().zip(accounts) {
        optional(&mut command, place.start);
        optional(&mut command, window.slice_ms);
    }
    command
}

pub(super) fn balances(numbers: &[i64]) -> Vec<Balance> {
    numbers.chunks_exact(2).map(|pair| balance(pair[0], pair[1])).collect()
}

fn balance(spent: i64, reserved: i64) -> Balance {
    Balance { spent: whole(spent), reserved: whole(reserved) }
}

fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

pub(super) fn expire(names: &Names, config: &RedisConfig) -> Cmd {
    let mut command = scripts::EXPIRE.command(4, 4, BYTES);
    command.arg(&names.open).arg(&names.told).arg(&names.rows).arg(&names.days).arg(LOST_AT_ONCE);
    keep(&mut command, config);
    command
}

/// `[key of the hold, JSON, then name, booked, spent, reserved of each account]`
pub(super) fn expired(told: &Value, names: &Names) -> Option<ExpiredHold> {
    let Value::Array(told) = told else { return None };
    let [key, json, accounts @ ..] = &told[..] else { return None };
    let booked = accounts.chunks_exact(4).map(|account| {
        let [name, booked, spent, reserved] = account else { return None };
        let balance = Balance { spent: number(spent)?, reserved: number(reserved)? };
        Some((AccountKey::new(rows::text(name)?), number(booked)?, balance))
    });
    Some(ExpiredHold {
        hold: names.hold_of(rows::text(key)?)?,
        row: Arc::new(UsageRow::from_json(rows::text(json)?)?),
        booked: booked.collect::<Option<_>>()?,
    })
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}

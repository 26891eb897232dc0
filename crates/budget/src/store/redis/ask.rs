//! What the scripts are asked and what they answer: the order of keys and arguments stands at the head of each.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};

use super::super::{
    AccountKey, Balance, Charge, ENDED_KEPT, ExpiredHold, HoldId, MOST, Reservation, Reserved, Settled,
    Settlement, StoreError, Window,
};
use super::names::{KEYS, Names, Place};
use super::pack::Pack;
use super::{RedisConfig, rows, scripts};
use crate::row::UsageRow;

/// About so long is what the arguments of one charge or of one row are.
const BYTES: usize = 256;

/// How many lost holds are told at once, and how many holds, windows and rows are looked at besides: one step of the script
/// takes some milliseconds for them.
const LOST_AT_ONCE: usize = 100;
const LOOKED_AT_ONCE: usize = 500;

fn millis(time: Duration) -> u64 {
    // A hundred years at most: no number here is too large for the script.
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(100 * 366 * 86_400_000)
}

/// Where the accounts of a hold are; their slices are those of the time that its name tells.
fn places(charges: &[Charge], hold: HoldId, names: &Names) -> Vec<Place> {
    let place = |charge: &Charge| names.account(&charge.account, &charge.window, hold.made_ms());
    charges.iter().map(place).collect()
}

/// The keys of the script: those that all have, and the rolling accounts.
fn command(
    script: &scripts::Script,
    names: &Names,
    ended: &str,
    places: &[Place],
    size: (usize, usize),
) -> Cmd {
    let rolling = || places.iter().filter(|place| place.slice.is_some());
    let mut command = script.command(KEYS + rolling().count(), size.0, size.1);
    names.keys(ended, &mut command);
    for place in rolling() {
        command.arg(&place.key);
    }
    command
}

/// What the record of an open hold begins with: what is taken of each account.
fn begins(charges: &[Charge]) -> String {
    let mut begins = String::with_capacity(2 + 21 * charges.len());
    for (index, charge) in charges.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(begins, "{}{}", if index == 0 { 'o' } else { ',' }, charge.take.min(MOST));
    }
    if charges.is_empty() { "o\n".to_owned() } else { begins + "\n" }
}

/// `{how long ended holds and totals are kept, how many rows, what the keys of days begin with}`
fn settings<'a>(pack: &'a mut Pack, names: &Names, config: &RedisConfig) -> &'a mut Pack {
    pack.array(4).number(millis(ENDED_KEPT)).number(millis(config.totals_kept()));
    pack.number(config.rows).text(&names.day_prefix)
}

/// The names of a hold and of its accounts in the state.
fn fields(command: &mut Cmd, hold: HoldId, places: &[Place]) {
    command.arg(format!("h:{hold}"));
    let mut field = String::with_capacity(64);
    for place in places {
        for kind in ["s|", "r|"] {
            field.clear();
            field.push_str(kind);
            field.push_str(&place.key);
            command.arg(&field);
        }
    }
}

pub(super) fn reserve(ask: &Reservation<'_>, names: &Names, config: &RedisConfig) -> Cmd {
    let places = places(ask.charges, ask.hold, names);
    let is_plain = places.iter().all(|place| place.slice.is_none());
    let json = ask.if_lost.to_json();
    let mut begins = begins(ask.charges);
    begins.reserve(json.len() + 160 * places.len());
    let mut record = Pack::after(begins);
    record.array(2).array(places.len());
    for (charge, place) in ask.charges.iter().zip(&places) {
        record.account(charge, place, charge.take, charge.if_lost);
    }
    record.text(&json);
    let (ended, number) = names.ended(ask.hold);
    let mut rest = Pack::default();
    rest.array(3).text(&number.to_string());
    settings(&mut rest, names, config).array(places.len());
    for place in &places {
        rest.optional(place.start);
    }
    let record = record.bytes();
    let size = (5 + 4 * places.len(), record.len() + BYTES * (4 + places.len()));
    let mut command = command(&scripts::RESERVE, names, &ended, &places, size);
    let mut numbers = Pack::default();
    numbers.array(2 * places.len());
    for charge in ask.charges {
        // One more than the most is more than any limit, and still exact: it is refused.
        numbers.number(charge.limit.min(MOST)).number(charge.take.min(MOST + 1));
    }
    command.arg(millis(ask.lease)).arg(record).arg(rest.bytes()).arg(u8::from(is_plain)).arg(numbers.bytes());
    fields(&mut command, ask.hold, &places);
    command
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
    let places = places(ask.charges, ask.hold, names);
    let is_plain = places.iter().all(|place| place.slice.is_none())
        && ask.charges.iter().all(|charge| charge.from.is_none());
    let (ended, number) = names.ended(ask.hold);
    let mut rest = Pack::default();
    rest.array(3).text(&number.to_string());
    settings(&mut rest, names, config).array(places.len());
    for (charge, place) in ask.charges.iter().zip(&places) {
        rest.array(if charge.from.is_some() { 5 } else { 2 });
        rest.account(charge, place, 0, 0).optional(place.start);
        if let Some(draw) = &charge.from {
            rest.text(&draw.lease.to_string()).number(draw.left.min(MOST)).text(&draw.if_lost.to_json());
        }
    }
    let rest = rest.bytes();
    let size =
        (6 + 4 * places.len() + ask.rows.len(), rest.len() + BYTES * (4 + places.len() + 2 * ask.rows.len()));
    let mut command = command(&scripts::SETTLE, names, &ended, &places, size);
    command.arg(begins(ask.charges)).arg(format!("!{ended} {number}"));
    let mut numbers = Pack::default();
    numbers.array(2 * places.len());
    for (index, charge) in ask.charges.iter().enumerate() {
        let actual = ask.actual.get(index).copied().unwrap_or_default();
        numbers.number(actual.min(MOST)).number(charge.take.min(MOST));
    }
    command.arg(rest).arg(u8::from(is_plain)).arg(numbers.bytes());
    fields(&mut command, ask.hold, &places);
    for row in ask.rows {
        command.arg(row.to_json());
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
    let size = (1 + holds.len(), 64 * holds.len());
    let mut command = command(&scripts::RENEW, names, &names.no_ended, &[], size);
    command.arg(millis(lease));
    for hold in holds {
        command.arg(hold.to_string());
    }
    command
}

pub(super) fn balances_of(accounts: &[(AccountKey, Window)], now_ms: u64, names: &Names) -> Cmd {
    let places: Vec<Place> =
        accounts.iter().map(|(account, window)| names.account(account, window, now_ms)).collect();
    let size = (4 * accounts.len(), BYTES * accounts.len());
    let mut command = command(&scripts::BALANCES, names, &names.no_ended, &places, size);
    for (place, (_, window)) in places.iter().zip(accounts) {
        command.arg(&place.key);
        for number in [place.slice, place.start, window.slice_ms] {
            match number {
                Some(number) => command.arg(number),
                None => command.arg(""),
            };
        }
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
    let mut pack = Pack::default();
    settings(&mut pack, names, config);
    let mut command = command(&scripts::EXPIRE, names, &names.no_ended, &[], (3, BYTES));
    command.arg(LOST_AT_ONCE).arg(LOOKED_AT_ONCE).arg(pack.bytes());
    command
}

pub(super) fn collect(names: &Names, config: &RedisConfig) -> Cmd {
    let mut pack = Pack::default();
    settings(&mut pack, names, config);
    let mut command = command(&scripts::COLLECT, names, &names.no_ended, &[], (2, BYTES));
    command.arg(LOOKED_AT_ONCE).arg(pack.bytes());
    command
}

/// `[hold, JSON, then name, booked, spent, reserved of each account]`
pub(super) fn expired(told: &Value) -> Option<ExpiredHold> {
    let Value::Array(told) = told else { return None };
    let [hold, json, accounts @ ..] = &told[..] else { return None };
    let booked = accounts.chunks_exact(4).map(|account| {
        let [name, booked, spent, reserved] = account else { return None };
        let balance = Balance { spent: number(spent)?, reserved: number(reserved)? };
        Some((AccountKey::new(rows::text(name)?), number(booked)?, balance))
    });
    Some(ExpiredHold {
        hold: HoldId::parse(rows::text(hold)?)?,
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

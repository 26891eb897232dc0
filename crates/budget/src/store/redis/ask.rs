//! What the scripts are asked and what they answer: the order of keys and arguments stands at the head of each.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};

use super::super::{
    AccountKey, Balance, Charge, ExpiredHold, HoldId, MOST, Reservation, Reserved, Settled, Settlement,
    StoreError, Window,
};
use super::names::{Names, Place, push_decimal};
use super::pack::{Numbers, Pack};
use super::scripts::{self, Script};
use super::{RedisConfig, row, rows};

/// About so long is what the arguments of one charge or of one row are: less than a thousand bytes in all for most calls, which
/// an allocator has at hand.
const BYTES: usize = 96;

/// How many lost holds are told at once, and how many holds, windows and rows are looked at besides: one step of the script
/// takes some milliseconds for them.
const LOST_AT_ONCE: usize = 100;
const LOOKED_AT_ONCE: usize = 500;

fn millis(time: Duration) -> u64 {
    // A hundred years at most: no number here is too large for the script.
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(100 * 366 * 86_400_000)
}

/// The command with its keys: the state, and another.
fn command(script: &Script, names: &Names, other: Option<&str>, size: (usize, usize)) -> Cmd {
    let mut command = script.command(1 + usize::from(other.is_some()), size.0, size.1);
    command.arg(&names.state);
    if let Some(other) = other {
        command.arg(other);
    }
    command
}

/// A hold as the scripts name it, with what the state has before it.
fn named(hold: HoldId) -> [u8; 34] {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let mut name = *b"h:................................";
    for (two, byte) in name[2..].chunks_exact_mut(2).zip(hold.0.to_be_bytes()) {
        two.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
    }
    name
}

/// What the state says of a hold that is open: what is taken of each account.
fn open(charges: &[Charge]) -> Vec<u8> {
    let mut open = Vec::with_capacity(1 + 8 * charges.len());
    open.push(b'o');
    for (index, charge) in charges.iter().enumerate() {
        if index > 0 {
            open.push(b',');
        }
        push_decimal(&mut open, charge.take.min(MOST));
    }
    open
}

/// `{how long totals are kept, how many rows}`
pub(super) fn settings(config: &RedisConfig) -> Pack {
    let mut pack = Pack::default();
    pack.array(2).number(millis(config.totals_kept())).number(config.rows);
    pack
}

/// At `server_ms` of the server's clock, as far as that is known here.
pub(super) fn reserve(
    ask: &Reservation<'_>,
    names: &Names,
    settings: &Pack,
    server_ms: u64,
) -> (&'static Script, Cmd) {
    let places = Place::all(ask.charges, ask.hold);
    let (script, is_usual) = scripts::RESERVE.of(places.iter().map(Place::rolls));
    let hold = named(ask.hold);
    let mut record = Pack::with_capacity(BYTES * (2 + places.len()));
    record.array(5).bytes(&hold[2..]).number(server_ms).number(millis(ask.lease)).array(places.len());
    let mut numbers = Numbers::with_capacity(1 + 4 * places.len());
    numbers.push(ask.hold.made_ms());
    for (charge, place) in ask.charges.iter().zip(&places) {
        record.account(place, charge.take, charge.if_lost);
        // One more than the most is more than any limit, and still exact: it is refused.
        numbers.push(charge.limit.min(MOST)).push(charge.take.min(MOST + 1));
    }
    for (start, (_, at)) in places.iter().filter_map(|place| Some((place.start, place.slice?))) {
        numbers.push(start).push(at);
    }
    record.nested(|record| row::pack(ask.if_lost, record));
    let size = (5 + 2 * places.len(), record.as_bytes().len() + BYTES * (2 + places.len()));
    let mut command = command(script, names, Some(&names.fresh), size);
    command.arg(settings.as_bytes()).arg(record.as_bytes()).arg(numbers.as_bytes());
    command.arg(open(ask.charges)).arg(&hold);
    if is_usual {
        fields(&mut command, &places);
    }
    (script, command)
}

/// What accounts are called in the state, then what the slices of those that roll are called.
fn fields(command: &mut Cmd, places: &[Place<'_>]) {
    let mut name = Vec::with_capacity(64);
    for place in places {
        command.arg(place.in_state(&mut name));
    }
    for place in places {
        if let Some(slice) = place.slice_in_state(&mut name) {
            command.arg(slice);
        }
    }
}

pub(super) fn reserved(answer: &Value) -> Result<Reserved, StoreError> {
    if let Some(balances) = packed(answer) {
        return Ok(Reserved::Granted(balances));
    }
    match *numbers(answer).unwrap_or_default() {
        [0, index, spent, reserved, first] => Ok(Reserved::Denied {
            index: usize::try_from(index).unwrap_or_default(),
            balance: Balance { spent, reserved },
            first: first == 1,
        }),
        [2] => Ok(Reserved::Ended),
        _ => Err(damaged("the answer to a reservation")),
    }
}

pub(super) fn settle(ask: &Settlement<'_>, names: &Names, settings: &Pack) -> (&'static Script, Cmd) {
    let places = Place::all(ask.charges, ask.hold);
    let draws = ask.charges.iter().any(|charge| charge.from.is_some());
    let (script, is_usual) = if draws {
        (scripts::SETTLE.none(), false)
    } else {
        scripts::SETTLE.of(places.iter().map(Place::rolls))
    };
    let mut rest = Pack::with_capacity(32 + if is_usual { 16 } else { BYTES } * places.len());
    rest.array(2).already(settings).array(places.len());
    let mut numbers = Numbers::with_capacity(3 * places.len());
    for (index, (charge, place)) in ask.charges.iter().zip(&places).enumerate() {
        let actual = ask.actual.get(index).copied().unwrap_or_default();
        numbers.push(actual.min(MOST)).push(charge.take.min(MOST));
        match (&charge.from, place.slice) {
            (_, None) if is_usual => rest.number(place.ttl_ms),
            (_, Some((step, _))) if is_usual => {
                rest.array(3).number(place.ttl_ms).number(step).number(place.start)
            }
            (None, _) => rest.array(1).account(place, 0, 0),
            (Some(draw), _) => {
                rest.array(4).account(place, 0, 0).bytes(&named(draw.lease)[2..]);
                rest.number(draw.left.min(MOST)).nested(|rest| row::pack(&draw.if_lost, rest))
            }
        };
    }
    for (_, at) in places.iter().filter_map(|place| place.slice) {
        numbers.push(at);
    }
    let size = (4 + 2 * places.len() + ask.rows.len(), BYTES * (2 + places.len() + ask.rows.len()));
    let mut command = command(script, names, Some(&names.written), size);
    command.arg(rest.as_bytes()).arg(numbers.as_bytes()).arg(open(ask.charges)).arg(&named(ask.hold));
    if is_usual {
        fields(&mut command, &places);
    }
    for row in ask.rows {
        let mut packed = Pack::with_capacity(2 * BYTES);
        row::pack(row, &mut packed);
        command.arg(packed.as_bytes());
    }
    (script, command)
}

pub(super) fn settled(answer: &Value) -> Result<Settled, StoreError> {
    if let Some(balances) = packed(answer) {
        return Ok(Settled::Now(balances));
    }
    match answer {
        Value::Array(answer) => match &answer[..] {
            [Value::Int(0)] => Some(Settled::Again),
            [Value::Int(2), balances] => packed(balances).map(Settled::Late),
            _ => None,
        },
        _ => None,
    }
    .ok_or_else(|| damaged("the answer to a settlement"))
}

/// Spent and reserved of each account, as the state has them.
fn packed(answer: &Value) -> Option<Vec<Balance>> {
    let bytes = rows::bytes(answer)?;
    let balance = |pair: &[u8]| {
        let mut pair = Numbers::read(pair);
        Some(Balance { spent: pair.next()?, reserved: pair.next()? })
    };
    bytes.chunks(16).map(balance).collect()
}

fn numbers(answer: &Value) -> Option<Vec<u64>> {
    let Value::Array(numbers) = answer else { return None };
    numbers.iter().map(number).collect()
}

pub(super) fn renew(holds: &[HoldId], lease: Duration, names: &Names) -> Cmd {
    let mut command = command(&scripts::RENEW, names, None, (1 + holds.len(), 64 * holds.len()));
    command.arg(millis(lease));
    for hold in holds {
        command.arg(&named(*hold)[2..]);
    }
    command
}

pub(super) fn balances_of<'a>(accounts: &'a [(AccountKey, Window)], now_ms: u64, names: &Names) -> Cmd {
    let place = |charged: &'a (AccountKey, Window)| Place::of(&charged.0, &charged.1, now_ms);
    let places: Vec<Place<'_>> = accounts.iter().map(place).collect();
    let size = (3 * accounts.len(), BYTES * accounts.len());
    let mut command = command(&scripts::BALANCES, names, None, size);
    let mut name = Vec::new();
    for place in &places {
        command.arg(place.in_state(&mut name)).arg(place.start).arg(place.slice.map_or(0, |(step, _)| step));
    }
    command
}

pub(super) fn balances(numbers: &[u64]) -> Vec<Balance> {
    numbers.chunks_exact(2).map(|pair| Balance { spent: pair[0], reserved: pair[1] }).collect()
}

pub(super) fn expire(names: &Names, settings: &Pack) -> Cmd {
    let mut command = command(&scripts::EXPIRE, names, None, (3, BYTES));
    command.arg(LOST_AT_ONCE).arg(LOOKED_AT_ONCE).arg(settings.as_bytes());
    command
}

pub(super) fn collect(names: &Names, settings: &Pack) -> Cmd {
    let mut command = command(&scripts::COLLECT, names, None, (2, BYTES));
    command.arg(LOOKED_AT_ONCE).arg(settings.as_bytes());
    command
}

/// `[hold, row, then name, booked, spent, reserved of each account]`
pub(super) fn expired(told: &Value) -> Option<ExpiredHold> {
    let Value::Array(told) = told else { return None };
    let [hold, row, accounts @ ..] = &told[..] else { return None };
    let booked = accounts.chunks_exact(4).map(|account| {
        let [name, booked, spent, reserved] = account else { return None };
        let balance = Balance { spent: number(spent)?, reserved: number(reserved)? };
        Some((AccountKey::new(rows::text(name)?), number(booked)?, balance))
    });
    Some(ExpiredHold {
        hold: HoldId::parse(rows::text(hold)?)?,
        row: Arc::new(row::unpack(rows::bytes(row)?)?),
        booked: booked.collect::<Option<_>>()?,
    })
}

pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}

//! What the script keeps of a hold, as MessagePack: written here, so that the script need not put it together.

use super::super::Reservation;
use super::names::{Names, Place, fields};
use crate::row::UsageRow;
use crate::store::MOST;

/// `[state, accounts, row, id of the lost row]`, as `lua/common.lua` says.
pub(super) fn of(ask: &Reservation<'_>, places: &[Place], names: &Names) -> Vec<u8> {
    let mut pack = Pack(Vec::with_capacity(768 + 96 * places.len()));
    pack.array(4).number(0).array(places.len());
    for (charge, place) in ask.charges.iter().zip(places) {
        pack.array(7).text(&place.key);
        match place.slice {
            Some(slice) => pack.number(slice),
            None => pack.text(""),
        };
        pack.number(charge.take.min(MOST)).number(charge.if_lost.min(MOST)).number(place.ttl_ms);
        pack.text(charge.account.as_str()).number(charge.window.slice_ms.unwrap_or(0));
    }
    pack.row(ask.if_lost, names).text("");
    pack.0
}

/// The row alone.
pub(super) fn of_row(row: &UsageRow, names: &Names) -> Vec<u8> {
    let mut pack = Pack(Vec::with_capacity(512));
    pack.row(row, names);
    pack.0
}

/// The numbers of a row that totals add up.
pub(super) fn amounts(row: &UsageRow) -> [u64; 8] {
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
    .map(|amount| amount.min(MOST))
}

struct Pack(Vec<u8>);

impl Pack {
    fn row(&mut self, row: &UsageRow, names: &Names) -> &mut Self {
        let fields = fields(row);
        self.array(4).text(&row.to_json()).array(8);
        for amount in amounts(row) {
            self.number(amount);
        }
        self.text(&names.day(row.day())).array(fields.len());
        for field in &fields {
            self.text(field);
        }
        self
    }

    fn array(&mut self, length: usize) -> &mut Self {
        self.0.push(0xdd);
        self.0.extend_from_slice(&len(length));
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.0.push(0xdb);
        self.0.extend_from_slice(&len(text.len()));
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.0.push(0xcf);
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }
}

fn len(length: usize) -> [u8; 4] {
    // A length beyond that has no form here; the script then finds the record to be none.
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_messagepack() {
        let mut pack = Pack(Vec::new());
        pack.array(2).text("ab").number(258);
        assert_eq!(pack.0, b"\xdd\0\0\0\x02\xdb\0\0\0\x02ab\xcf\0\0\0\0\0\0\x01\x02");
    }
}

//! What stands in a journal and in a snapshot.

use std::sync::Arc;

use mainstay_metering::NanoUsd;
use mainstay_provider_core::{Subject, Usage};
use serde::{Deserialize, Serialize};

use crate::row::UsageRow;
use crate::store::memory::{Open, Slice, Snapshot, Sum, Total};
use crate::store::{AccountKey, Charge, Draw, HoldId, Window};

/// One record. A journal has the first three, a snapshot the others, and `End` at its end.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Record {
    Reserved { hold: Hex, charges: Vec<ChargeRecord>, row: String },
    Settled { hold: Hex, charges: Vec<ChargeRecord>, actual: Vec<u64>, rows: Vec<String> },
    Lost { hold: Hex },
    Account { key: String, slices: Vec<(u64, Option<u64>, u64, u64)> },
    Open { hold: Hex, taken: Vec<TakenRecord>, row: String },
    LostHold { hold: Hex, taken: Vec<TakenRecord>, row: String, lease_until: u64 },
    Ended(Vec<Hex>),
    Row { number: u64, row: String },
    Total { day: u32, provider: String, model: String, subject: Option<String>, sum: SumRecord },
    End,
}

/// A hold's name.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Hex(pub(super) HoldId);

impl TryFrom<String> for Hex {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        HoldId::parse(&text).map(Self).ok_or("no hold")
    }
}

impl From<Hex> for String {
    fn from(Hex(hold): Hex) -> Self {
        hold.to_string()
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ChargeRecord {
    account: String,
    window: (u64, Option<u64>, Option<u64>),
    take: u64,
    if_lost: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<(Hex, u64, String)>,
}

impl From<&Charge> for ChargeRecord {
    fn from(charge: &Charge) -> Self {
        let Window { start_ms, end_ms, slice_ms } = charge.window;
        let from = charge.from.as_ref().map(|draw| (Hex(draw.lease), draw.left, draw.if_lost.to_json()));
        Self {
            account: charge.account.as_str().to_owned(),
            window: (start_ms, end_ms, slice_ms),
            take: charge.take,
            if_lost: charge.if_lost,
            from,
        }
    }
}

impl ChargeRecord {
    /// The charge. It was granted once, so it has no limit now.
    pub(super) fn charge(self) -> Option<Charge> {
        let (start_ms, end_ms, slice_ms) = self.window;
        let window = Window { start_ms, end_ms, slice_ms };
        let from = match self.from {
            Some((Hex(lease), left, row)) => Some(Draw { lease, left, if_lost: read_row(&row)? }),
            None => None,
        };
        let charge = Charge::new(AccountKey::new(self.account), window, u64::MAX, self.take);
        Some(Charge { if_lost: self.if_lost, from, ..charge })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SumRecord {
    requests: u64,
    tokens: [u64; 6],
    cost: u64,
}

impl From<&Sum> for SumRecord {
    fn from(sum: &Sum) -> Self {
        let Usage { input, output, cache_read, cache_write, cache_write_long, reasoning, .. } = sum.usage;
        let tokens = [input, output, cache_read, cache_write, cache_write_long, reasoning];
        Self { requests: sum.requests, tokens, cost: sum.cost.as_nanos() }
    }
}

impl SumRecord {
    fn sum(&self) -> Sum {
        let [input, output, cache_read, cache_write, cache_write_long, reasoning] = self.tokens;
        let mut usage = Usage::new(input, output);
        (usage.cache_read, usage.cache_write, usage.cache_write_long) =
            (cache_read, cache_write, cache_write_long);
        usage.reasoning = reasoning;
        Sum { requests: self.requests, usage, cost: NanoUsd::from_nanos(self.cost) }
    }
}

pub(super) fn read_row(text: &str) -> Option<Arc<UsageRow>> {
    UsageRow::from_json(text).map(Arc::new)
}

/// The records of a snapshot, one after the other.
pub(super) fn records_of(snapshot: Snapshot) -> impl Iterator<Item = Record> {
    let Snapshot { accounts, open, lost, ended, rows, totals } = snapshot;
    let accounts = accounts.into_iter().map(|(key, slices)| {
        let slice = |slice: Slice| (slice.start, slice.until, slice.spent, slice.reserved);
        Record::Account { key: key.as_str().to_owned(), slices: slices.into_iter().map(slice).collect() }
    });
    let open = open.into_iter().map(|open| {
        let (hold, taken, row) = texts_of(open);
        Record::Open { hold, taken, row }
    });
    let lost = lost.into_iter().map(|(open, lease_until)| {
        let (hold, taken, row) = texts_of(open);
        Record::LostHold { hold, taken, row, lease_until }
    });
    let ended: Vec<_> =
        ended.chunks(1_000).map(|some| Record::Ended(some.iter().copied().map(Hex).collect())).collect();
    let rows = rows.into_iter().map(|(number, row)| Record::Row { number, row: row.to_json() });
    let totals = totals.into_iter().map(|(day, provider, model, subject, sum)| Record::Total {
        day,
        provider: provider.to_string(),
        model: model.to_string(),
        subject: subject.map(|subject| subject.to_string()),
        sum: SumRecord::from(&sum),
    });
    accounts.chain(open).chain(lost).chain(ended).chain(rows).chain(totals).chain([Record::End])
}

/// Account, slice, what was taken, and what is booked if it is lost.
type TakenRecord = (String, u64, u64, u64);

fn texts_of(Open { hold, taken, if_lost }: Open) -> (Hex, Vec<TakenRecord>, String) {
    let taken =
        taken.into_iter().map(|(key, slice, take, lost)| (key.as_str().to_owned(), slice, take, lost));
    (Hex(hold), taken.collect(), if_lost.to_json())
}

fn open_of(hold: HoldId, taken: Vec<TakenRecord>, row: &str) -> Option<Open> {
    let taken = taken.into_iter().map(|(key, slice, take, lost)| (AccountKey::new(key), slice, take, lost));
    Some(Open { hold, taken: taken.collect(), if_lost: read_row(row)? })
}

/// Puts a record of a snapshot into it; none if it is not one.
pub(super) fn add_to(snapshot: &mut Snapshot, record: Record) -> Option<()> {
    match record {
        Record::Account { key, slices } => {
            let slice = |(start, until, spent, reserved)| Slice { start, until, spent, reserved };
            snapshot.accounts.push((AccountKey::new(key), slices.into_iter().map(slice).collect()));
        }
        Record::Open { hold: Hex(hold), taken, row } => {
            snapshot.open.push(open_of(hold, taken, &row)?);
        }
        Record::LostHold { hold: Hex(hold), taken, row, lease_until } => {
            snapshot.lost.push((open_of(hold, taken, &row)?, lease_until));
        }
        Record::Ended(holds) => snapshot.ended.extend(holds.into_iter().map(|Hex(hold)| hold)),
        Record::Row { number, row } => snapshot.rows.push((number, read_row(&row)?)),
        Record::Total { day, provider, model, subject, sum } => {
            let subject = match subject {
                Some(text) => Some(Subject::parse(&text)?),
                None => None,
            };
            let total: Total = (day, provider.into(), model.into(), subject, sum.sum());
            snapshot.totals.push(total);
        }
        Record::Reserved { .. } | Record::Settled { .. } | Record::Lost { .. } | Record::End => return None,
    }
    Some(())
}

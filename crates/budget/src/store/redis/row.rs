//! A usage row as it stands in Redis: an array in MessagePack, a third of its JSON, whose every byte Lua looks at.

use std::sync::Arc;

use mainstay_metering::{Basis, NanoUsd, PriceVersion};
use mainstay_provider_core::{Namespace, Subject, Usage};

use super::super::HoldId;
use super::pack::{Pack, Unpack};
use crate::row::{RowStatus, UsageRow};

const BASES: [Basis; 5] = [Basis::Listed, Basis::Related, Basis::Local, Basis::Assumed, Basis::Unpriced];
const STATUSES: [RowStatus; 4] =
    [RowStatus::Settled, RowStatus::Failed, RowStatus::Cancelled, RowStatus::Lost];

/// `lua/totals.lua` counts on the order up to the amounts; what a later version adds comes last.
pub(super) fn pack(row: &UsageRow, pack: &mut Pack) {
    let UsageRow { hold, attempt, at_ms, subjects, namespace, asked, deployment, provider, model, .. } = row;
    let UsageRow { usage, cost, requests, basis, price_version, status, estimated, .. } = row;
    pack.array(14).bytes(&hold.0.to_be_bytes()).number(*at_ms).number(u64::from(*attempt));
    pack.array(subjects.len());
    for subject in &**subjects {
        pack.text(subject.as_str());
    }
    pack.text(namespace.as_str()).text(asked);
    match deployment {
        Some(deployment) => pack.text(deployment),
        None => pack.number(0),
    };
    pack.text(provider).text(model).array(8).number(*requests).number(usage.input).number(usage.output);
    pack.number(usage.cache_read).number(usage.cache_write).number(usage.cache_write_long);
    pack.number(usage.reasoning).number(cost.as_nanos());
    pack.text(basis.as_str()).text(price_version.as_str()).text(status.as_str());
    pack.number(u64::from(*estimated));
}

/// Reads what [`pack`] wrote; `None` if it is something else.
pub(super) fn unpack(bytes: &[u8]) -> Option<UsageRow> {
    let mut read = Unpack(bytes);
    if read.array()? < 14 {
        return None;
    }
    let hold = HoldId(u128::from_be_bytes(read.bytes()?.try_into().ok()?));
    let mut row = UsageRow::new(hold, read.number()?);
    row.attempt = u32::try_from(read.number()?).ok()?;
    row.subjects = (0..read.array()?).map(|_| Subject::parse(read.text()?)).collect::<Option<_>>()?;
    row.namespace = Namespace::new(read.text()?);
    row.asked = read.text()?.into();
    row.deployment = read.text_or_zero()?.map(Arc::from);
    (row.provider, row.model) = (read.text()?.into(), read.text()?.into());
    let mut amounts = [0; 8];
    if read.array()? != amounts.len() {
        return None;
    }
    for amount in &mut amounts {
        *amount = read.number()?;
    }
    (row.requests, row.usage, row.cost) = taken_apart(amounts);
    row.basis = named(read.text()?, BASES, Basis::as_str)?;
    row.price_version = PriceVersion::from(read.text()?);
    row.status = named(read.text()?, STATUSES, RowStatus::as_str)?;
    row.estimated = read.number()? == 1;
    Some(row)
}

fn named<T: Copy, const N: usize>(name: &str, all: [T; N], name_of: fn(T) -> &'static str) -> Option<T> {
    all.into_iter().find(|one| name_of(*one) == name)
}

/// The amounts of a row, or of a total, in the order in which they are packed.
pub(super) fn taken_apart(amounts: [u64; 8]) -> (u64, Usage, NanoUsd) {
    let [requests, input, output, cache_read, cache_write, cache_write_long, reasoning, cost] = amounts;
    let mut usage = Usage::new(input, output);
    (usage.cache_read, usage.cache_write, usage.cache_write_long) =
        (cache_read, cache_write, cache_write_long);
    usage.reasoning = reasoning;
    (requests, usage, NanoUsd::from_nanos(cost))
}
